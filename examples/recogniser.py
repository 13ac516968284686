"""A backbone for recognition: mel in, characters out.

    python -m benchmark check examples/recogniser.py
    python -m benchmark run --plugin examples/recogniser.py --backbone recogniser --algo reptile \\
        --dataset espeak --preset smoke

Its CTC loss is the project's, because ``torch.nn.functional.ctc_loss`` can't be differentiated twice, as MAML requires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import BackboneSpec, RecognitionBackbone
from benchmark.batch import Batch
from benchmark.errors import PredictionFailed
from benchmark.learning.ctc import ctc_loss
from benchmark.settings.ranges import Checked, PositiveInt


class Recogniser(RecognitionBackbone):
    """Two convolutions (two frames per step) and a recurrent layer in each direction, trained with CTC (Graves et al., ICML 2006)."""

    mel_mean: Tensor
    mel_std: Tensor
    code_points: Tensor

    @dataclass(frozen=True)
    class Config(Checked):
        """Size of the model.

        Attributes:
            hidden: width of all layers.
        """

        hidden: PositiveInt = 160

    @classmethod
    def tiny(cls) -> Recogniser.Config:
        """See :meth:`Backbone.tiny`."""
        return cls.Config(hidden=8)

    def __init__(self, spec: BackboneSpec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        width: int = self.config.hidden
        self.first = nn.Conv1d(spec.mel.n_mels, width, 5, stride=2, padding=2)
        self.second = nn.Conv1d(width, width, 5, padding=2)
        self.forwards = nn.GRU(width, width, batch_first=True)
        self.backwards = nn.GRU(width, width, batch_first=True)
        self.output = nn.Linear(2 * width, 1 + len(spec.characters))  # class 0 is CTC's blank
        self.register_buffer("mel_mean", torch.tensor(spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(spec.statistics.mel_std))
        self.register_buffer("code_points", torch.tensor([ord(each) for each in spec.characters], dtype=torch.int64))

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`."""
        names = tuple(name for name, _ in self.named_parameters())
        return {"output": tuple(name for name in names if name.startswith("output.")), "all": names}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """CTC loss per character; characters that no training transcript has are ignored."""
        scores, lengths = self._scores(batch.mels, batch.mel_lengths)
        matches = batch.characters.unsqueeze(-1) == self.code_points
        kept = [row.nonzero()[:, 1] + 1 for row in matches]
        targets = nn.utils.rnn.pad_sequence(kept, batch_first=True)
        counts = torch.tensor([len(row) for row in kept], device=scores.device)
        losses = ctc_loss(scores, lengths, targets, counts)
        return {"loss": (losses / counts.clamp_min(1)).mean()}

    def transcribe(self, mel: Tensor) -> str:
        """See :meth:`RecognitionBackbone.transcribe`: the likeliest class of each step, without repeats and blanks."""
        if not len(mel):
            raise PredictionFailed("the recording is empty")
        scores, _ = self._scores(mel[None], torch.tensor([len(mel)], device=mel.device))
        best = torch.unique_consecutive(scores[0].argmax(-1)).tolist()
        return "".join(self.spec.characters[each - 1] for each in best if each)

    def _scores(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, S, classes), and the number of steps of each utterance."""

        def inside(x: Tensor) -> Tensor:
            return (torch.arange(x.shape[1], device=x.device) < lengths[:, None]).unsqueeze(-1).to(x.dtype)

        x = (mels - self.mel_mean) / self.mel_std
        x = F.gelu(self.first((x * inside(x)).transpose(1, 2))).transpose(1, 2)
        lengths = (lengths + 1) // 2
        x = F.gelu(self.second((x * inside(x)).transpose(1, 2))).transpose(1, 2)
        x = x * inside(x)
        # Reverse each utterance within its length, so that padding comes last in both directions.
        step = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step).unsqueeze(-1).expand_as(x)
        right, left = self.forwards(x)[0], self.backwards(x.gather(1, turned))[0].gather(1, turned)
        return self.output(torch.cat([right, left], dim=-1)).log_softmax(-1), lengths


PLUGIN = Recogniser
