"""The first stage of preparation: recordings and transcripts to standardised audio and phones, speaker by speaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from benchmark.audio import SAMPLE_RATE
from benchmark.data import textgrids
from benchmark.data.audio import Unusable, standardise
from benchmark.data.phonemes import phonemise
from benchmark.data.places import CONVERT
from benchmark.data.scripts import is_foreign
from benchmark.data.synthesised import is_marked
from benchmark.dataset import NOT_TEXT, Dataset, Segment, Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import is_file
from benchmark.plumbing.sound_files import TooLarge, is_cut_short
from benchmark.utterance import Words

PHONES_PER_SECOND = (0.3, 40)
"""Least and most phones per second of speech. Of 2,500 recordings of learners of English, the slowest has 1.1 and the fastest 12."""


@dataclass(frozen=True)
class Chunk:
    """A speaker's utterances, their TextGrids by id, and the digest of everything that their preparation depends on."""

    speaker: str
    split: str
    utterances: tuple[Utterance, ...]
    grids: dict[str, Path]
    digest: str


@dataclass
class Draft:
    """An utterance in preparation: its audio, its phones and, once known, their boundaries.

    Attributes:
        source: source of the segments: "TextGrid", "dataset", "aligner", or "" while there are none.
        said_of_it: its language, style and labels, if the dataset gives any.
    """

    id: str
    text: str
    audio: npt.NDArray[np.int16]
    words: Words
    segments: list[list[Segment]] | None = None
    source: str = ""
    said_of_it: dict[str, Any] = field(default_factory=dict)


@dataclass
class Drafts:
    """A chunk's drafts, and (id, reason) of the utterances skipped and of the TextGrids refused."""

    kept: list[Draft]
    skipped: list[tuple[str, str]]
    refused: list[tuple[str, str]]

    def save(self, path: Path) -> None:
        """Write atomically, with a digest."""
        rows = [{**asdict(draft), "audio": torch.from_numpy(draft.audio)} for draft in self.kept]
        checkpoint.save(path, {"kept": rows, "skipped": self.skipped, "refused": self.refused})

    @classmethod
    def load(cls, path: Path) -> Drafts:
        """Read what ``save`` wrote.

        Raises:
            BenchmarkError: the file has been damaged since.
        """
        found = checkpoint.load(path, cls.from_state)
        if found is None:
            raise BenchmarkError(f"{path} was damaged while preparing; run the same command again.")
        return found

    @classmethod
    def from_state(cls, state: Any) -> Drafts:
        """The drafts in the content of a file that ``save`` wrote; any error means that it is none."""
        kept = [
            Draft(**{**row, "audio": row["audio"].numpy(), "segments": None if row["segments"] is None else as_segments(row["segments"])})
            for row in state["kept"]
        ]
        return cls(kept, state["skipped"], state["refused"])


def as_segments(plain: Sequence[Sequence[dict[str, float]]]) -> list[list[Segment]]:
    """Segments from their ``dataclasses.asdict`` form."""
    return [[Segment(**each) for each in word] for word in plain]  # type: ignore[arg-type]


def draft(chunk: Chunk, dataset: Dataset) -> Drafts:
    """Decode, standardise and phonemise a chunk's utterances; unusable ones are skipped with a reason."""
    result = Drafts([], [], [])
    phones = phones_of(chunk.utterances, dataset.card.language)
    for utterance in chunk.utterances:
        try:
            result.kept.append(_draft(utterance, phones[utterance.id], dataset, chunk.grids.get(utterance.id), result.refused))
        except Unusable as reason:
            result.skipped.append((utterance.id, str(reason)))
    return result


def phones_of(utterances: Sequence[Utterance], language: str) -> dict[str, Words]:
    """Phones by utterance; each text is read in its own language, or in ``language`` if it names none."""
    found: dict[str, Words] = {}
    for voice in sorted({utterance.language or language for utterance in utterances}):
        some = [utterance for utterance in utterances if (utterance.language or language) == voice]
        # A NUL would end the text early in espeak-ng; such texts are skipped.
        found |= zip((u.id for u in some), phonemise([u.text.replace("\0", " ") for u in some], voice), strict=True)
    return found


def said_of(utterance: Utterance) -> dict[str, Any]:
    """Language, style and labels of an utterance; missing ones are left out, so that they change no digest."""
    known = {"language": utterance.language, "style": utterance.style, "labels": dict(utterance.labels)}
    return {name: value for name, value in known.items() if value}


class Decoded(NamedTuple):
    """A recording as :func:`benchmark.data.audio.standardise` leaves it.

    Attributes:
        audio: shape (samples,), int16 at 16 kHz.
        cut: seconds cut at its start.
        seconds: length of the original recording.
    """

    audio: npt.NDArray[np.int16]
    cut: float
    seconds: float


def decode(path: Path | None, load: Callable[[], tuple[npt.NDArray[np.float32], int]]) -> Decoded:
    """Decode and standardise.

    Args:
        path: the file; None if there is none.
        load: returns the samples and their rate.

    Raises:
        Unusable: the audio is corrupt, truncated, too large or in a format that can't be decoded; :mod:`benchmark.data.synthesised` wrote
            it; or ``standardise`` refuses it.
    """
    if path is not None and is_marked(path):
        raise Unusable("speech that 'say' wrote")
    try:
        samples, rate = load()
        cut_short = path is not None and is_cut_short(path)
    except TooLarge as error:
        raise Unusable(f"{error}, so no utterance") from error
    except (soundfile.LibsndfileError, OSError, EOFError, ValueError) as error:
        raise Unusable(_why_undecodable(path)) from error
    if cut_short:
        raise Unusable("truncated audio")
    return Decoded(*standardise(samples, rate), len(samples) / rate)


def _why_undecodable(path: Path | None) -> str:
    ending = path.suffix.casefold() if path is not None else ""
    if ending in CONVERT:
        return f"{ending} can't be decoded here, convert it to wav"
    try:
        return "truncated audio" if path is not None and is_cut_short(path) else "corrupt audio"
    except OSError:
        return "corrupt audio"


def _draft(utterance: Utterance, words: Words, dataset: Dataset, grid: Path | None, refused: list[tuple[str, str]]) -> Draft:
    if utterance.unusable or "\0" in utterance.text:
        raise Unusable(utterance.unusable or NOT_TEXT)
    if not utterance.text.strip():
        raise Unusable("no transcript")
    if is_foreign(utterance.text, utterance.language or dataset.card.language):
        raise Unusable(f"text in a script that espeak-ng's voice {utterance.language or dataset.card.language} can't read")
    if utterance.audio is not None and not is_file(utterance.audio):
        raise Unusable("audio file missing")
    if utterance.audio is not None and utterance.audio.stat().st_size == 0:
        raise Unusable("empty audio file")
    known = dataset.alignment(utterance)
    if known is not None:
        words = tuple(tuple(segment.phone for segment in word) for word in known if word)
    if not words:
        raise Unusable("text without phonemes")
    audio, cut, seconds = decode(utterance.audio, partial(dataset.load, utterance))
    if not PHONES_PER_SECOND[0] <= sum(map(len, words)) * SAMPLE_RATE / len(audio) <= PHONES_PER_SECOND[1]:
        raise Unusable("speaking rate outside {} to {} phones a second, so the transcript is wrong".format(*PHONES_PER_SECOND))
    found, source = known, "" if known is None else "dataset"
    if grid is not None:
        try:
            found, source = textgrids.segments(grid, words, seconds), "TextGrid"
        except textgrids.Refused as reason:
            refused.append((utterance.id, str(reason)))
    if found is not None:
        found = [[Segment(s.phone, s.start - cut, s.end - cut) for s in word] for word in found if word]
    return Draft(utterance.id, utterance.text, audio, words, found, source, said_of(utterance))
