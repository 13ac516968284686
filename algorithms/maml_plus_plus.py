"""MAML++: MAML made stable by a loss after every step, learned rates, and first-order gradients at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.backbone import Backbone
from benchmark.learning.outer_loop import InnerLoopConfig, StepRates
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import NonNegativeInt, PositiveFloat
from benchmark.task import Task

FOR_EVER = 1_000_000
"""More outer steps than any training takes."""


class MAMLPlusPlus(StepRates):
    """Antoniou, Edwards & Storkey, "How to Train Your MAML" (ICLR 2019), section 4, but for its per-step batch norm.

    * Multi-step loss: the query loss after each of the K inner steps has weight 1/K at first. All weights but
      the last fall linearly to 0 over ``annealing_steps`` outer steps; the last takes up the rest.
    * Per-layer per-step rates (:class:`benchmark.learning.outer_loop.StepRates`).
    * Batch norm, if a backbone has any, keeps its statistics frozen, as for all algorithms (:class:`benchmark.backbone.Backbone`).
    * Derivative-order annealing: first-order gradients in the first ``first_order_steps`` outer steps, second-order after.

    A buffer counts the outer steps done, so that a resumed training continues both schedules.
    """

    search_space: ClassVar = {
        "inner_lr": (0.01, 0.03, 0.1, 0.2), "speaker_lr": (0.0, 1.0, 3.0), "inner_steps": (1, 3), "first_order_steps": (50, FOR_EVER),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopConfig):
        """Settings of inner and outer loop.

        Attributes:
            inner_lr: initial rate of every layer and step, above 0.
            annealing_steps: outer steps over which the multi-step loss becomes the last step's loss; 0: that loss from the start.
            first_order_steps: outer steps with first-order gradients only, at least 0.
        """

        inner_lr: PositiveFloat = 0.2
        annealing_steps: NonNegativeInt = 50
        first_order_steps: NonNegativeInt = 50

    outer_steps: Tensor

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.register_buffer("outer_steps", torch.zeros((), dtype=torch.long))

    def step_weights(self, depth: int) -> Sequence[float]:
        """See :meth:`InnerLoopAlgorithm.step_weights`."""
        over = self.config.annealing_steps
        left = max(0.0, 1 - int(self.outer_steps) / over) if over else 0.0
        return [left / depth] * (depth - 1) + [1 - left * (depth - 1) / depth]

    @property
    def second_order(self) -> bool:
        """See :attr:`InnerLoopAlgorithm.second_order`."""
        return int(self.outer_steps) >= self.config.first_order_steps

    @property
    def phase(self) -> int:
        """See :attr:`Algorithm.phase`: intermediate losses and second derivatives both change a step's cost."""
        return 2 * (self.step_weights(self.config.inner_steps)[0] > 0) + self.second_order

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`InnerLoopAlgorithm.meta_step`."""
        logs = super().meta_step(tasks)
        self.outer_steps += 1
        return logs


PLUGIN = MAMLPlusPlus
