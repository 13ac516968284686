"""WaveGlow: a normalising flow between noise and waveforms, of invertible 1x1 convolutions and affine couplings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmark.mel import MelSpec
from benchmark.settings.ranges import Checked, NonNegativeFloat, NonNegativeInt, Odd, PositiveInt
from benchmark.vocoder import Segments, Vocoder
from benchmark.vocoders._whitening import Whitening

SEED = 0
"""The seed of the noise that every waveform is made of."""
DEQUANTISATION = 2.0**-12
"""Range of the uniform noise that audio is learned with, or the likelihood of digital silence would have no bound.

Theis, van den Oord & Bethge, "A note on the evaluation of generative models" (ICLR 2016), section 3.1.
"""


class Upsampling(nn.Module):
    """A transposed convolution from mel frames to groups of samples; each frame reaches two frames' time to both sides.

    Args:
        mel: definition of the spectrograms; frames are centred on multiples of the hop.
        group: samples in a group.
        channels: per group.
    """

    def __init__(self, mel: MelSpec, group: int, channels: int) -> None:
        super().__init__()
        # F frames lie around F - 1 hops, and so this padding leaves (F - 1) * stride groups, none of them shifted.
        stride = mel.hop_length // group
        self.convolution = nn.ConvTranspose1d(mel.n_mels, channels, 4 * stride, stride, padding=2 * stride)

    def forward(self, mels: Tensor) -> Tensor:
        """(B, channels, (F - 1) * hop_length / group) from natural-log mels (B, F, n_mels)."""
        return self.convolution((mels.transpose(1, 2) + 5) / 3)


class WaveNetBlocks(nn.Module):
    """What a coupling computes scale and shift with: dilated gated convolutions, not causal, conditioned on the mel (section 2.1).

    Args:
        inputs: channels of the half that is passed on unchanged.
        outputs: scales and shifts of the other half.
        config: sizes.
    """

    def __init__(self, inputs: int, outputs: int, config: WaveGlow.Config) -> None:
        super().__init__()
        width, self.skip = config.channels, config.skip_channels
        self.start = nn.Conv1d(inputs, width, 1)
        self.condition = nn.Conv1d(config.condition_channels, 2 * width * config.layers, 1)
        self.inner, self.outer = nn.ModuleList(), nn.ModuleList()
        for layer in range(config.layers):
            dilation = 2**layer
            padding = dilation * (config.kernel // 2)
            if config.separable:
                depthwise = nn.Conv1d(width, width, config.kernel, padding=padding, dilation=dilation, groups=width)
                self.inner.append(nn.Sequential(depthwise, nn.Conv1d(width, 2 * width, 1)))
            else:
                self.inner.append(nn.Conv1d(width, 2 * width, config.kernel, padding=padding, dilation=dilation))
            # Nothing comes after the last layer's residual.
            self.outer.append(nn.Conv1d(width, self.skip + width * (layer < config.layers - 1), 1))
        self.end = nn.Conv1d(self.skip, outputs, 1)
        for parameter in self.end.parameters():
            nn.init.zeros_(parameter)

    def forward(self, half: Tensor, condition: Tensor) -> Tensor:
        """(B, outputs, T) from (B, inputs, T) and (B, condition_channels, T)."""
        hidden = self.start(half)
        total = hidden.new_zeros(())
        conditions = self.condition(condition).chunk(len(self.inner), dim=1)
        for inner, outer, shown in zip(self.inner, self.outer, conditions, strict=True):
            value, gate = (inner(hidden) + shown).chunk(2, dim=1)
            made = outer(torch.tanh(value) * torch.sigmoid(gate))
            total = total + made[:, : self.skip]
            if made.shape[1] > self.skip:
                hidden = hidden + made[:, self.skip :]
        out: Tensor = self.end(total)
        return out.to(torch.promote_types(out.dtype, torch.float32))


class Flow(nn.Module):
    """An invertible 1x1 convolution (section 2.2), then an affine coupling (section 2.1); the identity but for the former when new.

    Args:
        channels: samples, or what became of them, at each position; even.
        config: sizes.
    """

    def __init__(self, channels: int, config: WaveGlow.Config) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, device="cpu"))[0]
        if torch.det(rotation) < 0:
            rotation[:, 0] *= -1
        self.mixing = nn.Parameter(rotation)
        self.coupling = WaveNetBlocks(channels // 2, channels, config)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Towards noise.

        Args:
            x: shape (B, channels, T).
            condition: shape (B, condition_channels, T).

        Returns:
            the same shape as ``x``, and log |det| of the Jacobian of each item, shape (B,): equations 7 to 9.
        """
        kept, changed = (self.mixing @ x).chunk(2, dim=1)
        log_scale, shift = self.coupling(kept, condition).chunk(2, dim=1)
        log_det = x.shape[2] * torch.linalg.slogdet(self.mixing)[1] + log_scale.sum(dim=(1, 2))
        return torch.cat([kept, log_scale.exp() * changed + shift], dim=1), log_det

    def inverse(self, z: Tensor, condition: Tensor) -> Tensor:
        """From noise."""
        kept, changed = z.chunk(2, dim=1)
        log_scale, shift = self.coupling(kept, condition).chunk(2, dim=1)
        mixed = torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1)
        # In double precision, as training may bring the matrix close to a singular one; not every device has that.
        return torch.linalg.inv(self.mixing.cpu().double()).to(mixed) @ mixed


class WaveGlow(Vocoder):
    """Learns by maximum likelihood alone; makes all samples at once, of noise whose seed is fixed.

    Prenger, Valle & Catanzaro, "WaveGlow: a flow-based generative network for speech synthesis" (ICASSP 2019): affine couplings (section
    2.1), invertible 1x1 convolutions (2.2), early outputs (2.3). The default sizes follow Zhai et al., "SqueezeWave: extremely lightweight
    vocoders for on-device speech synthesis" (2020): many samples in a group, so that a flow works on few positions, and depthwise separable
    convolutions.

    What differs: audio is first whitened by linear prediction from the mel (``whitened``; Valin & Skoglund, "LPCNet", ICASSP 2019, section
    3.3), a flow of its own with nothing to learn. Audio is dequantised. Convolutions have no weight normalisation, so that an inner loop
    moves the weights themselves. The paper's sizes are ``group: 8, flows: 12, early_every: 4, early_channels: 2, layers: 8, channels: 512,
    skip_channels: 256, condition_channels: 640, whitened: false, separable: false``.
    """

    trains = True
    decoding_only = ("sigma",)

    @dataclass(frozen=True)
    class Config(Checked):
        """Sizes, and how much of the noise is used.

        Attributes:
            group: samples that the flows see as channels of one position; it divides the hop of 256.
            flows: invertible steps.
            early_every: after so many flows some channels leave as noise, the same number later again; 0 for never.
            early_channels: channels that leave at once, even.
            layers: dilated convolutions of a coupling, the dilation doubled by each.
            channels: width of a coupling's convolutions.
            skip_channels: width of the sum of what its layers put out.
            condition_channels: of the mel, brought to the rate of the groups.
            kernel: taps of a coupling's convolutions, odd.
            whitened: linear prediction from the mel comes before the first flow; false as in the paper.
            separable: depthwise convolutions followed by pointwise ones, rather than full ones.
            sigma: standard deviation of the noise that waveforms are made of; 1 is what was learned, less is smoother.
            checkpoint: file of weights to load instead of training, such as runs leave in their cache's vocoders/; "" to train.
        """

        group: PositiveInt = 128
        flows: PositiveInt = 8
        early_every: NonNegativeInt = 2
        early_channels: PositiveInt = 16
        layers: PositiveInt = 6
        channels: PositiveInt = 96
        skip_channels: PositiveInt = 96
        condition_channels: PositiveInt = 96
        kernel: Odd = 3
        whitened: bool = True
        separable: bool = True
        sigma: NonNegativeFloat = 1.0
        checkpoint: str = ""

        def __post_init__(self) -> None:
            super().__post_init__()
            hop = MelSpec().hop_length
            if self.group % 2 or hop % self.group:
                raise ValueError(f"group must be even and divide the hop, {hop}, which {self.group} does not")
            if self.early_every and self.early_channels % 2:
                raise ValueError(f"early_channels must be even, not {self.early_channels}")
            if self.sizes[-1] < 2:
                raise ValueError(f"early_channels must leave some of the group's {self.group} channels to the last of {self.flows} flows")

        @property
        def sizes(self) -> list[int]:
            """Channels of each flow."""
            return [self.group - self.early_channels * (flow // self.early_every if self.early_every else 0) for flow in range(self.flows)]

    @classmethod
    def tiny(cls) -> WaveGlow.Config:
        """See :meth:`Vocoder.tiny`."""
        return cls.Config(group=32, flows=3, early_channels=4, layers=2, channels=8, skip_channels=8, condition_channels=8)

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        c: WaveGlow.Config = self.config
        self.whitening = Whitening(self.mel)
        self.upsampling = Upsampling(self.mel, c.group, c.condition_channels)
        self.flows = nn.ModuleList(Flow(size, c) for size in c.sizes)

    def loss(self, segments: Segments) -> dict[str, Tensor]:
        """See :meth:`Vocoder.loss`: equation 10 with a noise variance of 1, in nats a sample, dequantised."""
        audio = segments.audio + DEQUANTISATION * (torch.rand_like(segments.audio) - 0.5)
        noise, log_det = self.to_noise(audio, segments.mels)
        loss = (0.5 * noise.square().sum(dim=1) - log_det).mean() / audio.shape[1] + 0.5 * math.log(2 * math.pi)
        return {"loss": loss, "log_det": log_det.mean() / audio.shape[1], "noise_std": noise.square().mean().sqrt()}

    def to_noise(self, audio: Tensor, mels: Tensor) -> tuple[Tensor, Tensor]:
        """The noise that a waveform is made of.

        Args:
            audio: shape (B, (F - 1) * hop_length).
            mels: shape (B, F, n_mels), natural-log magnitude.

        Returns:
            the noise, as many values as samples, and log |det d noise / d audio| of each item, shape (B,).
        """
        condition, log_det, left = self.upsampling(mels), audio.new_zeros(len(audio)), []
        if self.config.whitened:
            filters = self.whitening.filters(mels)
            audio, log_det = self.whitening(audio, filters), -self.whitening.levels(filters).log().sum(dim=1)
        x = audio.unflatten(1, (-1, self.config.group)).transpose(1, 2)
        for flow, size in zip(self.flows, self.config.sizes, strict=True):
            left.append(x[:, : x.shape[1] - size])
            x, more = flow(x[:, x.shape[1] - size :], condition)
            log_det = log_det + more
        return torch.cat([*left, x], dim=1).transpose(1, 2).flatten(1), log_det

    def from_noise(self, noise: Tensor, mels: Tensor) -> Tensor:
        """The inverse of :meth:`to_noise`: (B, (F - 1) * hop_length) from as much noise and (B, F, n_mels)."""
        z = noise.unflatten(1, (-1, self.config.group)).transpose(1, 2)
        condition = self.upsampling(mels)
        sizes = [self.config.group, *self.config.sizes]
        *left, x = z.split([*(before - after for before, after in pairwise(sizes)), sizes[-1]], dim=1)
        for flow, early in zip(reversed(self.flows), reversed(left), strict=True):
            assert isinstance(flow, Flow)
            x = torch.cat([early, flow.inverse(x, condition)], dim=1)
        wave = x.transpose(1, 2).flatten(1)
        return self.whitening.undo(wave, self.whitening.filters(mels)) if self.config.whitened else wave

    @torch.no_grad()
    def decode(self, mel: Tensor) -> Tensor:
        """See :meth:`Vocoder.decode`."""
        mel = mel.float().to(next(self.parameters()).device)
        # The same start for utterances of all lengths; drawn on the CPU, the same on all devices.
        noise = torch.randn((len(mel) - 1) * self.mel.hop_length, generator=torch.Generator().manual_seed(SEED))
        wave = self.from_noise(self.config.sigma * noise[None].to(mel.device), mel[None])[0]
        return wave.clamp(-1, 1)


PLUGIN = WaveGlow
