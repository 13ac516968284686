"""The parts of adaptation: choosing parameters, computing their gradients, descending."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmark.algorithm import pinned
from benchmark.backbone import Backbone, call
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.learning.reuse import Reuse
from benchmark.task import Task

NEW_SPEAKER_SHARE = 0.1

Parameters = dict[str, Tensor]
Place = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@contextmanager
def second_order(module: nn.Module) -> Iterator[None]:
    """Use kernels that can be differentiated twice; fused attention and cuDNN's recurrent layers can't.

    Must cover every computation that second derivatives pass through, from the first forward pass on.
    """
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        # Convolutions would be slower without cuDNN, so it stays on unless a layer is recurrent.
        if any(isinstance(child, nn.RNNBase) for child in module.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


class Stepper(Protocol):
    """Moves parameters by their ``.grad``: a ``torch.optim`` optimiser, or a custom rule."""

    def step(self) -> object: ...


OptimizerFactory = Callable[[list[Tensor]], Stepper]


def select(backbone: Backbone, groups: Sequence[str]) -> tuple[str, ...]:
    """The names of the parameters in ``groups``, each once, in the model's order.

    Raises:
        UsageError: the backbone has no such group, or none is given.
    """
    available = backbone.adaptable_groups()
    if not groups:
        raise UsageError(f"There must be at least one group to adapt; the backbone has {', '.join(available)}.")
    for group in groups:
        if group not in available:
            raise UsageError(f"The backbone has no group {group!r} to adapt; it has {', '.join(available)}.")
    chosen = {name for group in groups for name in available[group]}
    return tuple(name for name, _ in backbone.named_parameters() if name in chosen)


def sizes(backbone: Backbone, names: Sequence[str]) -> dict[str, int]:
    """How many numbers each named parameter holds."""
    parameters = dict(backbone.named_parameters())
    return {name: parameters[name].numel() for name in names}


def speaker_vector(backbone: Backbone) -> tuple[str, ...]:
    """The name of the new speaker's vector among the backbone's parameters; nothing if it has none."""
    vector = getattr(backbone, "new_speaker", None)
    return tuple(name for name, parameter in backbone.named_parameters() if parameter is vector)


def rates(backbone: Backbone, names: Sequence[str], rate: float, config: Any) -> dict[str, float]:
    """The learning rate of each named parameter: ``speaker_lr`` of the new speaker's vector, unless it is 0, and ``rate`` of others.

    Raises:
        UsageError: the backbone has no speaker vector, and ``speaker_lr`` is neither 0 nor its default, so somebody asked for it.
    """
    own, speaker_rate = speaker_vector(backbone), config.speaker_lr
    if speaker_rate not in (0.0, type(config)().speaker_lr) and not own:
        raise UsageError("The backbone has no speaker vector, so speaker_lr has nothing to move; leave it out.")
    return {name: speaker_rate if speaker_rate and name in own else rate for name in names}


def dotless(name: str) -> str:
    """A parameter's name as a key of a module's own parameters or buffers, which can't contain dots."""
    return name.replace(".", "/")


def optimizer_named(
    name: str, parameters: Sequence[Tensor], rates: Mapping[str, float], momentum: float, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """An optimiser that gives each parameter the rate of its own; both in the same order.

    Args:
        name: "adam", "adamw" (with ``weight_decay``) or "sgd".
        parameters: to update.
        rates: one for each parameter.
        momentum: beta1 of "adam" and "adamw".
        weight_decay: of "adamw" alone.
    """
    groups = [{"params": [parameter], "lr": rate} for parameter, rate in zip(parameters, rates.values(), strict=True)]
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=momentum)
    betas = (momentum, 0.999)
    # Fused, a step takes a quarter of the time: on one short sentence, else half of an adaptation step.
    if name == "adamw":
        return torch.optim.AdamW(groups, betas=betas, weight_decay=weight_decay, fused=True)
    return torch.optim.Adam(groups, betas=betas, fused=True)


def gradients(
    backbone: Backbone, parameters: Mapping[str, Tensor], batch: Batch, create_graph: bool = False, place: Place = dict,
    reuse: Reuse | None = None,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """Loss on ``batch`` with ``parameters`` in place, and its gradients with respect to them, in their order.

    A parameter that the loss does not reach has a zero gradient.

    Args:
        backbone: is left unchanged.
        parameters: to differentiate by.
        batch: to learn from.
        create_graph: whether the gradients can be differentiated again.
        place: the backbone's parameters that they stand for, if they are not the backbone's own (adapters, say).
        reuse: of earlier steps on the same batch.

    Raises:
        AdaptationFailed: the loss is not finite.
    """
    # First-order gradients need no graph through parameters that are not adapted.
    frozen = {} if create_graph else {n: p.detach() for n, p in backbone.named_parameters() if n not in parameters}
    with second_order(backbone) if create_graph else nullcontext():
        with reuse(parameters.values()) if reuse else nullcontext():
            loss = call(backbone, {**frozen, **place(parameters)}, "loss", batch)["loss"]
        if not torch.isfinite(loss):
            raise AdaptationFailed("the loss in the inner loop is not finite")
        grads = torch.autograd.grad(loss, list(parameters.values()), create_graph=create_graph, materialize_grads=True)
    return loss, list(grads)


def descend(
    backbone: Backbone,
    names: Sequence[str],
    batch: Batch | Sequence[Batch],
    optimizer: OptimizerFactory,
    steps: Sequence[int],
    start: Mapping[str, Tensor] | None = None,
    place: Place = dict,
) -> Iterator[tuple[int, Parameters]]:
    """Minimise the loss over the named parameters, starting from the backbone's own.

    Works on copies with dropout off and leaves the backbone unchanged. Takes several batches in turn, one per step.

    Args:
        backbone: is left unchanged.
        names: of the parameters.
        batch: to learn from.
        optimizer: makes what moves them.
        steps: after which to yield.
        start: where to start, if they are not the backbone's own.
        place: see :func:`gradients`.

    Yields:
        ``(step, parameters)`` at each of ``steps``; the parameters are detached copies.

    Raises:
        AdaptationFailed: the loss, or a parameter to be yielded, is not finite.
    """
    own = dict(backbone.named_parameters()) if start is None else start
    parameters = {name: own[name].detach().clone().requires_grad_() for name in names}
    update = optimizer(list(parameters.values()))
    batches = [batch] if isinstance(batch, Batch) else batch
    reuse = [Reuse(backbone, place(parameters)) for _ in batches]
    done = 0
    for target in sorted(set(steps)):
        with torch.enable_grad(), pinned(backbone, training=False):
            for step in range(done, target):
                turn = step % len(batches)
                _, grads = gradients(backbone, parameters, batches[turn], place=place, reuse=reuse[turn])
                for parameter, grad in zip(parameters.values(), grads, strict=True):
                    parameter.grad = grad
                update.step()
        done = target
        if not all(torch.isfinite(parameter).all() for parameter in parameters.values()):
            raise AdaptationFailed(f"the parameters are not finite after {done} steps")
        yield target, {name: parameter.detach().clone() for name, parameter in parameters.items()}


def joint_step(backbone: Backbone, batches: Sequence[Batch], seeds: Sequence[int] = ()) -> dict[str, float]:
    """Conventional multi-speaker training: every utterance with its own speaker's vector, dropout on; leaves gradients.

    A tenth of the utterances are given to the new speaker instead, so that its starting point, near the mean of all
    speakers, is a voice too. Fine-tuning baselines spend on this the compute that meta-learners spend on episodes.

    Args:
        backbone: to train.
        batches: to learn from.
        seeds: one per batch, for its dropout and for which utterances go to the new speaker; none: use torch's global generator.
    """
    total = sum(len(batch) for batch in batches)
    logs: dict[str, float] = {}
    with pinned(backbone, training=True):
        for number, batch in enumerate(batches):
            if seeds:
                torch.manual_seed(seeds[number])
            hidden = torch.rand(len(batch), device=batch.speakers.device) < NEW_SPEAKER_SHARE
            losses = backbone.loss(replace(batch, speakers=batch.speakers.masked_fill(hidden, NEW_SPEAKER)))
            share = len(batch) / total
            (losses["loss"] * share).backward()  # type: ignore[no-untyped-call]
            for name, value in losses.items():
                logs[name] = logs.get(name, 0.0) + share * float(value.detach())
    return logs


def both_halves(tasks: Sequence[Task]) -> list[Batch]:
    """Support and query batches of all tasks, for algorithms that treat them alike."""
    return [batch for task in tasks for batch in (task.support, task.query)]


def half_seeds(tasks: Sequence[Task]) -> list[int]:
    """A seed for each of ``both_halves``, which depends on its task alone."""
    return [task.seed + half for task in tasks for half in (0, 1)]


def add_gradients(module: nn.Module, grads: Mapping[str, Tensor]) -> None:
    """Add to the ``.grad`` of the module's named parameters."""
    parameters = dict(module.named_parameters())
    for name, grad in grads.items():
        parameter = parameters[name]
        parameter.grad = grad.detach().clone() if parameter.grad is None else parameter.grad + grad.detach()
