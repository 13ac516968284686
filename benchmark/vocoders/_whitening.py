"""Whitening: what a mel tells of a waveform without any learning, its spectrum, is taken out of it, and put back.

Valin & Skoglund, "LPCNet" (ICASSP 2019), section 3.3, compute linear prediction from the features that a vocoder is given; a network
is then left with what the prediction misses. Here the order is high enough for the pitch of higher voices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.mel import MelSpec, mel_filters

ORDER = 128
"""Samples that a prediction looks back: 8 ms."""
FLOOR = 2.0**-12
"""The level of white noise that is taken to lie beside every signal: what is quieter can't be told from silence."""


class Filters(NamedTuple):
    """A predictor for each of F frames.

    Attributes:
        coefficients: of the samples before, the last one first, (B, F, ORDER).
        level: standard deviation of what is not predicted, (B, F).
    """

    coefficients: Tensor
    level: Tensor


class Whitening(nn.Module):
    """Between waveforms and what linear prediction misses of them, divided by its level: about white, of about unit variance.

    A triangular map of a waveform's samples, so that ln |det| of its Jacobian is minus the sum of the log-levels.

    Args:
        mel: definition of the spectrograms; frames are centred on multiples of the hop.
    """

    inverse: Tensor

    def __init__(self, mel: MelSpec) -> None:
        super().__init__()
        self.mel = mel
        self.register_buffer("inverse", torch.linalg.pinv(mel_filters(mel)), persistent=False)

    @torch.no_grad()
    def filters(self, mels: Tensor) -> Filters:
        """The predictors, computed in double precision on the CPU, from natural-log mels (B, F, n_mels)."""
        magnitude = (mels.cpu().double().exp() @ self.inverse.cpu().double()).clamp_min(0)
        # Parseval: the squares of a Hann window sum to 3 / 8 of its length.
        power = magnitude.square() / (3 / 8 * self.mel.win_length)
        correlation = torch.fft.irfft(power)[..., : ORDER + 1]
        correlation[..., 0] += FLOOR**2
        coefficients, error = _levinson_durbin(correlation)
        return Filters(coefficients.to(mels), error.sqrt().to(mels))

    def levels(self, filters: Filters) -> Tensor:
        """The level of each sample, (B, (F - 1) * hop_length)."""
        hop = self.mel.hop_length
        return filters.level.repeat_interleave(hop, dim=1)[:, hop // 2 : -(hop // 2)]

    def forward(self, audio: Tensor, filters: Filters) -> Tensor:
        """(B, (F - 1) * hop_length) from a waveform of as many samples; silence lies before it."""
        half = self.mel.hop_length // 2
        # A frame's samples lie around its centre: half of the first and half of the last frame's lie outside.
        past = F.pad(audio, (ORDER + half, half - 1)).unfold(1, ORDER, 1).unflatten(1, (-1, self.mel.hop_length))
        with torch.autocast(audio.device.type, enabled=False):  # what is left of samples is far smaller than they are
            predicted = torch.einsum("bfto,bfo->bft", past, filters.coefficients.flip(-1)).flatten(1)[:, half:-half]
        return (audio - predicted) / self.levels(filters)

    @torch.no_grad()
    def undo(self, white: Tensor, filters: Filters) -> Tensor:
        """The waveform whose :meth:`forward` is ``white``, (B, (F - 1) * hop_length)."""
        missed = (white * self.levels(filters)).cpu().double().numpy()
        coefficients = filters.coefficients.cpu().double().numpy()
        waves = [_predicting(each, own, self.mel.hop_length) for each, own in zip(missed, coefficients, strict=True)]
        return torch.from_numpy(np.stack(waves)).to(white)


def _levinson_durbin(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """The best predictors of signals with these autocorrelations, (..., order + 1), and the power that they miss: (..., order), (...)."""
    order = correlation.shape[-1] - 1
    best, error = correlation.new_zeros(*correlation.shape[:-1], order), correlation[..., 0].clone()
    for size in range(order):
        shorter, seen = best[..., :size].clone(), correlation[..., 1 : size + 1].flip(-1)
        reflection = (correlation[..., size + 1] - (shorter * seen).sum(-1)) / error
        best[..., :size] -= reflection[..., None] * shorter.flip(-1)
        best[..., size] = reflection
        error *= 1 - reflection.square()
    return best, error


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _predicting(missed: Any, coefficients: Any, hop: int) -> Any:
    """The waveform of which predictions miss so much, sample by sample."""
    order = coefficients.shape[1]
    wave = np.zeros(order + len(missed))
    for t in range(len(missed)):
        own = coefficients[(t + hop // 2) // hop]
        total = missed[t]
        for k in range(order):
            total += own[k] * wave[order + t - 1 - k]
        wave[order + t] = total
    return wave[order:]
