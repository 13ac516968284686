"""Prepared utterances, ready to train on or to score, and the symbols of their texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from benchmark.audio import from_int16
from benchmark.mel import MelSpec

PAD, SILENCE, BOUNDARY = "<pad>", "<sil>", "|"
SPECIAL_SYMBOLS = (PAD, SILENCE, BOUNDARY)
"""The first symbols of every corpus. A token sequence is: silence, words joined by boundaries, silence.
A boundary lasts 0 frames if the speaker does not pause there; a phone lasts at least 1."""

Words = tuple[tuple[str, ...], ...]
"""An utterance's phones, word by word."""


@dataclass(frozen=True)
class PreparedUtterance:
    """One utterance, ready to train on.

    Attributes:
        id: unique in the corpus.
        speaker: who speaks.
        text: the transcript, as the dataset writes it.
        words: phones, word by word, without silences.
        tokens: shape (T,), int64 indices into the corpus's symbols.
        durations: shape (T,), int64 frames per token, summing to F.
        mel: shape (F, n_mels), float32 natural-log magnitude.
        pitch: shape (F,), float32 F0 in Hz, 0 where unvoiced.
        energy: shape (F,), float32 natural log of the frame's root mean square.
        audio: shape (samples,), int16 at the mel definition's rate, silence-trimmed and loudness-normalised.
        language: the language spoken, as an espeak-ng voice ("en-us"); "" if unknown.
        style: how it is spoken ("whisper"); "" for plain speech, or if the dataset does not say.
        labels: anything else the dataset says.
    """

    id: str
    speaker: str
    text: str
    words: Words
    tokens: npt.NDArray[np.int64]
    durations: npt.NDArray[np.int64]
    mel: npt.NDArray[np.float32]
    pitch: npt.NDArray[np.float32]
    energy: npt.NDArray[np.float32]
    audio: npt.NDArray[np.int16]
    language: str = ""
    style: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def waveform(self) -> npt.NDArray[np.float32]:
        """The audio as float32 in [-1, 1)."""
        return from_int16(self.audio)

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones in order, without silences or boundaries."""
        return tuple(phone for word in self.words for phone in word)


@dataclass(frozen=True)
class Statistics:
    """Means and standard deviations over the training split.

    ``mel_*`` are per mel bin; ``pitch_*`` describe ln F0 (Hz) of voiced frames; ``energy_*`` the frame log energy.
    """

    mel_mean: tuple[float, ...]
    mel_std: tuple[float, ...]
    pitch_mean: float
    pitch_std: float
    energy_mean: float
    energy_std: float


def token_symbols(words: Sequence[Sequence[str]]) -> list[str]:
    """The token sequence of an utterance: silence, words joined by boundaries, silence."""
    symbols = [SILENCE]
    for index, word in enumerate(words):
        symbols += [BOUNDARY, *word] if index else word
    return [*symbols, SILENCE]


def spelled(text: str) -> str:
    """A text as recognition writes and scores it: case-folded letters with their marks, digits, apostrophes, one space between words.

    In Unicode's composed form (NFC), so that no accent counts as a character of its own where there is a letter that has it.
    """
    folded = text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    folded = folded.replace("i\N{COMBINING DOT ABOVE}", "i")  # what case folding makes of a Turkish capital
    shown = (each for each in unicodedata.normalize("NFC", folded) if unicodedata.category(each) != "Cf")  # joiners, soft hyphens
    return " ".join("".join(each if each == "'" or unicodedata.category(each)[0] in "LMN" else " " for each in shown).split())


class PreparedCorpus(Protocol):
    """A prepared corpus, as plugins see it (:class:`benchmark.data.corpus.Corpus` is one).

    Attributes:
        name: of the dataset.
        version: digest of what it was made from, the same on all machines.
        exact_version: digest of the prepared bytes, by which to keep what is computed from them; processors round differently.
        training_digest: digest of all of it that a training sees, by which to keep what is learned from training speakers.
        symbols: the table that tokens index; index 0 is padding.
        mel: the mel definition.
        statistics: of the training split.
        meta: the card, the report and the rest of ``corpus.json``.
        own: of ``--dataset`` alone; the corpus itself, unless a run learns from other datasets too.
    """

    name: str
    version: str
    exact_version: str
    symbols: tuple[str, ...]
    mel: MelSpec
    statistics: Statistics
    meta: dict[str, Any]

    @property
    def own(self) -> PreparedCorpus: ...

    @property
    def training_digest(self) -> str: ...

    def __getitem__(self, utterance_id: str) -> PreparedUtterance: ...

    def many(self, utterance_ids: Iterable[str]) -> list[PreparedUtterance]:
        """Several utterances, in the order given."""

    def speakers(self, split: str) -> list[str]:
        """Speakers of "train", "validation" or "test", sorted."""

    def utterance_ids(self, speaker: str) -> list[str]:
        """A speaker's utterances, sorted."""

    def targets(self, split: str) -> list[str]:
        """The split's targets (speakers, unless the run's task is another), sorted."""

    def utterances_of(self, target: str) -> list[str]:
        """A target's utterances, sorted."""

    def frames(self, utterance_id: str) -> int:
        """An utterance's length in mel frames."""

    def text(self, utterance_id: str) -> str:
        """An utterance's transcript."""
