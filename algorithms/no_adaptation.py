"""Floor: the whole training budget on conventional training, and no adaptation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm
from benchmark.batch import Batch
from benchmark.learning.inner_loop import both_halves, half_seeds, joint_step
from benchmark.task import Task


class NoAdaptation(Algorithm):
    """Fine-tuning's model before its first step: what adaptation has to beat."""

    needs = ()
    uses_support = False
    max_steps = 0

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :func:`benchmark.learning.inner_loop.joint_step`."""
        return joint_step(self.backbone, both_halves(tasks), half_seeds(tasks))

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        for step in steps:
            yield step, AdaptedModel(self.backbone)

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = NoAdaptation
