"""MAML: learn an initialisation from which a few gradient steps on a new speaker go furthest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from benchmark.algorithm import AdaptedVoice, Algorithm, Task, Voice, pinned
from benchmark.backbone import Backbone, call
from benchmark.batch import Batch
from benchmark.inner_loop import add_gradients, descend, gradients, select, sizes


class MAML(Algorithm):
    """Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning" (ICML 2017), equation 1; FOMAML with ``first_order``.

    Inner loop: theta_k = theta_(k-1) - inner_lr * grad L_support(theta_(k-1)), on the chosen groups. Outer gradient:
    d L_query(theta_K) / d theta, through the inner loop (second order) or taking its Jacobian as the identity.
    Parameters outside the groups are learned in the outer loop only. Dropout is off in both.
    """

    search_space: ClassVar = {
        "inner_lr": (0.01, 0.03, 0.1, 0.3, 1.0), "inner_steps": (1, 3), "groups": (("all",), ("decoder", "output"), ("embedding",)),
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config:
        """Settings of inner loop and adaptation.

        Attributes:
            groups: parameter groups adapted in the inner loop and at test time.
            inner_steps: inner steps of a task in training, at least 1.
            inner_lr: of the inner loop's and the adaptation's plain gradient descent, above 0 (0 is allowed: no inner loop).
            first_order: drop second derivatives (FOMAML).
        """

        groups: tuple[str, ...] = ("all",)
        inner_steps: int = 3
        inner_lr: float = 0.1
        first_order: bool = False

        def __post_init__(self) -> None:
            if self.inner_steps < 1:
                raise ValueError("inner_steps must be at least 1")
            if self.inner_lr < 0:
                raise ValueError("inner_lr must not be negative")

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.names = select(backbone, self.config.groups)

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`; the loss logged is the query's after the inner loop."""
        second_order = not self.config.first_order
        start = {n: p for n, p in self.backbone.named_parameters() if p.requires_grad}
        total = 0.0
        with pinned(self.backbone, training=False):
            for task in tasks:
                support, query = task.support.as_new_speaker(), task.query.as_new_speaker()
                adapted = {name: start[name] for name in self.names}
                for _ in range(self.config.inner_steps):
                    _, grads = gradients(self.backbone, adapted, support, create_graph=second_order)
                    adapted = {
                        name: parameter - self.config.inner_lr * grad
                        for (name, parameter), grad in zip(adapted.items(), grads, strict=True)
                    }
                loss = call(self.backbone, adapted, "loss", query)["loss"]
                outer = torch.autograd.grad(loss / len(tasks), list(start.values()), materialize_grads=True)
                add_gradients(self.backbone, dict(zip(start, outer, strict=True)))
                total += float(loss.detach()) / len(tasks)
        return {"loss": total}

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Voice]]:
        """See :meth:`Algorithm.adapt`."""
        optimizer = partial(torch.optim.SGD, lr=self.config.inner_lr)
        for step, parameters in descend(self.backbone, self.names, support, optimizer, steps):
            yield step, AdaptedVoice(self.backbone, parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return sizes(self.backbone, self.names)


PLUGIN = MAML
