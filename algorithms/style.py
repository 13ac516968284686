"""Style encoding: reference mels to a style vector that drives the backbone's conditional layer norms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.algorithm import pinned
from benchmark.backbone import SynthesisBackbone
from benchmark.batch import Batch
from benchmark.learning.speaker_conditioning import SpeakerConditioned
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import BelowOne, Checked, NonNegativeFloat, PositiveFloat, PositiveInt
from benchmark.task import Task


class GatedConv(nn.Module):
    """Residual gated convolution over time: x + dropout(GLU(conv(x))), padding kept at 0."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, F, width); mask: (B, F, 1)."""
        return (x + self.dropout(F.glu(self.conv(x.transpose(1, 2)), dim=1).transpose(1, 2))) * mask


class MelEncoder(nn.Module):
    """Mel-style encoder: spectral (linear), temporal (gated convolutions), self-attention, mean over time."""

    def __init__(self, n_mels: int, width: int, heads: int, style_dim: int, dropout: float) -> None:
        super().__init__()
        self.spectral = nn.Sequential(
            nn.Linear(n_mels, width), nn.Mish(), nn.Dropout(dropout), nn.Linear(width, width), nn.Mish(), nn.Dropout(dropout)
        )
        self.temporal = nn.ModuleList(GatedConv(width, 5, dropout) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.output = nn.Linear(width, style_dim)

    def forward(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """(B, F, n_mels) normalised log-mels and (B,) frames to (B, style_dim)."""
        inside = torch.arange(mels.shape[1], device=mels.device) < lengths.unsqueeze(1)
        mask = inside.unsqueeze(-1).to(mels.dtype)
        x = self.spectral(mels) * mask
        for block in self.temporal:
            x = block(x, mask)
        x = x + self.attention(x, x, x, key_padding_mask=~inside, need_weights=False)[0]
        # The output layer is linear, so the mean may come before it; in the paper it comes after.
        return self.output((x * mask).sum(1) / lengths.unsqueeze(1))  # type: ignore[no-any-return]


class Style(SpeakerConditioned):
    """Min, Lee, Yang & Hwang, "Meta-StyleSpeech" (ICML 2021): mel-style encoder and episodic training.

    The support's style vector takes the place of the backbone's speaker vector; the backbone's conditional layer norm is
    the paper's style-adaptive one (eq. 1 and 2). A step minimises the backbone's loss on the queries of each task,
    spoken in its support's style (section 3.2). A new speaker needs no gradient steps.

    Left out: the two discriminators and their adversarial losses, the style prototypes and their classification loss
    (section 3.3). In their place ``table_weight`` ties training speakers' styles to their pretrained vectors. Several
    support utterances are averaged; the paper uses one.
    """

    embeds = True
    search_space: ClassVar = {
        "table_weight": (0.0, 0.1, 1.0),
        "encoder_boost": (3.0, 10.0, 30.0),
        "dropout": (0.0, 0.1, 0.3),
        "outer_boost": OUTER_BOOSTS,
    }

    @dataclass(frozen=True)
    class Config(Checked):
        """Sizes and weights.

        Attributes:
            width: width of the encoder's layers, a multiple of heads.
            heads: heads of the encoder's self-attention, at least 1.
            dropout: the encoder's dropout in training, 0 to below 1.
            table_weight: weight of the regression onto the training speakers' pretrained vectors, at least 0.
            encoder_boost: the encoder's learning rate as a multiple of the backbone's, above 0.
            outer_boost: the backbone's learning rate as a multiple of the run's, above 0.
        """

        width: PositiveInt = 128
        heads: PositiveInt = 2
        dropout: BelowOne = 0.1
        table_weight: NonNegativeFloat = 0.1
        encoder_boost: PositiveFloat = 10.0
        outer_boost: PositiveFloat = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.width % self.heads:
                raise ValueError(f"width must be a multiple of heads, {self.heads}, not {self.width}")

    def __init__(self, backbone: SynthesisBackbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        c: Style.Config = self.config
        self.encoder = MelEncoder(backbone.spec.mel.n_mels, c.width, c.heads, backbone.speaker_dim, c.dropout)

    def new_modules(self) -> Sequence[nn.Module]:
        """See :meth:`SpeakerConditioned.new_modules`."""
        return [self.encoder]

    def code(self, batch: Batch) -> Tensor:
        """See :meth:`SpeakerConditioned.code`."""
        return self.encoder(self.normalised(batch), batch.mel_lengths)  # type: ignore[no-any-return]

    def embed(self, batch: Batch) -> Tensor:
        """The style code of each utterance, shape (B, speaker_dim)."""
        with torch.no_grad(), pinned(self, training=False):
            return self.code(batch)

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`."""
        with pinned(self, training=True):
            codes = [self.code(task.support).mean(0) for task in tasks]
            losses = {"query": self.query_loss(tasks, codes), "table": self.table_loss([task.support for task in tasks], codes)}
            loss = losses["query"] + self.config.table_weight * losses["table"]
            loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": float(loss.detach()), **{name: float(value.detach()) for name, value in losses.items()}}


PLUGIN = Style
