"""Deep Voice 3: convolutional from end to end; causal convolutions with attention write frames from left to right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import BackboneSpec
from benchmark.backbones._attentive import NOWHERE, AttentiveBackbone, Memory, Written
from benchmark.backbones._parts import inside, sinusoids
from benchmark.settings.ranges import BelowOne, NonNegativeFloat, Odd, PositiveInt

HALF = sqrt(0.5)
"""What sums of two things of variance 1 are multiplied by."""
WINDOW = 3
"""Tokens that free-running attention may look at: where it looked last, and those right after (section 3.6, "monotonic attention")."""
SYMBOL_FRAMES = 8.0
"""How long a symbol lasts, about: at first the keys' clock runs so many frames a token."""


class SpeakerBias(nn.Module):
    """A bias from the speaker vector: softsign of a linear layer."""

    def __init__(self, speaker_dim: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(speaker_dim, width)

    def forward(self, speaker: Tensor) -> Tensor:
        """(B, 1, width) from (B, speaker_dim)."""
        return F.softsign(self.linear(speaker)).unsqueeze(1)


class GatedConv(nn.Module):
    """Convolution block (figure 2 of the paper): dropout, convolution, speaker bias, gated linear unit, residual.

    Args:
        width: channels.
        kernel: taps.
        speaker_dim: length of a speaker vector.
        dropout: in training mode.
        causal: whether it sees nothing to the right.
    """

    def __init__(self, width: int, kernel: int, speaker_dim: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.dropout = nn.Dropout(dropout)
        self.conv = nn.Conv1d(width, 2 * width, kernel)
        # A gate lets about half of the variance through: 4 keeps it at 1 (Gehring et al. 2017, section 3.5).
        nn.init.normal_(self.conv.weight, std=sqrt(4 * (1 - dropout) / (kernel * width)))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.speaker = SpeakerBias(speaker_dim, width)

    def forward(self, x: Tensor, speaker: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A stretch of a sequence.

        Args:
            x: (B, L, width), 0 in the padding.
            speaker: (B, speaker_dim).
            past: what came before, (B, kernel - 1, width), as the last call gave it; None at the beginning. For causal blocks.

        Returns:
            (B, L, width), and the past of what comes next.
        """
        context = self.kernel - 1
        dropped = self.dropout(x)
        if not self.causal:
            padded = F.pad(dropped, (0, 0, context // 2, context - context // 2))
        else:
            padded = torch.cat([dropped.new_zeros(len(x), context, x.shape[2]) if past is None else past, dropped], dim=1)
        filtered, gate = self.conv(padded.transpose(1, 2)).transpose(1, 2).chunk(2, dim=-1)
        return HALF * (x + (filtered + self.speaker(speaker)) * gate.sigmoid()), padded[:, padded.shape[1] - context :]


class Attention(nn.Module):
    """Dot-product attention whose queries and keys carry their positions, at rates that depend on the speaker (figure 3).

    Query and key are projected alike at first, so that attention begins along the diagonal.
    """

    def __init__(self, width: int, hidden: int, speaker_dim: int, key_rate: float, position_weight: float, dropout: float) -> None:
        super().__init__()
        self.position_weight, self.key_rate = position_weight, key_rate
        # A bias of the keys would change no attention.
        self.query, self.key = nn.Linear(width, hidden), nn.Linear(width, hidden, bias=False)
        self.key.weight.data.copy_(self.query.weight.data)
        self.value, self.output = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.rates = nn.Linear(speaker_dim, 2)
        nn.init.zeros_(self.rates.weight)
        nn.init.zeros_(self.rates.bias)
        self.dropout = nn.Dropout(dropout)

    def prepare(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Keys and values of the text, (B, T, hidden) each."""
        place = torch.arange(memory.keys.shape[1], device=memory.keys.device)
        rate = self.key_rate * self._rates(memory.speaker)[:, 1:]
        return self.key(memory.keys + self._position(rate * place)), self.value(memory.values)

    def scores(self, x: Tensor, keys: Tensor, speaker: Tensor, step: int) -> Tensor:
        """(B, S, T) of S steps, the first of which is number ``step``; x (B, S, width)."""
        place = step + torch.arange(x.shape[1], device=x.device)
        query = self.query(x + self._position(self._rates(speaker)[:, :1] * place))
        return query @ keys.transpose(1, 2) / sqrt(keys.shape[2])

    def fetch(self, scores: Tensor, values: Tensor) -> Tensor:
        """(B, S, width)."""
        return self.output(self.dropout(scores.softmax(-1)) @ values)

    def _rates(self, speaker: Tensor) -> Tensor:
        """Of the queries' clock and the keys', (B, 2), 0 to 2 and 1 at first."""
        with torch.autocast(speaker.device.type, enabled=False):  # 8 bits can't tell apart the places of a long sentence
            return 2 * self.rates(speaker).sigmoid()

    def _position(self, places: Tensor) -> Tensor:
        return self.position_weight * sinusoids(places, self.query.in_features)


class State(NamedTuple):
    """The decoder between two steps.

    Attributes:
        step: the number of the next one.
        texts: keys and values of each block.
        pasts: what each block's convolution saw last; None at the beginning.
        places: the token that each block looked at last, (B, 1, 1).
    """

    step: int
    texts: list[tuple[Tensor, Tensor]]
    pasts: list[Tensor | None]
    places: list[Tensor]


class DeepVoice3(AttentiveBackbone):
    """Compact Deep Voice 3 for several speakers; durations guide its attention in training, and it needs none to speak.

    Ping et al., "Deep Voice 3: Scaling Text-to-Speech with Convolutional Sequence Learning" (ICLR 2018), section 3: the encoder (3.4), the
    decoder (3.5) with its attention block and position encodings (3.6), the converter (3.7), and the speaker's vector in every block.

    What differs from the paper, and why:

    * The converter predicts the mel that our vocoders read, in place of a linear spectrogram or WORLD's parameters, and does so at the
      frame rate. Smaller layers: 2 hours of speech and a laptop. Preset ``paper`` has about the published sizes.
    * Attention learns from the aligner's durations too (:mod:`benchmark.backbones._attentive`); all of the decoder's blocks attend.
    * The pre-net drops half of what it hears in training, as Tacotron's does: with so little speech the decoder copies frames otherwise.
    * No weight normalisation. An inner loop would step along length and direction of a weight instead of the weight itself, and the
      initialisation already keeps the variance.

    Adaptable groups: "embedding" (the speaker vector), "encoder", "attention", "decoder", "postnet" (the converter), "output" (the layers
    that give mel and stop), "all".
    """

    supports = ("speaker_vector",)
    parts: Mapping[str, tuple[str, ...]] = {
        "encoder": ("embedding.", "inwards.", "convolutions.", "outwards.", "biases."),
        "attention": ("attentions.",),
        "decoder": ("prenet.", "prenet_bias.", "blocks."),
        "postnet": ("upsample.", "converter."),
        "output": ("output.", "stop.", "finished."),
    }

    @dataclass(frozen=True)
    class Config(AttentiveBackbone.Config):
        """Sizes of the model.

        Attributes:
            width: of embeddings and decoder.
            encoder: width of the encoder's convolutions.
            encoder_layers: convolution blocks over tokens.
            decoder_layers: blocks of convolution and attention over steps.
            converter: width of the converter.
            converter_layers: convolution blocks over frames.
            kernel: taps of all convolutions, odd.
            attention: width of queries, keys and values.
            position_weight: what position encodings are multiplied by, 0 or above.
            dropout: of blocks and attention, in training mode, 0 to below 1.
            prenet_dropout: of the frames heard, in training mode, 0 to below 1.
        """

        width: PositiveInt = 192
        encoder: PositiveInt = 96
        encoder_layers: PositiveInt = 4
        decoder_layers: PositiveInt = 4
        converter: PositiveInt = 128
        converter_layers: PositiveInt = 3
        kernel: Odd = 5
        attention: PositiveInt = 128
        position_weight: NonNegativeFloat = 1.0
        dropout: BelowOne = 0.05
        prenet_dropout: BelowOne = 0.5

    @classmethod
    def tiny(cls) -> DeepVoice3.Config:
        """See :meth:`Backbone.tiny`."""
        return cls.Config(
            speaker_dim=4, width=8, encoder=4, encoder_layers=1, decoder_layers=1, converter=4, converter_layers=1, kernel=3, attention=4
        )

    def __init__(self, spec: BackboneSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c: DeepVoice3.Config = self.config
        mels = spec.mel.n_mels

        def convolutions(count: int, width: int, causal: bool = False) -> nn.ModuleList:
            return nn.ModuleList(GatedConv(width, c.kernel, c.speaker_dim, c.dropout, causal) for _ in range(count))

        self.embedding = nn.Embedding(spec.symbols, c.width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.biases = nn.ModuleList(SpeakerBias(c.speaker_dim, c.width) for _ in range(2))
        self.inwards, self.outwards = nn.Linear(c.width, c.encoder), nn.Linear(c.encoder, c.width)
        self.convolutions = convolutions(c.encoder_layers, c.encoder)
        self.prenet = nn.ModuleList([nn.Linear(c.frames_per_step * mels, c.width), nn.Linear(c.width, c.width)])
        self.prenet_bias = SpeakerBias(c.speaker_dim, c.width)
        self.prenet_dropout = nn.Dropout(c.prenet_dropout)
        self.blocks = convolutions(c.decoder_layers, c.width, causal=True)
        self.attentions = nn.ModuleList(
            Attention(c.width, c.attention, c.speaker_dim, SYMBOL_FRAMES / c.frames_per_step, c.position_weight, c.dropout)
            for _ in range(c.decoder_layers)
        )
        self.output = nn.Linear(c.width, c.frames_per_step * mels)
        self.stop = nn.Linear(c.width, 1)
        self.upsample = nn.Linear(c.width, c.frames_per_step * c.converter)
        self.converter = convolutions(c.converter_layers, c.converter)
        self.finished = nn.Linear(c.converter, mels)

    def read(self, tokens: Tensor, lengths: Tensor, speaker: Tensor) -> Memory:
        """See :meth:`AttentiveBackbone.read`."""
        mask = inside(lengths, tokens.shape[1])
        embedded = self.embedding(tokens) + self.biases[0](speaker)
        hidden = self.inwards(embedded)
        for block in self.convolutions:
            hidden, _ = block(hidden * mask, speaker)
        keys = self.outwards(hidden) + self.biases[1](speaker)
        return Memory(keys, HALF * (keys + embedded), mask.transpose(1, 2), speaker)

    def write(self, memory: Memory, before: Tensor, state: Any = None, free: bool = False) -> Written:
        """See :meth:`AttentiveBackbone.write`; free, one step at a time, attention stays within ``WINDOW``."""
        at: State = state or self._begin(memory)
        x = before.flatten(2)
        for layer in self.prenet:
            x = F.relu(layer(self.prenet_dropout(x)))
        x = x + self.prenet_bias(memory.speaker)
        scores, pasts, places = [], [], []
        place = torch.arange(memory.keys.shape[1], device=x.device)
        for block, attend, (keys, values), past, last in zip(self.blocks, self.attentions, at.texts, at.pasts, at.places, strict=True):
            x, past = block(x, memory.speaker, past)
            score = memory.masked(attend.scores(x, keys, memory.speaker, at.step))  # type: ignore[operator]
            if free:
                score = score.masked_fill((place < last) | (place >= last + WINDOW), NOWHERE)
            x = HALF * (x + attend.fetch(score, values))  # type: ignore[operator]
            scores.append(score)
            pasts.append(past)
            places.append(score[:, -1:].argmax(-1, keepdim=True))
        mel = self.output(x).unflatten(-1, (self.config.frames_per_step, -1)).flatten(1, 2)
        return Written(mel, self.stop(x).squeeze(-1), scores, x, State(at.step + x.shape[1], at.texts, pasts, places))

    def finish(self, memory: Memory, written: Written, mask: Tensor) -> Tensor:
        """See :meth:`AttentiveBackbone.finish`: the converter reads the decoder's states."""
        hidden = self.upsample(written.hidden).unflatten(-1, (self.config.frames_per_step, -1)).flatten(1, 2)
        for block in self.converter:
            hidden, _ = block(hidden * mask, memory.speaker)
        return self.finished(hidden)

    def error(self, predicted: Tensor, target: Tensor) -> Tensor:
        """See :meth:`AttentiveBackbone.error`: absolute."""
        return F.l1_loss(predicted, target, reduction="none")

    def _begin(self, memory: Memory) -> State:
        blocks = len(self.blocks)
        nowhere = torch.zeros(len(memory.keys), 1, 1, dtype=torch.long, device=memory.keys.device)
        texts = [attend.prepare(memory) for attend in self.attentions]  # type: ignore[operator]
        return State(0, texts, [None] * blocks, [nowhere] * blocks)


PLUGIN = DeepVoice3
