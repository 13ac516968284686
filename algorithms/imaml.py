"""iMAML: the gradient at the inner problem's solution, whatever path led there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchmark.backbone import call
from benchmark.learning.inner_loop import OptimizerFactory, descend, gradients, optimizer_named
from benchmark.learning.outer_loop import InnerLoopAlgorithm, InnerLoopConfig
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import NonNegativeFloat, PositiveFloat, PositiveInt
from benchmark.task import Task


class IMAML(InnerLoopAlgorithm):
    """Rajeswaran et al., "Meta-Learning with Implicit Gradients" (NeurIPS 2019), equations 3 to 7 and algorithm 2.

    Inner problem: phi minimises L_support(phi) + lambda/2 * |phi - theta|^2, starting from theta. Outer gradient:
    x = (I + H / lambda)^-1 * grad L_query(phi), where H is the Hessian of L_support at phi. Conjugate gradients on Hessian-vector
    products solve for x, so memory does not grow with the inner steps. Parameters psi outside the groups affect phi too; by the
    same theorem they get grad_psi L_query - (d^2 L_support / d psi d phi) x / lambda.

    The theorem holds at the solution, however it is reached: by Adam with beta1 = 0, as in Reptile, or by plain gradient descent.
    Plain descent needs rates below 2 / curvature. MAML differentiates through its steps and so learns a start that allows larger
    rates; here nothing pulls towards such a start. A few steps end far from the solution, where H may have negative directions, so
    the outer gradient is damped: lambda + damping replaces lambda, as in the authors' code (up to a constant). Its defaults damp far more
    than theirs, by a hundred lambda rather than ten, so x is close to the first-order gradient.
    """

    search_space: ClassVar = {
        "inner_lr": (3e-4, 1e-3, 3e-3), "speaker_lr": (0.0, 0.03, 0.1), "inner_steps": (3, 5), "proximal_weight": (0.005, 0.02, 0.1),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopConfig):
        """Settings of inner and outer loop.

        Attributes:
            inner_steps: inner steps per training task, at least 1; more come nearer to the inner problem's solution.
            inner_lr: learning rate of the inner optimiser, above 0.
            optimizer: "adam" (beta1 = 0) or "sgd", in the inner loop and at test time.
            proximal_weight: lambda, above 0: how strongly adapted parameters are held to the initialisation; with "sgd" below
                2 / ``inner_lr`` and 2 / ``speaker_lr``, or the inner loop can't converge.
            damping: added to lambda in the outer gradient, 0 (none) or above.
            cg_steps: conjugate gradient steps, at least 1.
        """

        inner_steps: PositiveInt = 5
        inner_lr: PositiveFloat = 1e-3
        optimizer: Literal["adam", "sgd"] = "adam"
        proximal_weight: PositiveFloat = 0.02
        damping: NonNegativeFloat = 2.0
        cg_steps: PositiveInt = 3

        def __post_init__(self) -> None:
            super().__post_init__()
            name, rate = max(("inner_lr", self.inner_lr), ("speaker_lr", self.speaker_lr), key=lambda each: each[1])
            if self.optimizer == "sgd" and self.proximal_weight >= 2 / rate:
                raise ValueError(f"proximal_weight must be below 2 / {name} = {2 / rate:g}, not {self.proximal_weight}")

    def stepper(self) -> OptimizerFactory:  # type: ignore[override]
        """The inner problem's solver."""
        return partial(_Proximal, self.config, self.initial_rates)

    def meta_gradient(self, task: Task, learned: Mapping[str, Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """See :meth:`InnerLoopAlgorithm.meta_gradient`."""
        support, query = task.support.as_new_speaker(), task.query.as_new_speaker()
        strength = self.config.proximal_weight + self.config.damping
        _, phi = next(descend(self.backbone, self.names, support, self.stepper(), [self.config.inner_steps]))
        adapted = {name: parameter.requires_grad_() for name, parameter in phi.items()}
        others = {name: p for name, p in learned.items() if name.removeprefix("backbone.") not in adapted}
        inputs = [*adapted.values(), *others.values()]
        loss = call(self.backbone, adapted, "loss", query)["loss"]
        outer = torch.autograd.grad(loss, inputs, materialize_grads=True)
        _, inner = gradients(self.backbone, adapted, support, create_graph=True)

        def product(vector: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
            """Second derivatives of the support loss with respect to ``adapted`` and ``inputs``, times a vector in ``adapted``."""
            pairs = [(grad, part) for grad, part in zip(inner, _split(vector, inner), strict=True) if grad.requires_grad]
            if not pairs:  # the loss is linear in all that is adapted
                return [torch.zeros_like(each) for each in inputs]
            grads, parts = zip(*pairs, strict=True)
            return torch.autograd.grad(grads, inputs, parts, retain_graph=True, materialize_grads=True)

        solution = conjugate_gradient(
            lambda vector: vector + _join(product(vector, list(adapted.values()))) / strength,
            _join(outer[: len(adapted)]),
            self.config.cg_steps,
        )
        found = {f"backbone.{name}": part for name, part in zip(adapted, _split(solution, inner), strict=True)}
        if others:
            cross = product(solution / strength, list(others.values()))
            direct = outer[len(adapted) :]
            found |= {name: grad - part for name, grad, part in zip(others, direct, cross, strict=True)}
        return loss, [found[name] for name in learned]


class _Proximal:
    """Minimises a loss plus lambda/2 times the squared distance from its starting point."""

    def __init__(self, config: IMAML.Config, rates: Mapping[str, float], parameters: list[Tensor]) -> None:
        self.strength, self.parameters = config.proximal_weight, parameters
        self.start = [parameter.detach().clone() for parameter in parameters]
        self.optimizer = optimizer_named(config.optimizer, parameters, rates, momentum=0.0)

    @torch.no_grad()
    def step(self) -> None:
        for parameter, start in zip(self.parameters, self.start, strict=True):
            assert parameter.grad is not None
            parameter.grad = parameter.grad + self.strength * (parameter - start)
        self.optimizer.step()


def conjugate_gradient(apply: Callable[[Tensor], Tensor], target: Tensor, steps: int) -> Tensor:
    """An approximate solution x of apply(x) = target, shape (n,), for a linear, symmetric ``apply``.

    Ends early when the residual is rounding error, or at a direction of negative curvature, where the loss is not convex.
    """
    solution, residual = torch.zeros_like(target), target
    direction, norm = residual, residual @ residual
    enough = norm * torch.finfo(target.dtype).eps ** 2
    for step in range(steps):
        image = apply(direction)
        curvature = direction @ image
        if norm <= enough or curvature <= 0:
            # Before any step, give the target itself: the first-order gradient.
            return solution if step else target
        size = norm / curvature
        solution, residual = solution + size * direction, residual - size * image
        previous, norm = norm, residual @ residual
        direction = residual + norm / previous * direction
    return solution


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _split(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = vector.split([each.numel() for each in like])
    return [part.view_as(each) for part, each in zip(parts, like, strict=True)]


PLUGIN = IMAML
