"""Reptile: move the initialisation towards where inner-loop training on each speaker ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, pinned
from benchmark.backbone import Backbone
from benchmark.batch import Batch
from benchmark.learning.inner_loop import add_gradients, descend, optimizer_named, rates, select, sizes
from benchmark.parameters import OUTER_BOOSTS, ParameterGroup
from benchmark.settings.ranges import BelowOne, Checked, Names, NonNegativeFloat, PositiveFloat
from benchmark.task import Task


class Reptile(Algorithm):
    """Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms" (2018), batched version (their section 3).

    Inner loop: k steps from phi to phi_k that alternate between the task's two halves, by Adam (beta1 = 0 as in the paper, or
    ``momentum``) or SGD.
    The paper then moves phi <- phi + epsilon * mean(phi_k - phi) over tasks, and epsilon falls linearly to 0 over the training; that is
    ``interpolation`` (its experiments start from epsilon = 1).

    The default departs from it, so that all learners share one outer optimiser: the mean of (phi - phi_k) / (k * rate of the
    parameter) counts as a gradient, which is clipped to norm 1 and goes through AdamW, with warm-up and a cosine's schedule. AdamW
    scales each parameter's step by how large its own gradients were, where interpolation keeps the inner loop's lengths.
    """

    same_start = True
    search_space: ClassVar = {
        "inner_lr": (3e-4, 1e-3, 3e-3), "speaker_lr": (0.0, 0.03, 0.1, 0.3), "momentum": (0.0, 0.9), "interpolation": (0.0, 1.0),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(Checked):
        """Settings of inner loop and adaptation.

        Attributes:
            groups: parameter groups adapted in the inner loop and at test time.
            inner_steps: inner steps per training task, at least 2 (one step is joint training).
            inner_lr: learning rate of the inner optimiser, above 0.
            speaker_lr: that of the new speaker's vector instead, whose numbers are few and must move far; 0: as all.
            momentum: Adam's beta1, momentum of SGD, 0 to below 1. 0: as in the paper.
            interpolation: move by the paper's rule, with this epsilon at first, up to 1; 0: by AdamW.
            outer_boost: AdamW's learning rate as a multiple of the run's, above 0.
            optimizer: "adam" or "sgd", in the inner loop and at test time.
        """

        groups: Names = ("all",)
        inner_steps: Annotated[int, Ge(2)] = 5
        inner_lr: PositiveFloat = 1e-3
        speaker_lr: NonNegativeFloat = 0.1
        momentum: BelowOne = 0.0
        interpolation: Annotated[NonNegativeFloat, Le(1)] = 0.0
        outer_boost: PositiveFloat = 1.0
        optimizer: Literal["adam", "sgd"] = "adam"

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        c: Reptile.Config = self.config
        self.names = select(backbone, c.groups)
        self.rates = rates(backbone, self.names, c.inner_lr, c)
        if c.interpolation:
            self.outer_step = self._interpolate

    def parameter_groups(self) -> list[ParameterGroup]:
        """See :meth:`Algorithm.parameter_groups`."""
        return [ParameterGroup(list(self.parameters()), self.config.outer_boost)]

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`; the loss logged is the query's at the start of the inner loop."""
        steps = self.config.inner_steps
        # The paper's rule moves by distances, the optimiser by their mean gradients.
        scale = {name: 1 / ((1 if self.config.interpolation else rate * steps) * len(tasks)) for name, rate in self.rates.items()}
        start = dict(self.backbone.named_parameters())
        total = 0.0
        for task in tasks:
            query, support = task.query.as_new_speaker(), task.support.as_new_speaker()
            with pinned(self.backbone, training=False), torch.no_grad():
                total += float(self.backbone.loss(query)["loss"]) / len(tasks)
            _, end = next(descend(self.backbone, self.names, (support, query), self._optimizer, [steps]))
            add_gradients(self.backbone, {name: (start[name].detach() - end[name]) * scale[name] for name in self.names})
        return {"loss": total}

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        for step, parameters in descend(self.backbone, self.names, support, self._optimizer, steps):
            yield step, AdaptedModel(self.backbone, parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return sizes(self.backbone, self.names)

    @torch.no_grad()
    def _interpolate(self, progress: float) -> None:
        """See :attr:`Algorithm.outer_step`: phi - epsilon * (1 - progress) * mean(phi - phi_k)."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=self.config.interpolation * (1 - progress))

    def _optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        return optimizer_named(self.config.optimizer, parameters, self.rates, self.config.momentum)


PLUGIN = Reptile
