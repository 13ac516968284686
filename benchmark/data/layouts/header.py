"""A table with a header that names its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from benchmark.data.layouts.columns import AUDIO, KNOWN, LANGUAGE, SPEAKER, TEXT, first
from benchmark.data.layouts.found import METADATA, NO_FILE, NOBODY, Found, named, tables_in
from benchmark.data.layouts.ljspeech import WAVS, is_headerless
from benchmark.data.places import SPLIT_NAMES, Recordings, place, without_ending
from benchmark.data.tables import QUOTES, NamedTable, header_of, lines_of, read_table, shown, text_of
from benchmark.dataset import Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import is_file, printable


def header_table(root: Path) -> Found | None:
    """``metadata.csv`` with a header: ``audio,text,speaker`` and optionally ``language,style,split``; other columns are labels.

    Hugging Face's ``file_name,transcription,speaker_id`` is the same table under other names. Paths are relative to the table, which may
    also lie in folders named after splits; or its recordings do.

    Raises:
        BenchmarkError: there is a table, but this layout and LJSpeech's can't read it, or it would be read in part.
    """
    tables = tables_in(root, METADATA)
    found: list[Utterance] = []
    splits: dict[str, str] = {}
    said: dict[str, None] = {}
    for path, split in tables:
        if path.suffix == ".jsonl":
            raise BenchmarkError(f"{path} can't be read; save it as metadata.csv.")
        if is_headerless(path):
            return None
        table = _Table(path, root)
        found += table.utterances(split, splits)
        said |= dict.fromkeys(table.said(split))
    return Found(named(found), splits, "; ".join(said)) if tables else None


class _Table:
    """One such table.

    Args:
        path: of the table.
        root: of the corpus.

    Raises:
        BenchmarkError: it lacks a column, or a quote hides a row.
    """

    def __init__(self, path: Path, root: Path) -> None:
        table = read_table(path, KNOWN)
        columns = table.columns if table else header_of(lines_of(path), KNOWN)[0]
        self.audio, self.speaker, self.language = (first(names, columns) for names in (AUDIO, SPEAKER, LANGUAGE))
        self.texts = [name for name in TEXT if name in columns]
        if table is None or not self.audio or not self.texts:
            missing = " and ".join(name for name, there in (("audio", self.audio), ("text", self.texts)) if not there)
            missing += " are missing" if " " in missing else " is missing"
            raise BenchmarkError(f"{path} has {shown(columns)}; {missing} (its first line must be audio,text,speaker).")
        self.path, self.columns = path, columns
        self.files = Recordings(path.parent, (*WAVS, "clips"))
        self.folder = PurePosixPath(path.parent.relative_to(root).as_posix())
        _refuse_hidden_rows(table, self.files)
        self.rows = [(number, {name: cell.strip() for name, cell in zip(columns, row, strict=True)}) for number, row in table.rows]
        # Hugging Face may keep one table, and the recordings in folders named after splits.
        folders = {_first_folder(row[self.audio]) for _, row in self.rows}
        self.split_by_folder = folders <= SPLIT_NAMES.keys() and len({SPLIT_NAMES[name] for name in folders}) > 1

    def said(self, split: str) -> Iterator[str]:
        """What a user should know; ``split`` is the one that the table's folder is named after, or ""."""
        if not self.speaker:
            unread = ", whose splits are not used" if split or "split" in self.columns or self.split_by_folder else ""
            yield f"no speaker column, so all is one voice{unread}"

    def utterances(self, split: str, splits: dict[str, str]) -> Iterator[Utterance]:
        """The utterances, their ids with their folders.

        Args:
            split: that the table's folder is named after; "" if the table or its recordings' folders may name splits.
            splits: by speaker; filled in.
        """
        for number, row in self.rows:
            where = f"{self.path}, line {number},"
            who = printable(row.pop(self.speaker)) if self.speaker else NOBODY
            if not who:
                raise BenchmarkError(f"{where} names no speaker; fill in the column {self.speaker}, or remove it if all is one voice.")
            file, given = row.pop(self.audio), row.pop("split", "").casefold() or split
            if not given and self.split_by_folder:
                given = _first_folder(file)
            if given and self.speaker:
                place(who, given, splits, where)
            text, unusable = text_of(row.pop(next((name for name in self.texts if row[name]), self.texts[0])))
            audio, unclear = self.files.find(file)
            name = without_ending(str(self.folder / file.replace("\\", "/")))
            if not PurePosixPath(file).name:
                name, unclear = f"line {number} of {self.folder / self.path.name}", NO_FILE
            language = printable(row.pop(self.language)) if self.language else ""
            labels = {printable(name): printable(cell) for name, cell in row.items() if cell and name != "style"}
            style = printable(row.get("style", ""))
            yield Utterance(printable(name), who, text, audio, language, style, labels, unclear or unusable)


def _first_folder(file: str) -> str:
    """The first folder of a recording's path, in lower case; ``data`` is passed over."""
    parts = [part.casefold() for part in PurePosixPath(file.replace("\\", "/")).parent.parts]
    return next((part for part in parts if part != "data"), "")


def _refuse_hidden_rows(table: NamedTable, files: Recordings) -> None:
    """A quote that is opened in one row and closed in another hides the rows between.

    Raises:
        BenchmarkError: a cell of several lines names a recording.
    """
    between = re.compile(rf"[\r\n{table.delimiter}]")
    for number, row in table.rows:
        for cell in row:
            parts = [part.strip() for part in between.split(cell)] if len(cell.splitlines()) > 1 else []
            if hidden := next((part for part in parts if part != without_ending(part) or (part and is_file(files.find(part)[0]))), None):
                raise BenchmarkError(f"{table.path}, line {number}, holds the row of {printable(hidden)} between two quotes; {QUOTES}.")
