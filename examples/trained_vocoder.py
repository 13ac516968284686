"""A vocoder that trains once per corpus and seed, on training speakers only; later runs find it in the cache.

    python -m benchmark check examples/trained_vocoder.py
    python -m benchmark run --plugin examples/trained_vocoder.py --vocoder trained_vocoder --algo copy_synthesis \\
        --dataset espeak --preset smoke
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.settings.ranges import Checked, PositiveInt
from benchmark.vocoder import Segments, Vocoder

RESOLUTIONS = (512, 1024, 2048)
"""Window lengths, in samples, of the spectrograms that the loss compares."""


class TrainedVocoder(Vocoder):
    """Three convolutions from the mel to magnitude and phase of a short-time Fourier transform, which is then inverted.

    After Siuzdak, "Vocos" (ICLR 2024), much smaller and without discriminators: the loss compares spectrograms of several
    resolutions (Yamamoto, Song & Kim, "Parallel WaveGAN", ICASSP 2020, section 2.2).
    """

    trains = True
    window: Tensor

    @dataclass(frozen=True)
    class Config(Checked):
        """Size of the model.

        Attributes:
            hidden: width of the convolutions.
            checkpoint: file of weights to load instead of training, which a run left in its cache's vocoders/, say; "" to train.
        """

        hidden: PositiveInt = 256
        checkpoint: str = ""

    @classmethod
    def tiny(cls) -> TrainedVocoder.Config:
        """See :meth:`Vocoder.tiny`."""
        return cls.Config(hidden=8)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        width, bins = self.config.hidden, self.mel.n_fft // 2 + 1
        self.layers = nn.Sequential(
            nn.Conv1d(self.mel.n_mels, width, 7, padding=3), nn.GELU(), nn.Conv1d(width, width, 7, padding=3), nn.GELU(),
            nn.Conv1d(width, 2 * bins, 7, padding=3),
        )  # fmt: skip
        self.register_buffer("window", torch.hann_window(self.mel.win_length))

    def loss(self, segments: Segments) -> dict[str, Tensor]:
        """See :meth:`Vocoder.loss`: log-magnitude error and spectral convergence."""
        made = self._wave(segments.mels)
        log_error, convergence = made.new_zeros(()), made.new_zeros(())
        for size in RESOLUTIONS:
            ours, real = _magnitude(made, size), _magnitude(segments.audio, size)
            log_error = log_error + F.l1_loss(ours.log(), real.log()) / len(RESOLUTIONS)
            convergence = convergence + (ours - real).norm() / real.norm() / len(RESOLUTIONS)
        return {"loss": log_error + convergence, "log_error": log_error, "convergence": convergence}

    def decode(self, mel: Tensor) -> Tensor:
        """See :meth:`Vocoder.decode`."""
        with torch.no_grad():
            return self._wave(mel[None].to(self.window.device))[0]

    def _wave(self, mels: Tensor) -> Tensor:
        """(B, (F - 1) * hop_length) from (B, F, n_mels)."""
        magnitude, phase = self.layers((mels.transpose(1, 2) + 5) / 3).float().chunk(2, dim=1)
        spectrum = torch.polar(magnitude.clamp_max(5).exp(), phase)
        return torch.istft(spectrum, self.mel.n_fft, self.mel.hop_length, self.mel.win_length, self.window)


def _magnitude(audio: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=audio.device)
    return torch.stft(audio, size, size // 4, window=window, return_complex=True).abs().clamp_min(1e-4)


PLUGIN = TrainedVocoder
