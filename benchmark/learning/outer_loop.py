"""Learning to learn by gradient descent: the two loops that MAML and its descendants share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, pinned
from benchmark.backbone import Backbone, call
from benchmark.batch import Batch
from benchmark.learning.inner_loop import add_gradients, descend, gradients, rates, select, sizes
from benchmark.learning.reuse import Reuse
from benchmark.parameters import OUTER_BOOSTS, ParameterGroup
from benchmark.settings.ranges import Checked, Names, NonNegativeFloat, PositiveFloat, PositiveInt
from benchmark.task import Task

RATE_SPEED = 30.0
"""Learned inner rates, stored relative to the initial rate, learn at this multiple of the run's rate. A hundred Adam steps
at 3e-4 move a weight by up to .02 or .03, but a rate should be able to move by about its own size."""


@dataclass(frozen=True)
class InnerLoopConfig(Checked):
    """Settings of the inner loop.

    Attributes:
        groups: parameter groups adapted in the inner loop and at test time; only the outer loop learns the others.
        inner_steps: inner steps per training task, at least 1.
        inner_lr: learning rate in the inner loop and in adaptation, 0 (no inner loop) or above.
        speaker_lr: that of the new speaker's vector instead, whose numbers are few and must move far; 0: as all.
        outer_boost: the outer loop's learning rate of weights, as a multiple of the run's, above 0.
    """

    groups: Names = ("all",)
    inner_steps: PositiveInt = 3
    inner_lr: NonNegativeFloat = 0.2
    speaker_lr: NonNegativeFloat = 0.0
    outer_boost: PositiveFloat = 1.0


class InnerLoopAlgorithm(Algorithm):
    """Finn et al. (2017): gradient descent on the support set inside, gradients of the query loss through it outside.

    This base class is MAML. Subclasses override what they change: :meth:`rate` or :meth:`update` (how a parameter
    moves), :meth:`depth`, :meth:`step_weights` and :attr:`second_order` (what the outer loop differentiates), or
    :meth:`meta_gradient`.
    The outer loop also learns any parameters that a subclass adds, such as rates. Dropout is off in both loops.

    Attributes:
        names: of the parameters that adapt.
        initial_rates: the rate of each before any training.
    """

    same_start = True
    search_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "inner_lr": (0.01, 0.03, 0.1, 0.2), "speaker_lr": (0.0, 1.0, 3.0), "inner_steps": (1, 3), "first_order": (False, True),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopConfig):
        """Settings of inner and outer loop.

        Attributes:
            first_order: take the inner loop's Jacobian as the identity, dropping second derivatives.
        """

        first_order: bool = False

    def __init__(self, backbone: Backbone, config: InnerLoopConfig | None = None) -> None:
        super().__init__(backbone, config)
        self.names = self.choose(backbone)
        c: InnerLoopConfig = self.config
        self.initial_rates = rates(backbone, self.names, c.inner_lr, c)

    def choose(self, backbone: Backbone) -> tuple[str, ...]:
        """The names of the parameters that adapt."""
        return select(backbone, self.config.groups)

    def start(self, learned: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What adapts, by name, before the first step; see :meth:`meta_gradient` for ``learned``."""
        return {name: learned[f"backbone.{name}"] for name in self.names}

    def place(self, learned: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The backbone's parameters that the adapted ``values`` stand for."""
        return values

    def rate(self, step: int, name: str) -> Tensor | float:
        """The rate of the named parameter in a step, counted from 0: a number, or a tensor that broadcasts to its shape."""
        return self.initial_rates[name]

    def update(self, step: int, name: str, parameter: Tensor, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The named parameter after a step, counted from 0; ``state`` is what earlier steps left for it, empty at first."""
        return parameter - self.rate(step, name) * gradient

    def depth(self, task: Task) -> int:
        """The inner steps of a training task."""
        return int(self.config.inner_steps)

    def step_weights(self, depth: int) -> Sequence[float]:
        """Weights of the query losses after inner steps 1, 2, ... ``depth``, the last one above 0."""
        return [0.0] * (depth - 1) + [1.0]

    @property
    def second_order(self) -> bool:
        """Whether the outer gradient passes through the inner gradients."""
        return not self.config.first_order

    def learned_rates(self) -> list[nn.Parameter]:
        """Inner rates that the outer loop learns, relative to the initial one."""
        return []

    def parameter_groups(self) -> list[ParameterGroup]:
        """See :meth:`Algorithm.parameter_groups`: weights at ``outer_boost`` times the run's rate, learned rates at ``RATE_SPEED``."""
        rates = self.learned_rates()
        ours = {id(rate) for rate in rates}
        weights = ParameterGroup([p for p in self.parameters() if id(p) not in ours], self.config.outer_boost)
        return [weights, ParameterGroup(rates, RATE_SPEED, weight_decay=0.0)] if rates else [weights]

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """See :meth:`Algorithm.meta_step`; logs the query loss after the inner loop."""
        learned = {name: p for name, p in self.named_parameters() if p.requires_grad}
        total = 0.0
        with pinned(self.backbone, training=False):
            for task in tasks:
                loss, grads = self.meta_gradient(task, learned)
                add_gradients(self, {name: grad / len(tasks) for name, grad in zip(learned, grads, strict=True)})
                total += float(loss.detach()) / len(tasks)
        return {"loss": total}

    def meta_gradient(self, task: Task, learned: Mapping[str, Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """One task's query loss after the inner loop, and the gradients for ``learned``, in its order.

        ``learned`` holds this module's parameters, so names of the backbone's begin with "backbone.".
        """
        support, query = task.support.as_new_speaker(), task.query.as_new_speaker()
        adapted, place = self.start(learned), partial(self.place, learned)
        states: dict[str, dict[str, Tensor]] = {name: {} for name in self.names}
        reuse = Reuse(self.backbone, place(adapted))
        losses = []
        for step, weight in enumerate(self.step_weights(self.depth(task))):
            _, grads = gradients(self.backbone, adapted, support, self.second_order, place, reuse)
            adapted = {
                name: self.update(step, name, parameter, grad, states[name])
                for (name, parameter), grad in zip(adapted.items(), grads, strict=True)
            }
            if weight > 0:
                loss = call(self.backbone, place(adapted), "loss", query)["loss"]
                losses.append(weight * loss)
        return loss, torch.autograd.grad(torch.stack(losses).sum(), list(learned.values()), materialize_grads=True)

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        for step, parameters in descend(self.backbone, self.names, support, self.stepper(), steps):
            yield step, AdaptedModel(self.backbone, parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return sizes(self.backbone, self.names)

    def stepper(self) -> partial[_Stepper]:
        """:meth:`update` as an optimiser for :func:`benchmark.learning.inner_loop.descend`."""
        return partial(_Stepper, self)


class StepRates(InnerLoopAlgorithm):
    """An inner loop that learns a rate for each parameter tensor and step, shared by all elements and all tasks.

    As in MAML++ (Antoniou, Edwards & Storkey, ICLR 2019, section 4, "per-layer per-step learning rates"). Rates are
    ``initial_rates`` * exp(s), with s = 0 at first, so they stay positive. Steps beyond ``inner_steps``, at test time,
    repeat the last one's rates.
    """

    def __init__(self, backbone: Backbone, config: InnerLoopConfig | None = None) -> None:
        super().__init__(backbone, config)
        self.log_rates = nn.Parameter(torch.zeros(self.config.inner_steps, len(self.names)))
        self.columns = {name: column for column, name in enumerate(self.names)}

    def learned_rates(self) -> list[nn.Parameter]:
        """See :meth:`InnerLoopAlgorithm.learned_rates`."""
        return [self.log_rates]

    def rate(self, step: int, name: str) -> Tensor:
        """See :meth:`InnerLoopAlgorithm.rate`."""
        row = min(step, self.config.inner_steps - 1)
        rate: Tensor = self.initial_rates[name] * torch.exp(self.log_rates[row, self.columns[name]])
        return rate


class _Stepper:
    def __init__(self, algorithm: InnerLoopAlgorithm, parameters: Sequence[Tensor]) -> None:
        self.algorithm, self.parameters, self.done = algorithm, parameters, 0
        self.states: dict[str, dict[str, Tensor]] = {name: {} for name in algorithm.names}

    @torch.no_grad()
    def step(self) -> None:
        for name, parameter in zip(self.algorithm.names, self.parameters, strict=True):
            assert parameter.grad is not None
            parameter.copy_(self.algorithm.update(self.done, name, parameter, parameter.grad, self.states[name]))
        self.done += 1
