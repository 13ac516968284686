"""Shared by algorithms that compute a speaker vector from the support's mels, without gradient steps on a new speaker."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, pinned
from benchmark.backbone import SynthesisBackbone
from benchmark.batch import Batch
from benchmark.errors import AdaptationFailed
from benchmark.parameters import ParameterGroup
from benchmark.task import Task


class SpeakerConditioned(Algorithm):
    """Base of algorithms that map support mels to the backbone's speaker vector.

    Plugins define ``meta_step``, ``new_modules`` and ``code``, and have options ``encoder_boost`` and ``outer_boost``. A code z
    stands for the speaker vector mean + std * z, with mean and deviation over the training speakers: 0 is the mean speaker, and the
    pretrained table has codes of mean 0 and variance 1.
    """

    backbone: SynthesisBackbone
    needs: Sequence[str] = ("mels", "speaker_vector")
    max_steps: int | None = 0
    mel_mean: Tensor
    mel_std: Tensor

    def __init__(self, backbone: SynthesisBackbone, config: Any = None) -> None:
        super().__init__(backbone, config)
        self.register_buffer("mel_mean", torch.tensor(backbone.spec.statistics.mel_mean))
        self.register_buffer("mel_std", torch.tensor(backbone.spec.statistics.mel_std))

    def parameter_groups(self) -> list[ParameterGroup]:
        """See :meth:`Algorithm.parameter_groups`: new modules, which have far to go, learn ``encoder_boost`` times as fast."""
        boost = self.config.outer_boost
        new = [p for module in self.new_modules() for p in module.parameters()]
        ours = {id(parameter) for parameter in new}
        return [
            ParameterGroup([p for p in self.parameters() if id(p) not in ours], boost),
            ParameterGroup(new, boost * self.config.encoder_boost),
        ]

    @abstractmethod
    def new_modules(self) -> Sequence[nn.Module]:
        """The modules that start from random weights, beside the pretrained backbone."""

    @abstractmethod
    def code(self, batch: Batch) -> Tensor:
        """The speaker code of each utterance, shape (B, speaker_dim); leaves the modules in their mode (training or not)."""

    def normalised(self, batch: Batch) -> Tensor:
        """Mels normalised to mean 0 and variance 1 per bin over the training speakers, shape (B, F, n_mels)."""
        return (batch.mels - self.mel_mean) / self.mel_std

    def vector(self, code: Tensor) -> Tensor:
        """The speaker vector that a code, shape (…, speaker_dim), stands for."""
        table = self.backbone.speaker_vectors().detach()
        return table.mean(0) + table.std(0, correction=0) * code

    def table_loss(self, batches: Sequence[Batch], codes: Sequence[Tensor]) -> Tensor:
        """Mean squared difference between the code of each batch, by one training speaker, and the code of their pretrained vector."""
        table = self.backbone.speaker_vectors().detach()
        targets = (table - table.mean(0)) / table.std(0, correction=0).clamp_min(1e-6)
        return (torch.stack(list(codes)) - targets[torch.stack([batch.speakers[0] for batch in batches])]).square().mean()

    def query_loss(self, tasks: Sequence[Task], codes: Sequence[Tensor]) -> Tensor:
        """The backbone's loss on each task's queries, spoken with the vector of its code; mean over tasks."""
        losses = [self.backbone.loss(task.query, self.vector(code))["loss"] for task, code in zip(tasks, codes, strict=True)]
        return torch.stack(losses).mean()

    def speaker(self, support: Batch) -> Tensor:
        """The support speaker's vector, shape (speaker_dim,): the vector of the utterances' mean code.

        Raises:
            AdaptationFailed: it is not finite.
        """
        with torch.no_grad(), pinned(self, training=False):
            vector = self.vector(self.code(support).mean(0))
        if not torch.isfinite(vector).all():
            raise AdaptationFailed("the computed speaker vector is not finite")
        return vector

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        vector = self.speaker(support)
        for step in steps:
            yield step, AdaptedModel(self.backbone, {"speaker": vector})

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return {"speaker": self.backbone.speaker_dim}
