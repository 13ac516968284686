"""Topline: fine-tuning on all speech of the target, the queries excepted."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.batch import Batch
from benchmark.learning.inner_loop import Parameters
from benchmark.learning.reuse import Reuse
from benchmark.settings.ranges import PositiveInt

from .finetune import FineTune


class AllSpeech(FineTune):
    """Fine-tuning on the episode's support and enrolment utterances: what more shots could give at most.

    Each step learns from ``batch_size`` of them. In synthesis, similarity to the target flatters it, because it learned from the
    speech that makes the centroid.
    """

    role = "topline"
    uses_all_speech = True

    @dataclass(frozen=True)
    class Config(FineTune.Config):
        """As of fine-tuning.

        Attributes:
            batch_size: utterances of a step, drawn from all.
        """

        batch_size: PositiveInt = 16

    def _descend(
        self, step: int, values: Parameters, fixed: Parameters, support: Batch, optimizer: torch.optim.Optimizer, reuse: Reuse | None
    ) -> None:
        size = self.config.batch_size
        chosen = support if len(support) <= size else support.rows(torch.randperm(len(support))[:size])
        super()._descend(step, values, fixed, chosen, optimizer, reuse if chosen is support else None)


PLUGIN = AllSpeech
