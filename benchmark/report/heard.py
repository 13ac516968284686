"""What recognisers heard: transcripts of one recording of each speaker, by all algorithms, beside what was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.report.boards import Board
from benchmark.report.sounds import Clip, Place, clip, places_shown
from benchmark.report.tables import Entry, Heading, Table, TableCell
from benchmark.results.comparison import Contender
from benchmark.results.kept_speech import beside_in, check, speech_in

MOST_SPEAKERS = 12
"""On a page, of each board."""


@dataclass(frozen=True)
class HeardSentence:
    """One recording and its transcripts.

    Attributes:
        speaker: the target.
        text: what was said.
        recording: the recording.
        transcripts: a row for each algorithm, a column for each place.
    """

    speaker: str
    text: str
    recording: Clip
    transcripts: Table


def heard(board: Board) -> list[HeardSentence]:
    """The sentences whose transcripts runs kept, one for each of the first speakers.

    Raises:
        BenchmarkError: a file of a run was changed or can't be read.
    """
    kept = {contender.name: _kept(contender) for contender in board.contenders}
    speakers = sorted({target for own in kept.values() for target, *_ in own})[:MOST_SPEAKERS]
    return [found for speaker in speakers if (found := _sentence(board, speaker, kept)) is not None]


def _kept(contender: Contender) -> dict[tuple[str, int, int], Path]:
    """The transcripts of the contender's first run that kept any."""
    runs = list(zip(contender.folders, contender.results, strict=True))
    for folder, result in runs:
        check(folder, result)
    return next((found for folder, result in runs if (found := speech_in(folder, result, "txt"))), {})


def _sentence(board: Board, speaker: str, kept: Mapping[str, Mapping[tuple[str, int, int], Path]]) -> HeardSentence | None:
    """None if no run kept the recording."""
    runs = [pair for one in board.contenders for pair in zip(one.folders, one.results, strict=True)]
    beside = next((found["recording"] for folder, result in runs if "recording" in (found := beside_in(folder, result, speaker))), None)
    if beside is None:
        return None
    path, text = beside
    own: dict[str, dict[Place, str]] = {
        name: {(shots, steps): file.read_text(encoding="utf-8").strip() for (who, shots, steps), file in files.items() if who == speaker}
        for name, files in kept.items()
    }
    adapting = {name: places for name, places in own.items() if board.uses_shots(name) and places}
    heads = places_shown({name: set(places) for name, places in adapting.items()})
    entries = [
        Entry(TableCell(name, name), [_cell(adapting[name], at.get(name)) for _, at in heads], board.role(name)) for name in adapting
    ]
    # What is the same at any number of shots has one transcript, which stands under each heading.
    entries += [
        Entry(TableCell(name, name), [_cell(places, max(places))] * max(1, len(heads)), board.role(name))
        for name, places in own.items()
        if places and name not in adapting
    ]
    titles = [title for title, _ in heads] or ["transcript"]
    return HeardSentence(speaker, text, clip(path), Table([Heading("algorithm"), *(Heading(each, words=True) for each in titles)], entries))


def _cell(places: Mapping[Place, str], at: Place | None) -> TableCell:
    text = "–" if at is None else places[at] or "(nothing)"
    return TableCell(text, text)
