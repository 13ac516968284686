"""Padded batches of prepared utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmark.utterance import PreparedUtterance, Statistics, spelled

NEW_SPEAKER = -1
"""Speaker index of everyone who is not a training speaker."""


@dataclass(frozen=True)
class Batch:
    """B utterances, padded to T tokens and F frames.

    Attributes:
        tokens: (B, T) int64 symbol indices, 0 where padded.
        token_lengths: (B,) int64.
        durations: (B, T) int64 frames per token; each row sums to its mel length.
        mels: (B, F, n_mels) float32 natural-log magnitude, 0 where padded.
        mel_lengths: (B,) int64.
        pitch: (B, T) float32, mean normalised ln F0 of each token's voiced frames, 0 where there are none.
        energy: (B, T) float32, mean normalised log energy of each token's frames, 0 where there are none.
        speakers: (B,) int64 indices of training speakers, or ``NEW_SPEAKER``.
        characters: (B, C) int64 code points of the transcript as recognition spells it, 0 where padded.
        audio: (B, S) int16 recordings, 0 where padded, for a vocoder that adapts; augmentation leaves them as they are.
        audio_lengths: (B,) int64 samples.
    """

    tokens: Tensor
    token_lengths: Tensor
    durations: Tensor
    mels: Tensor
    mel_lengths: Tensor
    pitch: Tensor
    energy: Tensor
    speakers: Tensor
    characters: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))
    audio: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int16))
    audio_lengths: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def to(self, device: torch.device | str, **_: Any) -> Batch:
        """The same batch on another device (Lightning calls this, with options that are ignored)."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def rows(self, rows: slice | Tensor) -> Batch:
        """Some of the utterances, by a slice or by their numbers, (N,) int64."""
        return Batch(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def as_new_speaker(self) -> Batch:
        """The same utterances, every speaker replaced by ``NEW_SPEAKER``."""
        return replace(self, speakers=torch.full_like(self.speakers, NEW_SPEAKER))


def sound_only(mels: Tensor, lengths: Tensor, texts: Sequence[str] = ()) -> Batch:
    """A new speaker's support set without phonemes, for recognisers and for algorithms that need no transcripts.

    One token without a meaning lasts as long as each recording, so that augmentation can stretch it.

    Args:
        mels: (B, F, n_mels).
        lengths: (B,) frames.
        texts: B transcripts; none if they are not known.
    """
    one, nobody = torch.zeros(len(mels), 1), torch.full_like(lengths, NEW_SPEAKER)
    spelt = pad_sequence([code_points(text) for text in texts], batch_first=True) if texts else one[:, :0].long()
    return Batch(
        one.long(), torch.ones_like(lengths), lengths[:, None], mels, lengths, one, one, nobody, spelt,
        audio=one[:, :0].to(torch.int16), audio_lengths=torch.zeros_like(lengths),
    )  # fmt: skip


def code_points(text: str) -> Tensor:
    """A transcript as recognition spells it, (C,) int64."""
    return torch.tensor([ord(each) for each in spelled(text)], dtype=torch.int64)


def token_means(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], durations: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Weighted mean of frame values over each token; 0 for tokens without weight.

    Args:
        values, weights: (F,).
        durations: (T,) frames per token, summing to F; may be 0.
    """
    edges = np.concatenate([[0], np.cumsum(durations)])
    total = np.concatenate([[0.0], np.cumsum(values * weights)])
    weight = np.concatenate([[0.0], np.cumsum(weights)])
    mass = weight[edges[1:]] - weight[edges[:-1]]
    # Differences of running sums leave rounding errors where the true weight is zero.
    means = np.where(mass > 0.5, (total[edges[1:]] - total[edges[:-1]]) / np.maximum(mass, 1e-9), 0.0)
    return means.astype(np.float32)


def _prosody(utterance: PreparedUtterance, statistics: Statistics) -> tuple[Tensor, Tensor]:
    voiced = utterance.pitch > 0
    log_f0 = np.log(np.where(voiced, utterance.pitch, 1.0), dtype=np.float64)
    pitch = token_means((log_f0 - statistics.pitch_mean) / statistics.pitch_std, voiced.astype(np.float64), utterance.durations)
    energy = (utterance.energy.astype(np.float64) - statistics.energy_mean) / statistics.energy_std
    return torch.from_numpy(pitch), torch.from_numpy(token_means(energy, np.ones_like(energy), utterance.durations))


def collate(utterances: Sequence[PreparedUtterance], statistics: Statistics, speaker_index: Mapping[str, int]) -> Batch:
    """Pad utterances into a batch; speakers missing from ``speaker_index`` become ``NEW_SPEAKER``."""
    prosody = [_prosody(utterance, statistics) for utterance in utterances]

    def padded(tensors: list[Tensor]) -> Tensor:
        return pad_sequence(tensors, batch_first=True)

    return Batch(
        tokens=padded([torch.tensor(u.tokens) for u in utterances]),
        token_lengths=torch.tensor([len(u.tokens) for u in utterances]),
        durations=padded([torch.tensor(u.durations) for u in utterances]),
        mels=padded([torch.tensor(u.mel) for u in utterances]),
        mel_lengths=torch.tensor([len(u.mel) for u in utterances]),
        pitch=padded([p for p, _ in prosody]),
        energy=padded([e for _, e in prosody]),
        speakers=torch.tensor([speaker_index.get(u.speaker, NEW_SPEAKER) for u in utterances]),
        characters=padded([code_points(u.text) for u in utterances]),
        audio=padded([torch.tensor(u.audio) for u in utterances]),
        audio_lengths=torch.tensor([len(u.audio) for u in utterances]),
    )
