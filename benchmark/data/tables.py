"""Tables of recordings as spreadsheets and corpora write them: with any delimiter, quoted cells, some lines in another encoding."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from benchmark.dataset import NOT_TEXT
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import printable

DELIMITERS = ",;\t|"
UNQUOTED = "\t|"
"""Delimiters that texts rarely hold, so that many tables with them don't quote cells: quotes that can't be a cell's are the text's."""
QUOTES = "put a cell with quotes, commas or line breaks into double quotes, and write each quote in it twice"
SHOWN = 60
"""Characters of a header that a sentence quotes."""


@dataclass(frozen=True)
class NamedTable:
    """A table with a header.

    Attributes:
        path: of the file.
        columns: names in the header, in lower case.
        delimiter: between cells.
        rows: number of the line where each row begins, and its cells; blank rows are left out.
    """

    path: Path
    columns: list[str]
    delimiter: str
    rows: list[tuple[int, list[str]]]


def lines_of(path: Path) -> list[str]:
    """The lines of a text file with their ends; bytes that are not UTF-8 become surrogates (see :func:`text_of`).

    Raises:
        BenchmarkError: all of it is UTF-16, as spreadsheets save "Unicode text".
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BenchmarkError(f"{path} is UTF-16 text; save the file as UTF-8.")
    return [line.decode("utf-8", "surrogateescape") for line in content.removeprefix(codecs.BOM_UTF8).splitlines(keepends=True)]


def text_of(cell: str) -> tuple[str, str]:
    """A transcript on one line, and why it can't be used; one of the two is ""."""
    return ("", NOT_TEXT) if printable(cell) != cell else (re.sub(r"\s*[\r\n]+\s*", " ", cell.strip()), "")


def header_of(lines: list[str], known: Collection[str]) -> tuple[list[str], str, int]:
    """The first row's cells in lower case, the delimiter that gives the most known names, and the number of lines up to the row.

    A first line ``sep=;``, which tells spreadsheets the delimiter, is passed over.
    """
    at = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if at < len(lines) and re.fullmatch(r'"?sep=.?"?', lines[at].rstrip("\r\n"), re.IGNORECASE):
        at += 1
    if at >= len(lines):
        return [], ",", at
    found = []
    for delimiter in DELIMITERS:
        cells = [cell.strip().strip('"').casefold() for cell in lines[at].strip("\r\n").split(delimiter)]
        found.append((len(set(cells).intersection(known)), len(cells), -DELIMITERS.index(delimiter), cells, delimiter))
    *_, cells, delimiter = max(found)
    return cells, delimiter, at + 1


def read_table(path: Path, known: Collection[str]) -> NamedTable | None:
    """A table whose header has at least one of the known names; None if the file has no such header.

    Raises:
        BenchmarkError: a quote is not closed, or a row has another number of columns than the header.
    """
    lines = lines_of(path)
    columns, delimiter, start = header_of(lines, known)
    if not set(columns).intersection(known):
        return None
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise BenchmarkError(f"{path} has two columns called {printable(twice[0])}; rename or remove one.")
    read = partial(_rows, path, lines[start:], columns, delimiter, start)
    if delimiter not in UNQUOTED:
        return NamedTable(path, columns, delimiter, list(read(csv.QUOTE_MINIMAL)))
    try:
        rows = list(read(csv.QUOTE_MINIMAL))
        meant = not any(delimiter in cell and len(cell.splitlines()) > 1 for _, row in rows for cell in row)
    except BenchmarkError:
        meant = False
    return NamedTable(path, columns, delimiter, rows if meant else list(read(csv.QUOTE_NONE)))


def shown(columns: list[str]) -> str:
    """A header's names, as a sentence quotes them."""
    names = printable(", ".join(columns))
    return f"the columns {names if len(names) <= SHOWN else f'{names[:SHOWN]}…'}" if columns else "no header"


def _rows(
    path: Path, lines: list[str], columns: list[str], delimiter: str, before: int, quoting: Literal[0, 3]
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of the line that it begins in.

    Args:
        path: of the table, for errors.
        lines: of the rows.
        columns: of the header.
        delimiter: between cells.
        before: lines before these.
        quoting: of :mod:`csv`: QUOTE_MINIMAL, or QUOTE_NONE where quotes are parts of texts.

    Raises:
        BenchmarkError: see :func:`read_table`.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True, quoting=quoting)
    while True:
        begins = before + reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise BenchmarkError(f"{path}, line {begins}, can't be read ({error}); {QUOTES}.") from error
        if row is None:
            return
        while len(row) > len(columns) and not row[-1].strip():  # a delimiter at the end of a line
            row.pop()
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            counted = f"{len(row)} columns, but the header has {len(columns)}"
            raise BenchmarkError(f"{path}, line {begins}, has {counted}; put texts with commas into double quotes.")
        yield begins, row
