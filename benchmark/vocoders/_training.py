"""Parts that trained vocoders share: spectral losses, and discriminators small enough for a CPU."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.errors import UsageError
from benchmark.mel import LOG_FLOOR, MelSpec, mel_filters
from benchmark.vocoder import Segments, Vocoder

RESOLUTIONS = (256, 512, 1024, 2048)
"""Window sizes, in samples, of the spectrograms that losses compare."""


def magnitude(audio: Tensor, size: int, hop: int | None = None) -> Tensor:
    """STFT magnitudes of (B, samples), shape (B, size // 2 + 1, frames), at least 1e-5."""
    window = torch.hann_window(size, device=audio.device).to(torch.promote_types(audio.dtype, torch.float32))
    spectrum = torch.stft(audio, size, hop or size // 4, window=window, return_complex=True)
    # abs() has no gradient at 0.
    return (spectrum.real.square() + spectrum.imag.square()).clamp_min(1e-10).sqrt()


def stft_loss(made: Tensor, real: Tensor, sizes: Sequence[int] = RESOLUTIONS) -> Tensor:
    """Log-magnitude error plus spectral convergence of (B, samples), the mean over resolutions.

    Yamamoto, Song & Kim, "Parallel WaveGAN" (ICASSP 2020), equations 3 to 6.
    """
    total = made.new_zeros(())
    for size in sizes:
        ours, theirs = magnitude(made, size), magnitude(real, size)
        total = total + F.l1_loss(ours.log(), theirs.log()) + (ours - theirs).norm() / theirs.norm().clamp_min(1e-5)
    return total / len(sizes)


def mel_loss(made: Tensor, real: Tensor, mel: MelSpec) -> Tensor:
    """Mean absolute error of log-mels, of (B, samples) both (HiFi-GAN, equation 3).

    Both are padded by reflection at the ends of a piece; the mel of the whole recording has other frames there.
    """

    def log_mels(audio: Tensor) -> Tensor:
        spectrum = magnitude(audio, mel.n_fft, mel.hop_length).transpose(1, 2)
        return (spectrum @ mel_filters(mel).to(spectrum)).clamp_min(LOG_FLOOR).log()

    return F.l1_loss(log_mels(made), log_mels(real))


class PeriodDiscriminator(nn.Module):
    """Looks at every p-th sample: the waveform folded to (samples / p, p) under strided convolutions.

    Kong, Kim & Bae, "HiFi-GAN" (NeurIPS 2020), section 2.3.

    Args:
        period: p.
        channels: of the convolutions.
    """

    def __init__(self, period: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        sizes = [1, *channels]
        layers = [nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)) for a, b in zip(sizes, channels, strict=False)]
        self.layers = nn.ModuleList([*layers, nn.Conv2d(sizes[-1], 1, (3, 1), padding=(1, 0))])

    def forward(self, audio: Tensor) -> list[Tensor]:
        """The outputs of all layers, the last one the score; ``audio`` is (B, samples)."""
        rest = -audio.shape[1] % self.period
        folded = F.pad(audio[:, None], (0, rest), "reflect").unflatten(2, (-1, self.period))
        return _through(self.layers, folded)


class SpectrogramDiscriminator(nn.Module):
    """Looks at the log-magnitudes of one resolution.

    Jang et al., "UnivNet" (Interspeech 2021), section 2.2, where magnitudes are linear.

    Args:
        size: of the window, in samples.
        channels: of the convolutions.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        strided = [nn.Conv2d(1 if i == 0 else channels, channels, (9, 3), (2, 1), (4, 1)) for i in range(4)]
        rest = [nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, 1, 3, padding=1)]
        self.layers = nn.ModuleList([*strided, *rest])

    def forward(self, audio: Tensor) -> list[Tensor]:
        """The outputs of all layers, the last one the score; ``audio`` is (B, samples)."""
        return _through(self.layers, magnitude(audio, self.size)[:, None].log())


def _through(layers: nn.ModuleList, hidden: Tensor) -> list[Tensor]:
    outputs = []
    for number, layer in enumerate(layers, 1):
        hidden = layer(hidden)
        if number < len(layers):
            hidden = F.leaky_relu(hidden, 0.1)
        outputs.append(hidden)
    return outputs


class Critics(nn.Module):
    """Discriminators of five periods and three resolutions, each a small fraction of the published sizes.

    Args:
        width: channels of their first layers.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        periods = [PeriodDiscriminator(period, (width, 2 * width, 4 * width, 8 * width)) for period in (2, 3, 5, 7, 11)]
        self.every = nn.ModuleList([*periods, *(SpectrogramDiscriminator(size, width) for size in (512, 1024, 2048))])

    def forward(self, audio: Tensor) -> list[list[Tensor]]:
        """Of each discriminator the outputs of all layers, the last one the score; ``audio`` is (B, samples)."""
        return [each(audio) for each in self.every]


def critic_loss(critics: nn.Module, made: Tensor, real: Tensor) -> Tensor:
    """Least-squares loss of the discriminators, the mean over them (HiFi-GAN, equation 1)."""
    pairs = zip(critics(real), critics(made.detach()), strict=True)
    return torch.stack([(1 - theirs[-1]).square().mean() + ours[-1].square().mean() for theirs, ours in pairs]).mean()


def adversarial_loss(critics: nn.Module, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The generator's least-squares loss and its feature loss, means over the discriminators (HiFi-GAN, equations 2 and 4).

    The feature loss is relative to the features' size, so that no discriminator outweighs the others.
    """
    with torch.no_grad():
        every = critics(real)
    scores, features = [], []
    for theirs, ours in zip(every, critics(made), strict=True):
        scores.append((1 - ours[-1]).square().mean())
        errors = [F.l1_loss(a, b) / b.abs().mean() for a, b in zip(ours[:-1], theirs[:-1], strict=True)]
        features.append(torch.stack(errors).mean())
    return torch.stack(scores).mean(), torch.stack(features).mean()


class SpectralVocoder(Vocoder):
    """A generator that learns from spectral losses and, in the last part of its training, from discriminators too.

    Subclasses define ``waveform(mels)``, and set ``critics`` where ``adversarial_part`` in their configuration is above 0.
    """

    trains = True
    critics: nn.Module

    @abstractmethod
    def waveform(self, mels: Tensor) -> Tensor:
        """The audio, shape (B, (F - 1) * hop_length), of mels, shape (B, F, n_mels), F at least 2."""

    def adaptable_parameters(self) -> dict[str, nn.Parameter]:
        """See :meth:`Vocoder.adaptable_parameters`."""
        return {name: each for name, each in self.named_parameters() if not name.startswith("critics.")}

    def loss(self, segments: Segments) -> dict[str, Tensor]:
        """See :meth:`Vocoder.loss`: the spectral losses alone."""
        return self._spectral(self.waveform(segments.mels), segments)

    def _spectral(self, made: Tensor, segments: Segments) -> dict[str, Tensor]:
        # A spectrogram pads its audio by reflection, so half a window must fit in.
        frames, least = segments.mels.shape[1], max(RESOLUTIONS) // 2 // self.mel.hop_length + 2
        if frames < least:
            raise UsageError(f"Pieces of {frames} frames are too short for the losses; set vocoder_training.frames to {least} or more.")
        spectral, mels = stft_loss(made, segments.audio), mel_loss(made, segments.audio, self.mel)
        return {"loss": spectral + mels, "stft": spectral, "mel": mels}

    def training_step(self, segments: Segments) -> dict[str, float]:
        """See :meth:`Vocoder.training_step`; the discriminators join in the last part."""
        made, real = self.waveform(segments.mels), segments.audio
        logs = self._spectral(made, segments)
        loss = logs["loss"]
        if segments.progress >= 1 - self.config.adversarial_part:
            self.critics.requires_grad_(False)
            adversarial, features = adversarial_loss(self.critics, made, real)
            self.critics.requires_grad_(True)
            critic = critic_loss(self.critics, made, real)
            critic.backward()  # type: ignore[no-untyped-call]
            loss = loss + self.config.adversarial_weight * (adversarial + 2 * features)
            logs |= {"adversarial": adversarial, "features": features, "critic": critic}
        loss.backward()  # type: ignore[no-untyped-call]
        return {name: float(each.detach()) for name, each in {**logs, "loss": loss}.items()}

    def decode(self, mel: Tensor) -> Tensor:
        """See :meth:`Vocoder.decode`."""
        with torch.no_grad():
            return self.waveform(mel[None].float().to(next(self.parameters()).device))[0]
