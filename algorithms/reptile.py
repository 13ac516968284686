"""Reptile: move the initialisation towards where inner-loop training on each speaker ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, pinned
from benchmark.backbone import Backbone
from benchmark.batch import Batch
from benchmark.learning.inner_loop import OptimizerFactory, add_gradients, descend, select, sizes
from benchmark.settings.ranges import Checked, Names, PositiveFloat
from benchmark.task import Task


class Reptile(Algorithm):
    """Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms" (2018), batched version (their section 3).

    The outer gradient is (phi - phi_k) / (inner_lr * k), averaged over tasks, where phi_k are the parameters after k
    inner steps that alternate between the task's two halves. The inner optimiser is Adam with beta1 = 0, as in the paper, or SGD.
    """

    same_start = True
    search_space: ClassVar = {
        "inner_lr": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "inner_steps": (3, 5), "groups": (("all",), ("decoder", "output"), ("embedding",)),
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(Checked):
        """Settings of inner loop and adaptation.

        Attributes:
            groups: parameter groups adapted in the inner loop and at test time.
            inner_steps: inner steps per training task, at least 2 (one step is joint training).
            inner_lr: learning rate of the inner optimiser, above 0.
            optimizer: "adam" (beta1 = 0) or "sgd", in the inner loop and at test time.
        """

        groups: Names = ("all",)
        inner_steps: Annotated[int, Ge(2)] = 5
        inner_lr: PositiveFloat = 1e-3
        optimizer: Literal["adam", "sgd"] = "adam"

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.names = select(backbone, self.config.groups)

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`; the loss logged is the query's at the start of the inner loop."""
        steps = self.config.inner_steps
        scale = 1 / (self.config.inner_lr * steps * len(tasks))
        start = dict(self.backbone.named_parameters())
        total = 0.0
        for task in tasks:
            query, support = task.query.as_new_speaker(), task.support.as_new_speaker()
            with pinned(self.backbone, training=False), torch.no_grad():
                total += float(self.backbone.loss(query)["loss"]) / len(tasks)
            _, end = next(descend(self.backbone, self.names, (support, query), self._optimizer(), [steps]))
            add_gradients(self.backbone, {name: (start[name].detach() - end[name]) * scale for name in self.names})
        return {"loss": total}

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        for step, parameters in descend(self.backbone, self.names, support, self._optimizer(), steps):
            yield step, AdaptedModel(self.backbone, parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return sizes(self.backbone, self.names)

    def _optimizer(self) -> OptimizerFactory:
        if self.config.optimizer == "adam":
            return partial(torch.optim.Adam, lr=self.config.inner_lr, betas=(0.0, 0.999))
        return partial(torch.optim.SGD, lr=self.config.inner_lr)


PLUGIN = Reptile
