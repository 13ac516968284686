"""Griffin-Lim: no training, no weights, the same for every voice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchaudio

from benchmark.mel import MelSpec, mel_filters
from benchmark.settings.ranges import BelowOne, Checked, PositiveFloat, PositiveInt
from benchmark.vocoder import Vocoder


class GriffinLim(Vocoder):
    """Least-squares inversion of the mel filters, then fast Griffin-Lim phase reconstruction.

    Griffin & Lim (1984); momentum after Perraudin et al., "A fast Griffin-Lim algorithm" (WASPAA 2013).
    """

    @dataclass(frozen=True)
    class Config(Checked):
        """Settings.

        Attributes:
            iterations: rounds of phase estimation.
            momentum: momentum of the phase updates, 0 (plain Griffin-Lim) to below 1.
            sharpen: exponent on the mel magnitudes before inversion; 1 leaves them unchanged.
        """

        iterations: PositiveInt = 60
        momentum: BelowOne = 0.99
        sharpen: PositiveFloat = 1.0

    def __init__(self, config: Config | None = None, mel: MelSpec | None = None) -> None:
        super().__init__(config)
        self.mel = mel = mel or MelSpec()
        self._inverse: torch.Tensor
        self.register_buffer("_inverse", torch.linalg.pinv(mel_filters(mel)), persistent=False)
        # rand_init=False: the same mel always gives the same wave.
        self._griffin_lim = torchaudio.transforms.GriffinLim(
            n_fft=mel.n_fft, n_iter=self.config.iterations, win_length=mel.win_length, hop_length=mel.hop_length,
            power=1.0, momentum=self.config.momentum, rand_init=False,
        )  # fmt: skip

    def decode(self, mel: torch.Tensor) -> torch.Tensor:
        """See :meth:`Vocoder.decode`."""
        mel = mel.detach().float().to(self._inverse.device)
        magnitude = (mel.exp().pow(self.config.sharpen) @ self._inverse).clamp_min(0.0)
        return self._griffin_lim(magnitude.T)


PLUGIN = GriffinLim
