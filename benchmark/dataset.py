"""The interface of dataset plugins: a corpus of recorded (or rendered) speech by many speakers.

A dataset says who speaks, what they say and where the audio is. The harness decodes, trims, phonemises, aligns and
computes features (:mod:`benchmark.data.prepare`). It also draws the episodes, so that every algorithm sees the same ones.
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
    """What readers must know about a dataset before they trust a number made with it.

    Attributes:
        title: the name it is known by.
        version: of the corpus or, for a rendered one, of its recipe.
        licence: SPDX identifier or the licence's name.
        language: espeak-ng voice that turns its text into phonemes ("en-us"), unless an utterance names another.
        sample_rate: of the audio as published, Hz.
        citation: what to cite.
        how_to_get: one sentence.
        layout: the files expected under the data root, for the error when they are missing.
        synthetic: True if a machine rendered it; its rows are no evidence about real speech.
        label: lower-case letters, digits and underscores that tell apart the corpora which one plugin reads; names of runs and
            tables have it. Empty if the plugin reads one corpus.
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
    label: str = ""


@dataclass(frozen=True)
class Utterance:
    """One utterance as the dataset provides it.

    Attributes:
        id: unique in the dataset.
        speaker: who speaks.
        text: the transcript; "" if there is none.
        audio: the file; None if the dataset renders it (override ``load``).
        language: the espeak-ng voice that turns the text into phonemes ("de"); "" for the card's.
        style: how it is spoken ("whisper", "happy"); "" for plain speech, or if the dataset does not say.
        labels: anything else known about it ("room": "office").
        unusable: why it can't be used, if the dataset knows ("not UTF-8 text"); it is skipped and counted under that reason.
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
    """A phone with its start and end, in seconds from the start of the audio as loaded."""

    phone: str
    start: float
    end: float


class Dataset(ABC):
    """Base of every dataset plugin: a file in ``datasets/`` that ends in ``PLUGIN = YourClass``.

    Attributes:
        card: what readers must know.
        needs_root: False for a dataset that makes its own speech.
        tasks: what its utterances can be grouped by, of ``benchmark.task.TASK_KINDS``: "language" if each utterance names
            its language and no language is in two splits, "style" if utterances name their style, "cross_lingual" if utterances
            name their language and speakers speak several.
        task: what the run groups by (:meth:`pose`).
        undivided: True if all speakers are in the test split because they are too few to split: runs on other datasets may then train
            on them (``--pretrain.dataset``).

    Set ``card``, and implement ``speakers`` and ``utterances``. Override ``load`` unless every utterance is one audio
    file, ``alignment`` if phone boundaries are known, ``download`` if the corpus can be fetched.

    Args:
        root: the data root; None only for a dataset that needs none (``needs_root = False``).
        config: an instance of the plugin's own ``Config`` dataclass.

    Raises:
        UsageError: from ``__init__``, if the root does not have the layout (raise :meth:`wrong_root`).
    """

    card: ClassVar[DatasetCard]
    needs_root: ClassVar[bool] = True
    tasks: ClassVar[Sequence[str]] = ("speaker",)
    task: str = "speaker"
    undivided: bool = False

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, root: Path | None, config: Any = None) -> None:
        self.root = root
        self.config: Any = config if config is not None else self.Config()

    def pose(self, task: str) -> None:
        """Take note of what the run groups by, before anything else is asked.

        Recordings need not care. A dataset that renders its speech can render what the task needs, and one that draws its
        splits can draw them so that no target is in two.
        """
        self.task = task

    def wrong_root(self) -> UsageError:
        """The error for a root without the layout: what was expected, what is there, where to get it."""
        root, card = self.root or Path(), self.card
        if root.is_dir():
            found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
        else:
            found = "a file, not a folder" if root.exists() else "no such folder"
        return UsageError(f"{root} does not hold {card.title}: expected {card.layout}; found: {found}. {card.how_to_get}")

    @abstractmethod
    def speakers(self, split: str) -> Sequence[str]:
        """Speakers of "train", "validation" or "test", sorted; the splits share none."""

    @abstractmethod
    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """A speaker's utterances, sorted by id. A missing transcript is an empty ``text`` (skipped and counted)."""

    def load(self, utterance: Utterance) -> tuple[npt.NDArray[np.float32], int]:
        """The audio, shape (samples,) or (samples, channels), float32 in [-1, 1], and its rate in Hz.

        Raises:
            OSError, soundfile.LibsndfileError: it can't be decoded; the utterance is skipped and counted.
        """
        from benchmark.plumbing.sound_files import read

        if utterance.audio is None:
            raise NotImplementedError(f"{type(self).__name__} must override load(): its utterances have no audio file")
        return read(utterance.audio)

    def alignment(self, utterance: Utterance) -> list[list[Segment]] | None:
        """Exact phone boundaries, word by word, if the dataset knows them; they then replace the phonemiser's phones."""
        return None

    def download(self, root: Path) -> None:
        """Fetch the corpus into ``root``; called only by ``prepare --download``, with ``config`` set but before ``__init__``."""
        raise UsageError(f"{self.card.title} can't be downloaded from here: {self.card.how_to_get}")


def read_lines(path: Path) -> list[str]:
    """The lines of a corpus's UTF-8 text file, with any line endings and without a byte order mark.

    Raises:
        OSError: it can't be read.
        BenchmarkError: it has another encoding; the message names the line.
    """
    lines = []
    for number, line in enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BenchmarkError(f"{path}, line {number}, is not UTF-8 text ({error.reason}); save the file as UTF-8.") from error
    return lines


def read_transcript(path: Path) -> tuple[str, str]:
    """The text in a transcript file, white space collapsed, and why it can't be used; one of the two is "".

    Both are "" if the file is missing.
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
