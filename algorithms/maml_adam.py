"""MAML through Adam: learn an initialisation, and a rate for each tensor and step, for Adam's steps instead of plain descent's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.learning.outer_loop import InnerLoopConfig, StepRates
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import PositiveFloat, PositiveInt
from benchmark.task import Task

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class MAMLAdam(StepRates):
    """MAML (Finn, Abbeel & Levine, ICML 2017, equation 1) whose inner loop is Adam (Kingma & Ba, ICLR 2015, algorithm 1).

    Fine-tuning adapts by Adam, so a meta-learner that adapts by plain descent differs from it in the optimiser too, and may lose
    by it alone. Here the inner loop takes Adam's steps with bias-corrected moments carried from step to step, in training as at
    test time, and the outer loop learns the initialisation and MAML++'s rates (:class:`StepRates`). Each training task draws how
    many of the ``inner_steps`` it takes, from 1 up, so that the learned start serves after any number of them.

    First order by default: inner gradients, and so the moments, are constants of the outer gradient. Its derivative by the logarithm
    of a rate is then - rate * (m / (sqrt(v) + epsilon)) . grad L_query, with bias-corrected moments: exact for the last step; an
    earlier step's rate also moves later inner gradients, which is dropped. All speakers share the rates: none are stored per speaker.
    """

    search_space: ClassVar = {
        "inner_lr": (3e-4, 1e-3, 3e-3), "speaker_lr": (0.03, 0.1, 0.3), "inner_steps": (3, 5), "first_order": (False, True),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopConfig):
        """Settings of inner and outer loop.

        Attributes:
            inner_steps: most inner steps of a training task, at least 1.
            inner_lr: initial rate of every tensor and step, above 0.
            speaker_lr: initial rate of the new speaker's vector instead, above 0; its numbers are few and must move far.
            first_order: take the inner loop's Jacobian as the identity, dropping second derivatives.
        """

        inner_steps: PositiveInt = 5
        inner_lr: PositiveFloat = 1e-3
        speaker_lr: PositiveFloat = 0.1
        first_order: bool = True

    def depth(self, task: Task) -> int:
        """See :meth:`InnerLoopAlgorithm.depth`: drawn from 1 to ``inner_steps``."""
        return int(torch.randint(1, self.config.inner_steps + 1, (), generator=torch.Generator().manual_seed(task.seed)))

    def update(self, step: int, name: str, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        """See :meth:`InnerLoopAlgorithm.update`."""
        first, second = state.get("first", torch.zeros_like(gradient)), state.get("second", torch.zeros_like(gradient))
        state["first"] = first = BETA1 * first + (1 - BETA1) * gradient
        state["second"] = second = BETA2 * second + (1 - BETA2) * gradient.square()
        moved = second > 0  # the square root has no derivative at 0
        root = torch.where(moved, second, 1.0).sqrt() * moved / (1 - BETA2 ** (step + 1)) ** 0.5
        return parameter - self.rate(step, name) * (first / (1 - BETA1 ** (step + 1))) / (root + EPSILON)


PLUGIN = MAMLAdam
