"""Vocos: ConvNeXt blocks predict magnitudes and phases, and an inverse Fourier transform makes the waveform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.mel import mel_filters
from benchmark.settings.ranges import Checked, NonNegativeFloat, PositiveInt
from benchmark.vocoders._training import Critics, SpectralVocoder


class Block(nn.Module):
    """A ConvNeXt block over time (Liu et al., CVPR 2022; Siuzdak, section 3.2), (B, C, F) to (B, C, F).

    Args:
        width: C.
        inner: width between the two pointwise layers.
        scale: initial layer scale.
    """

    def __init__(self, width: int, inner: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        inner = F.gelu(self.inner(self.norm(self.depthwise(hidden).transpose(1, 2))))
        return hidden + (self.scale * self.outer(inner)).transpose(1, 2)


class Vocos(SpectralVocoder):
    """A ConvNeXt network with an inverse short-time Fourier transform as its head, small enough to train on two cores.

    Siuzdak, "Vocos" (ICLR 2024), section 3. What differs, for the sake of a small budget: the network corrects the magnitudes that
    the mel filters' pseudo-inverse gives instead of predicting them from nothing (Lv et al., "FreeV", Interspeech 2024). Training first
    compares spectrograms alone, the mel and those of several resolutions (Yamamoto et al., "Parallel WaveGAN", ICASSP 2020, equations 3
    to 6). Discriminators, of HiFi-GAN's periods and UnivNet's resolutions but much narrower, join for the last part
    (``adversarial_part``), with HiFi-GAN's least squares (equations 1 and 2) in place of a hinge, and a feature loss relative to the
    features' size.
    """

    window: Tensor
    inverse: Tensor

    @dataclass(frozen=True)
    class Config(Checked):
        """Sizes and losses.

        Attributes:
            width: channels of the blocks.
            inner: channels between a block's pointwise layers.
            blocks: number of blocks.
            adversarial_part: last part of the training, which discriminators join; 0 to 1.
            adversarial_weight: weight of the adversarial and the feature loss beside the spectral ones.
            checkpoint: file of weights to load instead of training; "shipped" is the one that comes with the package.
            critic_width: channels of the discriminators' first layers.
        """

        width: PositiveInt = 256
        inner: PositiveInt = 768
        blocks: PositiveInt = 6
        adversarial_part: Annotated[float, Ge(0), Le(1)] = 0.25
        adversarial_weight: NonNegativeFloat = 0.2
        critic_width: PositiveInt = 8
        checkpoint: str = ""

    @classmethod
    def tiny(cls) -> Vocos.Config:
        """See :meth:`Vocoder.tiny`."""
        return cls.Config(width=8, inner=16, blocks=1, critic_width=1, adversarial_part=1.0)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        mel, width, count = self.mel, self.config.width, self.config.blocks
        self.first = nn.Conv1d(mel.n_mels, width, 7, padding=3)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.Sequential(*(Block(width, self.config.inner, 1 / count) for _ in range(count)))
        self.last = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, mel.n_fft + 2)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.critics = Critics(self.config.critic_width) if self.config.adversarial_part > 0 else nn.Identity()
        self.register_buffer("window", torch.hann_window(mel.win_length), persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(mel_filters(mel)), persistent=False)

    def waveform(self, mels: Tensor) -> Tensor:
        """See :meth:`SpectralVocoder.waveform`."""
        # Log-mels lie about -5, three standard deviations of 3.
        hidden = self.norm(self.first((mels.transpose(1, 2) + 5) / 3).transpose(1, 2))
        hidden = self.last(self.blocks(hidden.transpose(1, 2)).transpose(1, 2))
        made = self.head(hidden)
        with torch.autocast(mels.device.type, enabled=False):
            correction, phase = made.to(torch.promote_types(made.dtype, torch.float32)).chunk(2, dim=2)
            prior = (mels.exp() @ self.inverse).clamp_min(1e-5).log()
            # No harmonic of a waveform in [-1, 1] is louder: a square wave's first has 4 / pi times half of the window's sum, 326.
            spectrum = torch.polar((prior + correction).clamp_max(6).exp(), phase)
            return torch.istft(spectrum.transpose(1, 2), self.mel.n_fft, self.mel.hop_length, self.mel.win_length, self.window)


PLUGIN = Vocos
