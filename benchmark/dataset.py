"""What a dataset plugin is: a corpus of recorded (or rendered) speech by many speakers.

A dataset says who speaks, what is said and where the audio lies. Decoding, trimming, phonemes, durations and features
are the harness's work (:mod:`benchmark.data.prepare`), and so is sampling, so that every algorithm sees the same episodes.
"""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.errors import BenchmarkError, UsageError

SPLITS = ("train", "validation", "test")
NOT_TEXT = "not UTF-8 text"


@dataclass(frozen=True)
class DatasetCard:
    """What a reader must know of a dataset before trusting a number made with it.

    Attributes:
        title: the name people know it by.
        version: of the corpus or, for a rendered one, of its recipe.
        licence: SPDX identifier or the licence's name.
        language: espeak-ng voice that turns its text into phonemes ("en-us"), where an utterance names none.
        sample_rate: of the audio as published, Hz.
        citation: what to cite.
        how_to_get: one sentence.
        layout: the files expected under the data root, for the error when they are not there.
        synthetic: rendered by a machine; its rows are never evidence about speech.
    """

    title: str
    version: str
    licence: str
    language: str
    sample_rate: int
    citation: str
    how_to_get: str
    layout: str
    synthetic: bool = False


@dataclass(frozen=True)
class Utterance:
    """One utterance as the dataset has it.

    Attributes:
        id: unique in the dataset.
        speaker: who speaks.
        text: what is said; "" where there is no transcript.
        audio: the file; None where the dataset renders it (override ``load``).
        language: the espeak-ng voice that turns the text into phonemes ("de"); "" for the card's.
        style: how it is spoken ("whisper", "happy"); "" where the dataset does not say.
        labels: whatever else is known of it ("room": "office").
        unusable: why it can't be used, where the dataset knows ("not UTF-8 text"); it is then skipped, counted under that reason.
    """

    id: str
    speaker: str
    text: str
    audio: Path | None = None
    language: str = ""
    style: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    unusable: str = ""


@dataclass(frozen=True)
class Segment:
    """A phone and where it lies, in seconds from the start of the audio as loaded."""

    phone: str
    start: float
    end: float


class Dataset(ABC):
    """Base of every dataset plugin; a file in ``datasets/`` that ends in ``PLUGIN = YourClass``.

    Attributes:
        card: what a reader must know.
        needs_root: False for a dataset that makes its own speech.
        tasks: what its utterances can be grouped by, of ``benchmark.task.TASK_KINDS``: "language" where utterances name
            theirs and no language is in two splits, "style" where they name a style.

    Set ``card``, and implement ``speakers`` and ``utterances``. Override ``load`` if the audio is not one file an
    utterance, ``alignment`` if phone boundaries are known, ``download`` if the corpus can be fetched.

    Args:
        root: the data root; None only for a dataset that needs none (``needs_root = False``).
        config: an instance of the plugin's own ``Config`` dataclass.

    Raises:
        UsageError: from ``__init__``, when the root does not hold the layout (raise :meth:`wrong_root`).
    """

    card: ClassVar[DatasetCard]
    needs_root: ClassVar[bool] = True
    tasks: ClassVar[Sequence[str]] = ("speaker",)

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, root: Path | None, config: Any = None) -> None:
        self.root = root
        self.config: Any = config if config is not None else self.Config()

    def wrong_root(self) -> UsageError:
        """The error for a root that does not hold the layout: what was expected, what is there, where to get it."""
        root, card = self.root or Path(), self.card
        if root.is_dir():
            found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
        else:
            found = "a file, not a folder" if root.exists() else "no such folder"
        return UsageError(f"{root} is not a {card.title} data root: expected {card.layout}; found: {found}. {card.how_to_get}")

    @abstractmethod
    def speakers(self, split: str) -> Sequence[str]:
        """Speakers of "train", "validation" or "test", sorted; the splits share none."""

    @abstractmethod
    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """A speaker's utterances, sorted by id. A missing transcript is an empty ``text`` (skipped and counted)."""

    def load(self, utterance: Utterance) -> tuple[npt.NDArray[np.float32], int]:
        """The audio, shape (samples,) or (samples, channels), float32 in [-1, 1], and its rate in Hz.

        Raises:
            OSError, soundfile.LibsndfileError: it can't be decoded (skipped and counted).
        """
        from benchmark.plumbing.sound_files import read

        if utterance.audio is None:
            raise NotImplementedError(f"{type(self).__name__} must override load(): its utterances have no audio file")
        return read(utterance.audio)

    def alignment(self, utterance: Utterance) -> list[list[Segment]] | None:
        """Exact phone boundaries, word by word, if the dataset knows them; the phones then come from here."""
        return None

    def download(self, root: Path) -> None:
        """Fetch the corpus into ``root`` (only ever called for ``prepare --download``)."""
        raise UsageError(f"{self.card.title} can't be downloaded from here: {self.card.how_to_get}")


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file that belongs to a corpus, whatever ends them; a byte order mark is no part of them.

    Raises:
        OSError: it can't be read.
        BenchmarkError: it is in another encoding; the sentence names the line.
    """
    lines = []
    for number, line in enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BenchmarkError(f"{path}, line {number}, is not UTF-8 text ({error.reason}); save the file as UTF-8.") from error
    return lines


def read_transcript(path: Path) -> tuple[str, str]:
    """The text in a file beside a recording, its white space folded, and why it can't be used; one of the two is "".

    A missing file is a missing transcript: both are "".
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return "", "" if isinstance(error, FileNotFoundError) else "transcript can't be read"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "", NOT_TEXT
    return ("", NOT_TEXT) if "\0" in text else (" ".join(text.split()), "")
