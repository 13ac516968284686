"""Speaker encoders from speechbrain, sized for a laptop and run over windows of log-mel."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmark.plumbing.tf32 import tf32_kept

ENCODERS = ("xvector", "ecapa")
WIDTH, POOLED = 128, 384
WINDOW = 96
"""Frames that the encoder sees at once: 1.5 s at a hop of 16 ms, near the windows of d-vectors (Wan et al., ICASSP 2018, section 3.2)."""


def windows(mels: Tensor, lengths: Tensor, size: int = WINDOW) -> tuple[Tensor, Tensor]:
    """Cut utterances into as few windows as cover them, evenly spread; a shorter utterance is repeated to fill one.

    speechbrain's convolutions and normalisations ignore lengths: padding would reach the embedding, and an utterance's
    embedding would depend on the rest of its batch. Windows hold no padding.

    Args:
        mels: (B, F, n_mels).
        lengths: (B,) frames, at least 1.
        size: frames of a window.

    Returns:
        (N, size, n_mels), and (N,) the utterance that each window comes from.
    """
    owners: list[int] = []
    frames: list[Tensor] = []
    for owner, length in enumerate(lengths.tolist()):
        count = math.ceil(length / size)
        for number in range(count):
            start = number * (length - size) // (count - 1) if count > 1 else 0
            frames.append((torch.arange(size) + start) % length)
            owners.append(owner)
    owner_index = torch.tensor(owners, device=mels.device)
    return mels[owner_index.unsqueeze(1), torch.stack(frames).to(mels.device)], owner_index


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time, (N, F, C) to (N, 1, 2C).

    Replaces speechbrain's, which adds random noise even in evaluation and has an infinite slope where a channel is constant.
    """

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.cat([x.mean(1), (x.var(1, correction=0) + 1e-5).sqrt()], dim=1).unsqueeze(1)


class SpeakerEncoder(nn.Module):
    """Utterances to embeddings: a speechbrain network embeds each window of an utterance; the windows' mean is its embedding.

    "xvector": Snyder et al., "X-Vectors" (ICASSP 2018). "ecapa": Desplanques et al., "ECAPA-TDNN" (Interspeech 2020).
    Their layers, with fewer channels (128, pooled over 384, instead of 512 and 1500).
    """

    def __init__(self, kind: str, n_mels: int, embedding_dim: int) -> None:
        super().__init__()
        self.network = _network(kind, n_mels, embedding_dim)
        self.embedding_dim = embedding_dim

    def forward(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """(B, F, n_mels) normalised log-mels and (B,) frames to (B, embedding_dim)."""
        pieces, owner = windows(mels, lengths)
        embeddings = self.network(pieces).squeeze(1)
        total = embeddings.new_zeros(len(mels), self.embedding_dim).index_add(0, owner, embeddings)
        return total / torch.bincount(owner, minlength=len(mels)).unsqueeze(1)


def _network(kind: str, n_mels: int, embedding_dim: int) -> nn.Module:
    with tf32_kept():
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
        from speechbrain.lobes.models.Xvector import Xvector
    if kind == "ecapa":
        return ECAPA_TDNN(
            n_mels, lin_neurons=embedding_dim, channels=[WIDTH] * 4 + [POOLED], attention_channels=64, res2net_scale=4, se_channels=64,
        )  # fmt: skip
    network = Xvector(tdnn_channels=[WIDTH] * 4 + [POOLED], lin_neurons=embedding_dim, in_channels=n_mels)
    network.blocks[-2] = StatisticsPooling()
    return network
