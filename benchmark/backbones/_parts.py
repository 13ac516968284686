"""Small parts that backbones share: masks, mirrored sequences, positions, the vector of a speaker."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.batch import NEW_SPEAKER


def inside(lengths: Tensor, size: int) -> Tensor:
    """1 inside each sequence and 0 in its padding, (B, size, 1) float32, from lengths (B,)."""
    return (torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)).unsqueeze(-1).float()


def mirrored(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence reversed within its length, (B, L, width); padding stays in place."""
    place = torch.arange(sequences.shape[1], device=sequences.device)
    source = torch.where(place < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - place, place)
    return sequences.gather(1, source.unsqueeze(-1).expand_as(sequences))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of ``values`` where ``mask``, of the same shape, is 1; 0 where it is 1 nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1.0)


def vectors(table: nn.Embedding, new_speaker: Tensor, indices: Tensor, override: Tensor | None) -> Tensor:
    """The speaker vector of each utterance, (B, speaker_dim): see :class:`benchmark.backbone.SynthesisBackbone`.

    Args:
        table: the training speakers' vectors.
        new_speaker: offset of the new speaker from their mean, (speaker_dim,).
        indices: (B,) rows of ``table``, or ``NEW_SPEAKER``.
        override: None, or vectors to take instead, (B, speaker_dim) or (speaker_dim,).
    """
    if override is not None:
        return override.expand(len(indices), -1)
    new = table.weight.detach().mean(0) + new_speaker
    return torch.where((indices == NEW_SPEAKER).unsqueeze(1), new, table(indices.clamp_min(0)))


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Positions as sines and cosines, (..., width): Vaswani et al., "Attention Is All You Need" (2017), section 3.5.

    Args:
        places: (...) float, in steps; need not be whole numbers.
        width: of the code; its first half are sines.
    """
    half = (width + 1) // 2
    rates = 10000 ** -(torch.arange(half, device=places.device, dtype=places.dtype) / half)
    angles = places.unsqueeze(-1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :width]
