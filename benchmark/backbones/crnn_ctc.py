"""A convolutional recurrent recogniser trained with CTC: mel in, characters out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import BackboneSpec, RecognitionBackbone
from benchmark.backbones._parts import inside, mirrored
from benchmark.batch import Batch
from benchmark.errors import AdaptationFailed, ExtraMissing, PredictionFailed
from benchmark.learning.ctc import ctc_loss, has_path
from benchmark.settings.ranges import BelowOne, Checked, NonNegativeInt, PositiveInt

POOLED = 2
"""Mel frames of an output step: 32 ms, of which the fastest speakers need one a character."""


class Convolution(nn.Module):
    """A convolution over time and frequency, layer norm, ReLU and max pooling; padding in time changes nothing.

    Layer norm instead of the usual batch norm: it needs no statistics of a batch, which few-shot support sets can't give.

    Args:
        inputs, outputs: channels.
        bins: frequency bins that come in; half of them go out.
        pool: frames that become one.
    """

    def __init__(self, inputs: int, outputs: int, bins: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.LayerNorm([outputs, bins])

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, F, bins) and (B,) frames to (B, outputs, F / pool, bins / 2) and (B,) frames."""
        x = self.norm(self.convolution(x).transpose(1, 2)).transpose(1, 2)
        x = x.relu() * inside(lengths, x.shape[2])[:, None]
        x = F.max_pool2d(F.pad(x, (0, 0, 0, -x.shape[2] % self.pool)), (self.pool, 2))
        return x, (lengths + self.pool - 1).div(self.pool, rounding_mode="floor")


class CrnnCtc(RecognitionBackbone):
    """Two convolution blocks with pooling, bidirectional GRUs and a linear layer to characters, trained with CTC.

    After Amodei et al., "Deep Speech 2" (ICML 2016), section 3, much smaller. A transcript is the likeliest class of each
    step, without repeats and blanks, or what torchaudio's beam search finds (``beam``).
    """

    decoding_only = ("beam",)
    mel_mean: Tensor
    mel_std: Tensor
    code_points: Tensor

    @dataclass(frozen=True)
    class Config(Checked):
        """Size of the model, and how it is decoded.

        Attributes:
            channels: of the first convolution; the second one has twice as many.
            hidden: width of each direction of the GRUs.
            layers: number of GRU layers.
            dropout: before each GRU layer and the output.
            beam: hypotheses of the beam search; 0 for greedy decoding. A beam needs flashlight-text (``pip install '.[beam]'``).
        """

        channels: PositiveInt = 16
        hidden: PositiveInt = 160
        layers: PositiveInt = 2
        dropout: BelowOne = 0.1
        beam: NonNegativeInt = 0

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.beam and find_spec("flashlight") is None:
                raise ExtraMissing("--backbone.beam", "flashlight-text", "beam")

    @classmethod
    def tiny(cls) -> CrnnCtc.Config:
        """See :meth:`Backbone.tiny`."""
        return cls.Config(channels=2, hidden=8, layers=1)

    def __init__(self, spec: BackboneSpec, config: Any = None) -> None:
        super().__init__(spec, config)
        bins, channels, hidden = spec.mel.n_mels, self.config.channels, self.config.hidden
        self.first = Convolution(1, channels, bins, pool=1)
        self.second = Convolution(channels, 2 * channels, bins // 2, pool=POOLED)
        inputs = [2 * channels * (bins // 4), *[2 * hidden] * (self.config.layers - 1)]
        self.forwards = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in inputs)
        self.backwards = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in inputs)
        self.dropout = nn.Dropout(self.config.dropout)
        self.output = nn.Linear(2 * hidden, 1 + len(spec.characters))  # class 0 is CTC's blank
        self.register_buffer("mel_mean", torch.tensor(spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(spec.statistics.mel_std))
        self.register_buffer("code_points", torch.tensor([ord(each) for each in spec.characters], dtype=torch.int64))

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`: "convolutions", "recurrent", "output", "norms" and "all"."""
        names = tuple(name for name, _ in self.named_parameters())
        starts = {"convolutions": ("first.", "second."), "recurrent": ("forwards.", "backwards."), "output": ("output.",)}
        groups = {group: tuple(name for name in names if name.startswith(start)) for group, start in starts.items()}
        return {**groups, "norms": tuple(name for name in names if ".norm." in name), "all": names}

    def learnable(self, frames: int, text: str) -> bool:
        """See :meth:`RecognitionBackbone.learnable`: CTC needs a step for each character, and one between two that are the same."""
        written = self.writable(text)
        repeats = sum(one == other for one, other in itertools.pairwise(written))
        return super().learnable(frames, text) and len(written) + repeats <= -(-frames // POOLED)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """CTC loss for each character, the mean over utterances; "left_out" is the share of utterances without one.

        Characters that no training transcript has are left out. So are utterances that are too short for their transcript, or have
        none.

        Raises:
            AdaptationFailed: no utterance is left.
        """
        scores, lengths = self._scores(batch.mels, batch.mel_lengths)
        matches = batch.characters.unsqueeze(-1) == self.code_points
        kept = [row.nonzero()[:, 1] + 1 for row in matches]
        targets = nn.utils.rnn.pad_sequence(kept, batch_first=True)
        counts = torch.tensor([len(row) for row in kept], device=scores.device)
        usable = has_path(lengths, targets, counts) & (counts > 0)
        if not usable.any():
            raise AdaptationFailed("no recording is long enough for its transcript, or none has a transcript in known characters")
        losses = ctc_loss(scores, lengths, targets, counts) / counts.clamp_min(1)
        return {"loss": losses[usable].mean(), "left_out": 1 - usable.float().mean()}

    def transcribe(self, mel: Tensor) -> str:
        """See :meth:`RecognitionBackbone.transcribe`."""
        if not len(mel):
            raise PredictionFailed("the recording is empty")
        scores, _ = self._scores(mel[None], torch.tensor([len(mel)], device=mel.device))
        if self.config.beam:
            return beam_search(scores.cpu(), self.spec.characters, self.config.beam)
        best = torch.unique_consecutive(scores[0].argmax(-1)).tolist()
        return "".join(self.spec.characters[each - 1] for each in best if each)

    def _scores(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, S, classes), and the number of steps of each utterance."""
        x = (mels - self.mel_mean) / self.mel_std * inside(lengths, mels.shape[1])
        x, lengths = self.first(x[:, None], lengths)
        x, lengths = self.second(x, lengths)
        x = x.transpose(1, 2).flatten(2)
        mask = inside(lengths, x.shape[1])
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            x = self.dropout(x)
            # Mirrored, so that padding comes last in both directions.
            left = backwards(mirrored(x, lengths))[0]
            x = torch.cat([forwards(x)[0], mirrored(left, lengths)], dim=-1) * mask
        return self.output(self.dropout(x)).log_softmax(-1), lengths


def beam_search(scores: Tensor, characters: tuple[str, ...], beam: int) -> str:
    """The transcript whose paths are likeliest together, without a language model: Graves et al. (2006), section 3.2."""
    from torchaudio.models.decoder import ctc_decoder

    # The decoder wants a sign for silence; the blank stands in for it.
    tokens = ["<blank>", *characters]
    decoder = ctc_decoder(None, tokens, beam_size=beam, log_add=True, blank_token=tokens[0], sil_token=tokens[0])
    best = decoder(scores.float().contiguous())[0][0]
    return "".join(characters[each - 1] for each in best.tokens.tolist())


PLUGIN = CrnnCtc
