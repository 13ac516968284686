"""An utterance ready to learn from or to score, and the symbols that its text is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.audio import from_int16

PAD, SILENCE, BOUNDARY = "<pad>", "<sil>", "|"
SPECIAL_SYMBOLS = (PAD, SILENCE, BOUNDARY)
"""The first symbols of every corpus. A token sequence is: silence, words joined by boundaries, silence.
A boundary lasts 0 frames where the speaker made no pause; a phone lasts at least 1."""


Words = tuple[tuple[str, ...], ...]
"""An utterance's phones, word by word."""


@dataclass(frozen=True)
class PreparedUtterance:
    """One utterance, ready to train on.

    Attributes:
        id: unique in the corpus.
        speaker: who speaks.
        text: what is said, as the dataset writes it.
        words: phones, word by word, without silences.
        tokens: shape (T,), int64 indices into the corpus's symbols.
        durations: shape (T,), int64 frames per token, summing to F.
        mel: shape (F, n_mels), float32 natural-log magnitude.
        pitch: shape (F,), float32 F0 in Hz, 0 where unvoiced.
        energy: shape (F,), float32 natural log of the frame's root mean square.
        audio: shape (samples,), int16 at the mel definition's rate, silence-trimmed and loudness-normalised.
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


