"""Fine-tuning: conventional multi-speaker training, then gradient descent on the new speaker's sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from benchmark.algorithm import AdaptedVoice, Algorithm, Task, Voice
from benchmark.backbone import Backbone
from benchmark.batch import Batch
from benchmark.inner_loop import both_halves, descend, joint_step, select, sizes


class FineTune(Algorithm):
    """Fine-tuning of chosen parameter groups with Adam.

    Spends the training budget that meta-learners spend on episodes on more multi-speaker training.
    """

    @dataclass(frozen=True)
    class Config:
        """What is adapted, and how.

        Attributes:
            groups: parameter groups of the backbone to adapt.
            learning_rate: of Adam, above 0.
        """

        groups: tuple[str, ...] = ("all",)
        learning_rate: float = 1e-3

        def __post_init__(self) -> None:
            if self.learning_rate <= 0:
                raise ValueError("learning_rate must be above 0")

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.names = select(backbone, self.config.groups)

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :func:`benchmark.inner_loop.joint_step`."""
        return joint_step(self.backbone, both_halves(tasks))

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Voice]]:
        """See :meth:`Algorithm.adapt`."""
        optimizer = partial(torch.optim.Adam, lr=self.config.learning_rate)
        for step, parameters in descend(self.backbone, self.names, support, optimizer, steps):
            yield step, AdaptedVoice(self.backbone, parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return sizes(self.backbone, self.names)


PLUGIN = FineTune
