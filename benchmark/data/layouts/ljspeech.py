"""LJSpeech's table: bars, and no header."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.data.layouts.columns import KNOWN
from benchmark.data.layouts.found import NO_FILE, NOBODY, Found, named
from benchmark.data.places import Recordings, without_ending
from benchmark.data.tables import header_of, lines_of, text_of
from benchmark.dataset import Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import is_file, printable

WAVS = ("wavs", "wav")
"""LJSpeech's folder of recordings, and what some call it."""


def ljspeech(root: Path) -> Found | None:
    """LJSpeech's layout: ``metadata.csv`` of ``id|text|normalised text`` without a header, and ``wavs/id.wav``.

    A column of few different values names the speaker (Piper's ``id|speaker|text``, Coqui's ``id|text|text|speaker``).

    Raises:
        BenchmarkError: it can't be told which column is what, or a line names no speaker.
    """
    path = root / "metadata.csv"
    if not path.is_file() or not is_headerless(path):
        return None
    lines = enumerate(lines_of(path), 1)
    rows = [(number, [cell.strip() for cell in line.split("|")]) for number, line in lines if line.strip(" |\t\r\n")]
    column = _speaker_column(path, [row for _, row in rows if len(row) > 1])
    files = Recordings(root, WAVS)
    found = []
    for number, row in rows:
        who = printable(row.pop(column)) if 0 < column < len(row) else NOBODY if not column else ""
        if not who:
            raise BenchmarkError(f"{path}, line {number}, names no speaker in column {column + 1}; fill it in.")
        # The last column spells numbers out.
        text, unusable = text_of(next((cell for cell in reversed(row[1:]) if cell), ""))
        name = without_ending(row[0].replace("\\", "/"))
        audio, unclear = files.find(row[0])
        if not name:
            name, unclear = f"line {number} of {path.name}", NO_FILE
        elif len(row) == 1:
            unclear = "no bar in its line"
        found.append(Utterance(printable(name), who, text, audio, unusable=unclear or unusable))
    said = f"speakers in column {column + 1}" if column else "one voice"
    return Found(named(found), {}, said) if found else None


def is_headerless(path: Path) -> bool:
    """Whether a table is LJSpeech's: no header, bars, and recordings beside it."""
    lines = [line for line in lines_of(path) if line.strip()] if path.name == "metadata.csv" else []
    if not lines or "|" not in lines[0] or KNOWN.intersection(header_of(lines[:1], KNOWN)[0]):
        return False
    first, _ = Recordings(path.parent).find(lines[0].partition("|")[0].strip())
    return any((path.parent / name).is_dir() for name in WAVS) or is_file(first)


def _speaker_column(path: Path, rows: list[list[str]]) -> int:
    """The column that names speakers, counted from 0, the id's; 0 if none does.

    It is a column of which fewer than half of the cells differ, such that the others hold the text: one column, or two of which one is
    spelt out in the other.
    """
    width = max(map(len, rows), default=0)
    cells = {column: [row[column] if len(row) > column else "" for row in rows] for column in range(1, width)}
    cells = {column: some for column, some in cells.items() if any(some)}
    few = [column for column, some in cells.items() if 2 * len(set(filter(None, some))) < sum(map(bool, some))]
    fitting = []
    for column in (0, *few):
        texts = [some for other, some in cells.items() if other != column]
        if len(texts) == 1 or (len(texts) == 2 and _is_spelt_out(*texts)):
            fitting.append(column)
    if fitting[:1] == [0] or len(fitting) == 1:
        return fitting[0]
    why = f"it can't be told which of its {width} columns is the text and which the speaker"
    raise BenchmarkError(f"{path}: {why}; give it a first line of names, such as audio|speaker|text.")


def _is_spelt_out(texts: list[str], others: list[str]) -> bool:
    """Whether two columns hold the same texts, perhaps with numbers spelt out: about as many differ, and most words are in both."""
    counts = sorted(len(set(some)) for some in (texts, others))
    pairs = [(_words(one), _words(other)) for one, other in zip(texts, others, strict=True)]
    shared, words = sum(len(one & other) for one, other in pairs), sum(min(len(one), len(other)) for one, other in pairs)
    return counts[1] < 2 * counts[0] and 2 * shared >= max(words, 1)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
