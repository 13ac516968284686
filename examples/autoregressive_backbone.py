"""A synthesis backbone without durations: it writes the mel from left to right and decides when to stop.

    python -m benchmark check examples/autoregressive_backbone.py
    python -m benchmark run --plugin examples/autoregressive_backbone.py --backbone autoregressive_backbone --algo reptile \\
        --dataset espeak --preset smoke

It can't speak with a recording's durations, so the run leaves out PESQ and STOI and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import BackboneSpec, SynthesisBackbone
from benchmark.batch import Batch
from benchmark.errors import PredictionFailed
from benchmark.settings.ranges import Checked, PositiveInt

FRAMES_PER_STEP = 4
MOST_STEPS = 8
"""Most steps per symbol, averaged over a sentence, before the model counts as not stopping; speech takes about two."""


class AutoregressiveBackbone(SynthesisBackbone):
    """Two recurrent layers with monotonic attention between them.

    The attention is that of Graves, "Generating Sequences with Recurrent Neural Networks" (2013), section 5.1, with one
    Gaussian: each step moves its centre along the tokens by a positive amount. The model has no speaker vectors, so
    adaptation has to change its parameters.
    """

    supports = ()
    mel_mean: Tensor
    mel_std: Tensor

    @dataclass(frozen=True)
    class Config(Checked):
        """Size of the model.

        Attributes:
            hidden: width of all layers.
        """

        hidden: PositiveInt = 192

    @classmethod
    def tiny(cls) -> AutoregressiveBackbone.Config:
        """See :meth:`Backbone.tiny`."""
        return cls.Config(hidden=8)

    def __init__(self, spec: BackboneSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        width: int = self.config.hidden
        self.embedding = nn.Embedding(spec.symbols, width, padding_idx=0)
        self.encoder = nn.Conv1d(width, width, 5, padding=2)
        self.prenet = nn.Linear(spec.mel.n_mels, width)
        self.listener = nn.GRU(width, width, batch_first=True)
        self.pace = nn.Linear(width, 1)
        self.talker = nn.GRU(2 * width, width, batch_first=True)
        self.output = nn.Linear(width, FRAMES_PER_STEP * spec.mel.n_mels)
        self.stop = nn.Linear(width + 1, 1)
        self.register_buffer("mel_mean", torch.tensor(spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(spec.statistics.mel_std))

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`."""
        names = tuple(name for name, _ in self.named_parameters())
        return {"decoder": tuple(name for name in names if not name.startswith(("embedding.", "encoder."))), "all": names}

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """Mean absolute error of the normalised log-mel plus cross entropy of stopping; each step is given the real frames before it."""
        mels = (batch.mels - self.mel_mean) / self.mel_std
        mels = F.pad(mels, (0, 0, 0, -mels.shape[1] % FRAMES_PER_STEP))
        steps = mels.shape[1] // FRAMES_PER_STEP
        last = mels[:, FRAMES_PER_STEP - 1 :: FRAMES_PER_STEP]
        before = torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], dim=1)
        predicted, stop, _ = self._decode(before, self._encode(batch.tokens), batch.token_lengths, None)
        frame = torch.arange(mels.shape[1], device=mels.device)
        inside = (frame < batch.mel_lengths[:, None]).to(mels.dtype)
        error = ((predicted - mels).abs().mean(-1) * inside).sum() / inside.sum()
        ends = (batch.mel_lengths - 1) // FRAMES_PER_STEP
        step = torch.arange(steps, device=mels.device)
        surprise = F.binary_cross_entropy_with_logits(stop, (step == ends[:, None]).to(mels.dtype), reduction="none")
        stopping = (surprise * (step <= ends[:, None])).sum() / len(batch)
        return {"loss": error + 0.1 * stopping, "mel": error, "stop": stopping}

    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """See :meth:`SynthesisBackbone.synthesize`."""
        encoded, length = self._encode(tokens[None]), torch.tensor([len(tokens)], device=tokens.device)
        frame, state, frames = encoded.new_zeros(1, 1, len(self.mel_mean)), None, []
        for _ in range(MOST_STEPS * len(tokens)):
            mel, stop, state = self._decode(frame, encoded, length, state)
            frames.append(mel)
            frame = mel[:, -1:]
            if stop.item() > 0:
                return torch.cat(frames, dim=1)[0] * self.mel_std + self.mel_mean
        raise PredictionFailed(f"the model does not stop within {MOST_STEPS * FRAMES_PER_STEP} frames per symbol")

    def _encode(self, tokens: Tensor) -> Tensor:
        """(B, T, hidden)."""
        embedded = self.embedding(tokens)
        return embedded + F.gelu(self.encoder(embedded.transpose(1, 2)).transpose(1, 2))

    def _decode(
        self, before: Tensor, encoded: Tensor, lengths: Tensor, state: tuple[Tensor, Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Decode S steps, given the last frame before each, (B, S, n_mels), and the state that they start from.

        Returns:
            normalised log-mel (B, S * FRAMES_PER_STEP, n_mels), logits of stopping (B, S), and the new state.
        """
        heard, talked, reached = state or (None, None, 0.0)
        # Dropout of half the prenet's output, in training; otherwise the model would copy frames and ignore the tokens.
        hidden, heard = self.listener(F.dropout(F.relu(self.prenet(before)), 0.5, self.training), heard)
        centre = reached + F.softplus(self.pace(hidden)).cumsum(1)
        place = torch.arange(encoded.shape[1], device=encoded.device)
        scores = -(centre - place).square()
        scores = scores.masked_fill(place >= lengths[:, None, None], -torch.inf)
        context = scores.softmax(-1) @ encoded
        hidden, talked = self.talker(torch.cat([hidden, context], dim=-1), talked)
        beyond = (centre - lengths[:, None, None]).clamp(-4, 4)
        mel = self.output(hidden).unflatten(-1, (FRAMES_PER_STEP, -1)).flatten(1, 2)
        return mel, self.stop(torch.cat([hidden, beyond], dim=-1)).squeeze(-1), (heard, talked, centre[:, -1:])


PLUGIN = AutoregressiveBackbone
