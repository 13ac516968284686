"""WaveNet: the waveform sample by sample, each conditioned on the ones before and on the mel spectrogram."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.settings.ranges import Checked, PositiveFloat, PositiveInt
from benchmark.vocoder import Segments, Vocoder
from benchmark.vocoders._wavenet_generation import Generation, Weights
from benchmark.vocoders._whitening import Whitening

SEED = 0
"""The seed of the draws that every waveform is made with."""
STRIDES = (16, 16)
"""The strides of the transposed convolutions that bring mel frames to samples; their product is the hop."""
DEPTH = 2**16
"""Values of a sample whose probabilities a mixture of logistics gives: 16 bits."""
LEAST_LOG_SCALE = -9.0
"""The least log-scale of a logistic. One that is narrower than this, four steps of 16 bits, would promise what no recording keeps."""
LOUDNESS = 0.1
"""Speech is about this loud. Dividing the first weights by it keeps the gates from starting in their linear range."""
CHUNK = 4096
"""Samples whose conditions are computed at a time: those of a whole utterance take gigabytes."""


def compress(audio: Tensor, levels: int) -> Tensor:
    """The mu-law level of each sample, 0 to ``levels`` - 1, of audio in [-1, 1] (van den Oord et al., section 2.2)."""
    mu = levels - 1
    value = audio.sign() * torch.log1p(mu * audio.abs()) / math.log1p(mu)
    return ((value + 1) / 2 * mu + 0.5).long().clamp(0, mu)


def companded(level: Tensor, levels: int) -> Tensor:
    """Levels as numbers evenly from -1 to 1."""
    return 2 * level.float() / (levels - 1) - 1


def expand(companded: Tensor, levels: int) -> Tensor:
    """The audio that was companded, the inverse of :func:`compress` but for its rounding."""
    mu = levels - 1
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(mu)) / mu


def logistics_log_probability(parameters: Tensor, audio: Tensor, depth: int = DEPTH) -> Tensor:
    """Log-probability of samples under a discretised mixture of logistics.

    Salimans et al., "PixelCNN++" (ICLR 2017), equation 2: the mass between half a step below and half a step above the sample,
    all that lies beyond for the lowest and the highest value.

    Args:
        parameters: shape (..., 3 K): log-odds of the components, their means, their log-scales.
        audio: shape (...), in [-1, 1].
        depth: values that a sample can have, evenly from -1 to 1.

    Returns:
        the shape of ``audio``, nats.
    """
    parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
    log_odds, means, log_scales = parameters.chunk(3, dim=-1)
    inverse_scale = (-log_scales.clamp_min(LEAST_LOG_SCALE)).exp()
    half = 1 / (depth - 1)
    x = audio.unsqueeze(-1)
    above, below = (x + half - means) * inverse_scale, (x - half - means) * inverse_scale
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), where nothing cancels.
    inside = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(-2 * half * inverse_scale))
    log_mass = torch.where(x < half - 1, F.logsigmoid(above), torch.where(x > 1 - half, F.logsigmoid(-below), inside))
    return torch.logsumexp(log_odds.log_softmax(-1) + log_mass, dim=-1)


class Upsampling(nn.Module):
    """Transposed convolutions from mel frames to samples.

    Args:
        n_mels: of the spectrograms.
        channels: of each sample.
    """

    def __init__(self, n_mels: int, channels: int) -> None:
        super().__init__()
        sizes = [n_mels] + len(STRIDES) * [channels]
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride, padding=stride // 2)
            for stride, (inputs, outputs) in zip(STRIDES, pairwise(sizes), strict=True)
        )
        # Begin with linear interpolation, of about unit variance.
        for stride, layer in zip(STRIDES, self.layers, strict=True):
            ramp = (torch.arange(stride) + 0.5) / stride
            weight = layer.get_parameter("weight")
            weight.data = torch.randn(*weight.shape[:2], 1) / math.sqrt(len(weight)) * torch.cat([ramp, ramp.flip(0)])

    def forward(self, mels: Tensor) -> Tensor:
        """(B, channels, (F - 1) * hop_length) from natural-log mels (B, F, n_mels)."""
        hidden = (mels.transpose(1, 2) + 5) / 3
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.4)
        # Frames are centred on multiples of the hop, here each fills a hop: half of the first and half of the last lie outside.
        half = math.prod(STRIDES) // 2
        return hidden[:, :, half:-half]


class WaveNet(Vocoder):
    """Learns by maximum likelihood; makes a second of speech in less than one, with the default sizes and on one core.

    Van den Oord et al., "WaveNet: a generative model for raw audio" (2016): dilated causal convolutions (section 2.1), mu-law levels (2.2),
    gated units (2.3), residual and skip connections (2.4), local conditioning (2.5). Conditioned on mels, with mixtures of logistics, as
    in Shen et al., "Natural TTS synthesis by conditioning WaveNet on mel spectrogram predictions" (Tacotron 2, ICASSP 2018); the mixture
    is of Salimans et al., "PixelCNN++" (ICLR 2017), equation 2. Samples are made with a queue for each layer after Le Paine et al., "Fast
    WaveNet generation algorithm" (2016), on the CPU, whatever the device is.

    What differs: by default the network models what linear prediction from the mel misses of a waveform, and hears that alone (Valin &
    Skoglund, "LPCNet", ICASSP 2019, section 3.3, whose network hears the waveform too). The paper's network for speech had 3 cycles of 10
    layers and 256 mu-law levels, Tacotron 2's 30 layers of 256 channels and 10 logistics. A mu-law sample enters as one number, not as one
    of 256 indicators, and through a convolution of one tap, not two. The sum of the skip connections is divided by the root of their
    number, so that it does not grow with depth.
    """

    trains = True
    decoding_only = ("temperature",)

    @dataclass(frozen=True)
    class Config(Checked):
        """Sizes, and what is predicted.

        Attributes:
            output: "whitened" predicts 16-bit samples by a mixture of logistics around their linear prediction, "logistics" by a mixture
                alone, "mu_law" one of ``levels`` levels by a softmax.
            mixtures: logistics in the mixture.
            levels: of mu-law, at least 2.
            layers: dilated convolutions.
            cycle: layers after which the dilation, doubled by each, starts at 1 again.
            channels: of the residual connections and of the gates.
            skip_channels: of the sum of what the layers put out.
            condition_channels: of the mel, brought to the rate of samples.
            temperature: of the draws; 1 is what was learned, less is smoother.
            checkpoint: file of weights to load instead of training, such as runs leave in their cache's vocoders/; "" to train.
        """

        output: Literal["whitened", "logistics", "mu_law"] = "whitened"
        mixtures: PositiveInt = 10
        levels: Annotated[int, Ge(2)] = 256
        layers: PositiveInt = 20
        cycle: PositiveInt = 10
        channels: PositiveInt = 32
        skip_channels: PositiveInt = 64
        condition_channels: PositiveInt = 32
        temperature: PositiveFloat = 1.0
        checkpoint: str = ""

        @property
        def dilations(self) -> list[int]:
            """Of each layer, samples."""
            return [2 ** (layer % self.cycle) for layer in range(self.layers)]

    @classmethod
    def tiny(cls) -> WaveNet.Config:
        """See :meth:`Vocoder.tiny`."""
        return cls.Config(mixtures=2, layers=4, cycle=2, channels=4, skip_channels=4, condition_channels=4)

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        c: WaveNet.Config = self.config
        self.whitening = Whitening(self.mel)
        self.upsampling = Upsampling(self.mel.n_mels, c.condition_channels)
        self.first = nn.Conv1d(1, c.channels, 1)
        if c.output == "logistics":  # the others are of about unit variance
            self.first.weight.data /= LOUDNESS
        self.inner = nn.ModuleList(nn.Conv1d(c.channels, 2 * c.channels, 2, dilation=dilation) for dilation in c.dilations)
        self.condition = nn.ModuleList(nn.Conv1d(c.condition_channels, 2 * c.channels, 1, bias=False) for _ in c.dilations)
        self.outer = nn.ModuleList(nn.Conv1d(c.channels, c.channels + c.skip_channels, 1) for _ in c.dilations)
        outputs = c.levels if c.output == "mu_law" else 3 * c.mixtures
        self.head, self.last = nn.Conv1d(c.skip_channels, c.skip_channels, 1), nn.Conv1d(c.skip_channels, outputs, 1)
        if c.output != "mu_law":
            # Side by side, and together about as wide as what they model.
            self.last.weight.data.mul_(0.1)
            reach, log_scale = (0.1, -4.0) if c.output == "logistics" else (1.0, -1.0)
            means = torch.linspace(-reach, reach, c.mixtures)
            self.last.get_parameter("bias").data = torch.cat([torch.zeros_like(means), means, torch.full_like(means, log_scale)])

    def forward(self, inputs: Tensor, condition: Tensor) -> Tensor:
        """What is predicted of each sample from those before it.

        Args:
            inputs: shape (B, T), the sample before each, in [-1, 1]; what its linear prediction missed, where output is "whitened".
            condition: shape (B, condition_channels, T).

        Returns:
            shape (B, T, levels) or (B, T, 3 * mixtures).
        """
        hidden = self.first(inputs.unsqueeze(1))
        total = hidden.new_zeros(())
        for dilation, inner, shown, outer in zip(self.config.dilations, self.inner, self.condition, self.outer, strict=True):
            value, gate = (inner(F.pad(hidden, (dilation, 0))) + shown(condition)).chunk(2, dim=1)
            residual, skip = outer(torch.tanh(value) * torch.sigmoid(gate)).split([hidden.shape[1], self.config.skip_channels], dim=1)
            hidden, total = hidden + residual, total + skip
        out: Tensor = self.last(F.relu(self.head(F.relu(total / math.sqrt(len(self.inner))))))
        return out.transpose(1, 2)

    def log_probability(self, audio: Tensor, mels: Tensor) -> Tensor:
        """Of each sample given those before it, nats.

        Args:
            audio: shape (B, (F - 1) * hop_length), in [-1, 1].
            mels: shape (B, F, n_mels), natural-log magnitude.

        Returns:
            the shape of ``audio``.
        """
        if self.config.output == "logistics":
            return logistics_log_probability(self(_delayed(audio), self.upsampling(mels)), audio)
        if self.config.output == "whitened":
            filters = self.whitening.filters(mels)
            white, level = self.whitening(audio, filters), self.whitening.levels(filters)
            log_odds, means, log_scales = self(_delayed(white), self.upsampling(mels)).chunk(3, dim=-1)
            # White's mixture as one of the sample: what was predicted plus level times what is drawn.
            expected, level = (audio - level * white).unsqueeze(-1), level.unsqueeze(-1)
            own = torch.cat([log_odds, expected + level * means, level.log() + log_scales.clamp_min(LEAST_LOG_SCALE)], dim=-1)
            return logistics_log_probability(own, audio)
        level = compress(audio, self.config.levels)
        inputs = _delayed(companded(level, self.config.levels))
        predicted = self(inputs, self.upsampling(mels)).float().log_softmax(-1)
        return predicted.gather(-1, level.unsqueeze(-1)).squeeze(-1)

    def loss(self, segments: Segments) -> dict[str, Tensor]:
        """See :meth:`Vocoder.loss`: the negative log-likelihood, in nats a sample, of all samples at once."""
        return {"loss": -self.log_probability(segments.audio, segments.mels).mean()}

    @torch.no_grad()
    def decode(self, mel: Tensor) -> Tensor:
        """See :meth:`Vocoder.decode`."""
        c: WaveNet.Config = self.config
        condition = self.upsampling(mel.float().to(self.first.weight.device)[None])[0].T
        draws = self.draws(len(condition))
        limit = math.inf if c.output == "whitened" else 1.0
        generation = Generation(self._weights(), c.dilations, c.output != "mu_law", c.temperature, LEAST_LOG_SCALE, limit)
        # Of all layers at once.
        weight, bias = _stacked(self.condition, "weight")[..., 0].flatten(0, 1), _stacked(self.inner, "bias").flatten()
        made = []
        for start in range(0, len(condition), CHUNK):
            shown = F.linear(condition[start : start + CHUNK], weight, bias).unflatten(1, (c.layers, -1))
            made.append(generation(shown.cpu().numpy(), draws[start : start + CHUNK]))
        wave = torch.from_numpy(np.concatenate(made))
        if c.output == "whitened":
            return self.whitening.undo(wave[None], self.whitening.filters(mel[None].float().cpu()))[0].clamp(-1, 1)
        return expand(wave, c.levels) if c.output == "mu_law" else wave

    def _weights(self) -> Weights:
        """Matrices and biases as they are used sample by sample."""
        first = torch.stack([self.first.weight[:, 0, 0], _own(self.first, "bias")])
        inner = _stacked(self.inner, "weight").permute(0, 3, 2, 1).flatten(1, 2)
        outer = _stacked(self.outer, "weight")[..., 0].transpose(1, 2)
        heads = [_own(layer, name) for layer in (self.head, self.last) for name in ("weight", "bias")]
        head, head_bias, last, last_bias = (each[:, :, 0].T if each.ndim == 3 else each for each in heads)
        # The layers' sum is divided by the root of their number, which may as well be done after the ReLU.
        head = head / math.sqrt(self.config.layers)
        parts = first, inner, outer, _stacked(self.outer, "bias"), head, head_bias, last, last_bias
        return Weights(*(np.ascontiguousarray(part.float().cpu().numpy()) for part in parts))

    def draws(self, samples: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Two uniform numbers for each sample, shape (samples, 2): the same start for utterances of all lengths."""
        return torch.rand(samples, 2, generator=torch.Generator().manual_seed(SEED)).clamp(1e-5, 1 - 1e-5).numpy()


def _own(layer: nn.Module, name: str) -> Tensor:
    """A parameter of a layer, or the plain tensor in its place if the network runs with adapted values."""
    own: Tensor = getattr(layer, name)
    return own


def _stacked(layers: nn.ModuleList, name: str) -> Tensor:
    """A parameter of all layers."""
    return torch.stack([_own(layer, name) for layer in layers])


def _delayed(inputs: Tensor) -> Tensor:
    """The sample before each, shape (B, T); 0 before the first."""
    return F.pad(inputs[:, :-1], (1, 0))


PLUGIN = WaveNet
