"""Tacotron 2: recurrent, with location-sensitive attention; it writes frames from left to right and says itself when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import BackboneSpec
from benchmark.backbones._attentive import AttentiveBackbone, Memory, Written
from benchmark.backbones._parts import inside, mirrored
from benchmark.settings.ranges import BelowOne, Odd, PositiveInt


class ConvLayer(nn.Module):
    """Convolution over time, layer norm over channels, activation, dropout."""

    def __init__(self, inputs: int, outputs: int, kernel: int, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(outputs)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, inputs), 0 in the padding; mask: (B, L, 1)."""
        hidden = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.activation(self.norm(hidden))) * mask


class BothWays(nn.Module):
    """A bidirectional LSTM to which padding does nothing: the backward layer reads each sequence reversed within its own length."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(inputs, outputs // 2, batch_first=True)
        self.backwards = nn.LSTM(inputs, outputs // 2, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, outputs) from x (B, L, inputs); what it gives in the padding means nothing."""
        backwards = self.backwards(mirrored(x, lengths))[0]
        return torch.cat([self.forwards(x)[0], mirrored(backwards, lengths)], dim=-1)


class LocationAttention(nn.Module):
    """Chorowski et al., equations 8 and 9: e = v . tanh(W s + V h + U f + b), f the attention so far, convolved over tokens."""

    def __init__(self, query: int, width: int, filters: int, kernel: int) -> None:
        super().__init__()
        self.query = nn.Linear(query, width)
        self.filters = nn.Conv1d(1, filters, kernel, padding=kernel // 2, bias=False)
        self.location = nn.Linear(filters, width, bias=False)
        self.energy = nn.Linear(width, 1, bias=False)

    def forward(self, query: Tensor, keys: Tensor, cumulative: Tensor) -> Tensor:
        """query: (B, Q); keys: V h, (B, T, width); cumulative: (B, T); returns (B, T)."""
        location = self.location(self.filters(cumulative.unsqueeze(1)).transpose(1, 2))
        return self.energy(torch.tanh(self.query(query).unsqueeze(1) + keys + location)).squeeze(-1)


class State(NamedTuple):
    """The decoder between two steps.

    Attributes:
        listener: hidden and cell state of the LSTM that attends, (B, D) each.
        context: what was fetched last, (B, V).
        cumulative: attention summed over the steps so far, (B, T).
        talker: state of the LSTM that writes, (1, B, D) each.
    """

    listener: tuple[Tensor, Tensor]
    context: Tensor
    cumulative: Tensor
    talker: tuple[Tensor, Tensor]


class Tacotron2(AttentiveBackbone):
    """Compact Tacotron 2 for several speakers; durations guide its attention in training, and it needs none to speak.

    Shen et al., "Natural TTS Synthesis by Conditioning WaveNet on Mel Spectrogram Predictions" (ICASSP 2018), section 2.2, with the
    attention of Chorowski et al., "Attention-Based Models for Speech Recognition" (NeurIPS 2015), section 2.1. Speakers are told apart as
    in Jia et al., "Transfer Learning from Speaker Verification to Multispeaker Text-To-Speech Synthesis" (NeurIPS 2018): their vector is
    appended to each state of the encoder.

    What differs from the paper, and why:

    * Several frames a step, the last of which is heard in the next one, as in the first Tacotron (Wang et al. 2017, section 3.3), and
      smaller layers: 2 hours of speech and a laptop. Preset ``paper`` has the published sizes.
    * Attention learns from the aligner's durations too (:mod:`benchmark.backbones._attentive`).
    * Layer norm over channels in place of batch norm: an utterance's loss must depend neither on the others in its batch, which several
      devices would share out differently, nor on padding (see :class:`benchmark.backbone.Backbone` on batch norm).
    * Dropout on the outputs of recurrent layers in place of zoneout, which their fast kernels can't do, and no dropout at all in
      evaluation, where the paper keeps the pre-net's: losses and speech must be repeatable.

    speechbrain's Tacotron2 can be differentiated twice and runs through ``functional_call``, but its batch norm takes statistics over
    padding, its texts must be sorted by length, its pre-net always drops at random, and it knows no speakers (its MSTacotron2, which does,
    fails with several frames a step). So only its attention serves, as a reference in the tests.

    Adaptable groups: "embedding" (the speaker vector), "encoder", "attention", "decoder", "postnet", "output" (the layers that give mel
    and stop), "all".
    """

    supports = ("speaker_vector",)
    parts: Mapping[str, tuple[str, ...]] = {
        "encoder": ("embedding.", "convolutions.", "both_ways."),
        "attention": ("key.", "attend."),
        "decoder": ("prenet.", "listener.", "talker."),
        "postnet": ("postnet.",),
        "output": ("output.", "stop.", "correction."),
    }

    @dataclass(frozen=True)
    class Config(AttentiveBackbone.Config):
        """Sizes of the model.

        Attributes:
            encoder: width of the encoder, even.
            encoder_layers: convolutions over tokens.
            kernel: taps of encoder's and post-net's convolutions, odd.
            attention: width of the attention's hidden layer.
            filters: of the cumulative attention.
            location_kernel: taps of those filters, in tokens, odd.
            prenet: width of the pre-net's two layers.
            decoder: width of the two LSTMs.
            postnet: width of the post-net.
            postnet_layers: its convolutions, but for the last one.
            dropout: of convolutions and pre-net, in training mode, 0 to below 1.
            recurrent_dropout: of the LSTMs' outputs, in training mode, 0 to below 1.
        """

        encoder: PositiveInt = 192
        encoder_layers: PositiveInt = 3
        kernel: Odd = 5
        attention: PositiveInt = 96
        filters: PositiveInt = 16
        location_kernel: Odd = 31
        prenet: PositiveInt = 128
        decoder: PositiveInt = 256
        postnet: PositiveInt = 128
        postnet_layers: PositiveInt = 3
        dropout: BelowOne = 0.5
        recurrent_dropout: BelowOne = 0.1

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.encoder % 2:
                raise ValueError(f"encoder must be even, half of it for either direction, not {self.encoder}")

    @classmethod
    def tiny(cls) -> Tacotron2.Config:
        """See :meth:`Backbone.tiny`."""
        return cls.Config(
            speaker_dim=4, encoder=8, encoder_layers=1, kernel=3, attention=4, filters=2, location_kernel=3, prenet=8, decoder=8,
            postnet=4, postnet_layers=1,
        )  # fmt: skip

    def __init__(self, spec: BackboneSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c: Tacotron2.Config = self.config
        mels, memory = spec.mel.n_mels, c.encoder + c.speaker_dim
        self.embedding = nn.Embedding(spec.symbols, c.encoder, padding_idx=0)
        self.convolutions = nn.ModuleList(
            ConvLayer(c.encoder, c.encoder, c.kernel, nn.ReLU(), c.dropout) for _ in range(c.encoder_layers)
        )  # fmt: skip
        self.both_ways = BothWays(c.encoder, c.encoder)
        self.key = nn.Linear(memory, c.attention, bias=False)
        self.attend = LocationAttention(c.decoder, c.attention, c.filters, c.location_kernel)
        self.prenet = nn.Sequential(
            nn.Linear(mels, c.prenet), nn.ReLU(), nn.Dropout(c.dropout),
            nn.Linear(c.prenet, c.prenet), nn.ReLU(), nn.Dropout(c.dropout),
        )  # fmt: skip
        self.listener = nn.LSTMCell(c.prenet + memory, c.decoder)
        self.talker = nn.LSTM(c.decoder + memory, c.decoder, batch_first=True)
        self.recurrent_dropout = nn.Dropout(c.recurrent_dropout)
        self.output = nn.Linear(c.decoder + memory, c.frames_per_step * mels)
        self.stop = nn.Linear(c.decoder + memory, 1)
        widths = [mels, *[c.postnet] * c.postnet_layers]
        self.postnet = nn.ModuleList(
            ConvLayer(one, other, c.kernel, nn.Tanh(), c.dropout) for one, other in pairwise(widths)
        )  # fmt: skip
        self.correction = nn.Conv1d(c.postnet, mels, c.kernel, padding=c.kernel // 2)

    def read(self, tokens: Tensor, lengths: Tensor, speaker: Tensor) -> Memory:
        """See :meth:`AttentiveBackbone.read`."""
        mask = inside(lengths, tokens.shape[1])
        hidden = self.embedding(tokens)
        for layer in self.convolutions:
            hidden = layer(hidden, mask)
        hidden = self.both_ways(hidden, lengths)
        values = torch.cat([hidden, speaker.unsqueeze(1).expand(-1, tokens.shape[1], -1)], dim=-1) * mask
        return Memory(self.key(values), values, mask.transpose(1, 2), speaker)

    def write(self, memory: Memory, before: Tensor, state: Any = None, free: bool = False) -> Written:
        """See :meth:`AttentiveBackbone.write`; it attends alike whether it hears itself or not."""
        heard = self.prenet(before[:, :, -1])
        listener, context, cumulative, talker = state or self._begin(memory)
        listened, fetched, scores = [], [], []
        for step in range(heard.shape[1]):
            listener = self.listener(torch.cat([heard[:, step], context], dim=-1), listener)
            hidden = self.recurrent_dropout(listener[0])
            score = memory.masked(self.attend(hidden, memory.keys, cumulative))
            attention = score.softmax(-1)
            cumulative = cumulative + attention
            context = torch.bmm(attention.unsqueeze(1), memory.values).squeeze(1)
            listened.append(hidden)
            fetched.append(context)
            scores.append(score)
        contexts = torch.stack(fetched, dim=1)
        # What it writes is heard only through the frames, so all of its steps are one call.
        talked, talker = self.talker(torch.cat([torch.stack(listened, dim=1), contexts], dim=-1), talker)
        hidden = torch.cat([self.recurrent_dropout(talked), contexts], dim=-1)
        mel = self.output(hidden).unflatten(-1, (self.config.frames_per_step, -1)).flatten(1, 2)
        after = State(listener, context, cumulative, talker)
        return Written(mel, self.stop(hidden).squeeze(-1), [torch.stack(scores, dim=1)], hidden, after)

    def finish(self, memory: Memory, written: Written, mask: Tensor) -> Tensor:
        """See :meth:`AttentiveBackbone.finish`: the post-net adds a correction."""
        hidden = written.mel * mask
        for layer in self.postnet:
            hidden = layer(hidden, mask)
        return written.mel + self.correction(hidden.transpose(1, 2)).transpose(1, 2)

    def error(self, predicted: Tensor, target: Tensor) -> Tensor:
        """See :meth:`AttentiveBackbone.error`: squared."""
        return F.mse_loss(predicted, target, reduction="none")

    def _begin(self, memory: Memory) -> State:
        texts, tokens, width = memory.values.shape
        hidden = memory.values.new_zeros(texts, self.config.decoder)
        listener, talker = (hidden, hidden), (hidden.unsqueeze(0), hidden.unsqueeze(0))
        return State(listener, memory.values.new_zeros(texts, width), memory.values.new_zeros(texts, tokens), talker)


PLUGIN = Tacotron2
