"""The mel spectrogram that backbones predict and vocoders invert, defined once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torchaudio

from benchmark.audio import SAMPLE_RATE

LOG_FLOOR = 1e-5
"""Lower bound of mel magnitudes before the logarithm (ln 1e-5 = -11.5)."""


@dataclass(frozen=True)
class MelSpec:
    """The definition of a mel spectrogram. A backbone and a vocoder that disagree on it are refused."""

    sample_rate: int = SAMPLE_RATE
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    f_min: float = 0.0
    f_max: float = 8000.0

    def frames(self, samples: int) -> int:
        """The number of frames of ``samples`` samples (frames are centred, so one more than there are hops)."""
        return 1 + samples // self.hop_length

    @property
    def seconds_per_frame(self) -> float:
        """The hop in seconds."""
        return self.hop_length / self.sample_rate


@lru_cache(maxsize=4)
def _transform(spec: MelSpec) -> torchaudio.transforms.MelSpectrogram:
    return torchaudio.transforms.MelSpectrogram(
        sample_rate=spec.sample_rate, n_fft=spec.n_fft, win_length=spec.win_length, hop_length=spec.hop_length,
        f_min=spec.f_min, f_max=spec.f_max, n_mels=spec.n_mels, power=1.0, norm="slaney", mel_scale="slaney",
    )  # fmt: skip


@lru_cache(maxsize=4)
def mel_filters(spec: MelSpec) -> torch.Tensor:
    """The filters of :func:`log_mel`, shape (n_fft // 2 + 1, n_mels), on the CPU."""
    with torch.device("cpu"):  # whatever device, or none at all, weights are made on
        return torchaudio.functional.melscale_fbanks(
            spec.n_fft // 2 + 1, spec.f_min, spec.f_max, spec.n_mels, spec.sample_rate, norm="slaney", mel_scale="slaney"
        )


def log_mel(audio: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Natural-log magnitude mel spectrogram (Slaney scale and norm, reflect-padded, centred frames).

    Args:
        audio: shape (samples,), float in [-1, 1], at ``spec.sample_rate``; more than ``n_fft / 2`` samples.
        spec: the definition.

    Returns:
        shape (``spec.frames(samples)``, ``spec.n_mels``), values ≥ ln(``LOG_FLOOR``).
    """
    return _transform(spec)(audio).clamp_min(LOG_FLOOR).log().T.contiguous()
