"""Meta-learned adapters: gradients against finite differences of the inner loop, closed forms, and what is stored for a speaker."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from benchmark.backbone import Backbone
from benchmark.batch import NEW_SPEAKER
from benchmark.learning import lora
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.task import Task
from tests.meta_gradients import in_double
from tests.toy_backbones import Layered

DEEP = 5
"""A task's seed with which two of two inner steps are taken."""


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Algebra in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(backbone: Backbone, **options: Any) -> Any:
    """The algorithm, its adapters as after some training: at their first start B is zero, where Adam's step of A has a jump."""
    plugin = registry.load("algorithm", "meta_lora")
    algorithm = plugin(backbone, plugin.Config(inner_steps=2, lora_rank=4, **options))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for adapter in algorithm.adapters.values():
            adapter.copy_(0.1 * torch.randn(adapter.shape, generator=generator))
        algorithm.log_rates.copy_(0.3 * torch.randn(algorithm.log_rates.shape, generator=generator))
    return algorithm


def episode() -> Task:
    return Task(in_double(tiny_batch(NEW_SPEAKER, 2, 1)), in_double(tiny_batch(NEW_SPEAKER, 2, 2)), seed=DEEP)


def found(algorithm: Any, task: Task) -> tuple[dict[str, Tensor], float]:
    algorithm.zero_grad()
    loss = algorithm.meta_step([task])["loss"]
    return {name: parameter.grad.clone() for name, parameter in algorithm.named_parameters() if parameter.grad is not None}, loss


def directions(parameters: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    chosen = {name: value for name, value in parameters.items() if name.startswith(part)}
    # No gradient goes through the mean speaker into the table: that is the backbone's choice.
    return {name: torch.randn(value.shape, generator=generator) for name, value in chosen.items() if "speaker_table" not in name}


@pytest.mark.parametrize("part", ["backbone.", "adapters.", "log_rates"])
def test_second_order_equals_finite_differences_of_its_own_inner_loop(part: str) -> None:
    algorithm, task = make(tiny_backbone().double(), first_order=False, inner_lr=0.05, adapter_lr=0.05, speaker_lr=0.05), episode()
    assert algorithm.depth(task) == 2
    gradient, _ = found(algorithm, task)
    start, along, epsilon = copy.deepcopy(algorithm.state_dict()), directions(gradient, part), 1e-8
    losses = []
    for size in (epsilon, -epsilon):
        algorithm.load_state_dict({name: value + size * along.get(name, 0) for name, value in start.items()})
        losses.append(found(algorithm, task)[1])
    slope = sum(float((gradient[name] * direction).sum()) for name, direction in along.items())
    assert abs(slope) > 1e-6 and slope == pytest.approx((losses[0] - losses[1]) / (2 * epsilon), rel=1e-4)


@pytest.mark.parametrize("part", ["backbone.", "adapters.", "log_rates"])
def test_first_order_equals_finite_differences_with_the_inner_gradients_held(part: str) -> None:
    """By hand: two steps of Adam on A, B and vectors, whose gradients are constants of the outer one."""
    backbone, task = tiny_backbone().double().eval(), episode()
    algorithm = make(backbone, inner_lr=0.01, adapter_lr=0.03, speaker_lr=0.02)
    gradient, loss = found(algorithm, task)
    values = {name: parameter.detach().clone() for name, parameter in algorithm.named_parameters()}
    names = algorithm.names

    def weights(current: dict[str, Tensor], inner: dict[str, Tensor]) -> dict[str, Tensor]:
        merged = {name: value for name, value in inner.items() if ".lora_" not in name}
        for name in names:
            if name.endswith(".lora_A"):
                weight = name.removesuffix(".lora_A")
                base = current[f"backbone.{weight}"]
                merged[weight] = base + 4 / len(inner[name]) * (inner[f"{weight}.lora_B"] @ inner[name]).view(base.shape)
        own = {name.removeprefix("backbone."): value for name, value in current.items() if name.startswith("backbone.")}
        return {**own, **merged}

    def query(current: dict[str, Tensor], held: list[dict[str, Tensor]]) -> tuple[float, list[dict[str, Tensor]]]:
        """The query loss, with the inner gradients ``held``, or computed and returned if none are."""
        inner = {name: current[f"adapters.{name.replace('.', '/')}" if ".lora_" in name else f"backbone.{name}"] for name in names}
        first = {name: torch.zeros_like(value) for name, value in inner.items()}
        second, seen = dict(first), []
        for step in range(2):
            if held:
                gradients = held[step]
            else:
                leaves = {name: value.clone().requires_grad_() for name, value in inner.items()}
                support = functional_call(backbone, weights(current, leaves), ("loss", task.support))["loss"]
                gradients = dict(zip(leaves, torch.autograd.grad(support, list(leaves.values()), materialize_grads=True), strict=True))
            seen.append(gradients)
            for column, name in enumerate(names):
                rate = {"new_speaker": 0.02}.get(name, 0.03 if ".lora_" in name else 0.01) * current["log_rates"][step, column].exp()
                first[name] = 0.9 * first[name] + 0.1 * gradients[name]
                second[name] = 0.999 * second[name] + 0.001 * gradients[name] ** 2
                root = (second[name] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                inner = {**inner, name: inner[name] - rate * first[name] / (1 - 0.9 ** (step + 1)) / root}
        with torch.no_grad():
            return float(functional_call(backbone, weights(current, inner), ("loss", task.query))["loss"]), seen

    value, held = query(values, [])
    assert value == pytest.approx(loss, rel=1e-9)
    along, epsilon = directions(gradient, part), 1e-7
    ahead, behind = (
        query({name: each + size * along.get(name, 0) for name, each in values.items()}, held)[0] for size in (epsilon, -epsilon)
    )
    slope = sum(float((gradient[name] * direction).sum()) for name, direction in along.items())
    assert abs(slope) > 1e-6 and slope == pytest.approx((ahead - behind) / (2 * epsilon), rel=1e-4)


def test_untrained_adapters_change_nothing_and_what_is_stored_is_small() -> None:
    plugin, backbone = registry.load("algorithm", "meta_lora"), tiny_backbone().double()
    algorithm = plugin(backbone, plugin.Config(lora_rank=1))
    (_, before), (_, after) = algorithm.adapt(in_double(tiny_batch(NEW_SPEAKER)), [0, 3])
    assert all(torch.equal(value, backbone.get_parameter(name)) for name, value in before.replaced().items())
    assert sum(value.numel() for value in after.stored.values()) == sum(algorithm.adapted_parameters().values())
    whole = sum(backbone.get_parameter(name).numel() for name in backbone.adaptable_groups()["all"])
    assert sum(algorithm.adapted_parameters().values()) < 0.6 * whole
    changes = {name: value - backbone.get_parameter(name) for name, value in after.replaced().items()}
    matrices = [change.flatten(1) for change in changes.values() if change.dim() > 1]
    assert max(int(torch.linalg.matrix_rank(matrix, atol=1e-9)) for matrix in matrices) == 1
    assert sum(bool(matrix.any()) for matrix in matrices) > 0.8 * len(matrices)


def test_an_adapter_of_a_convolution_acts_on_its_taps() -> None:
    plugin, layer = registry.load("algorithm", "meta_lora"), torch.nn.Conv1d(2, 3, 3, padding=1)
    backbone = Layered(layer, 4)
    algorithm = plugin(backbone, plugin.Config(lora_rank=2))
    (name,) = (name for name in algorithm.ranks if backbone.get_parameter(name).dim() == 3)
    down, up = torch.randn(2, 6), torch.randn(3, 2)
    merged = lora.merged(lora.frozen(backbone), {name + lora.A: down, name + lora.B: up}, alpha=2.0)[name]
    for out in range(3):
        for channel in range(2):
            for tap in range(3):
                change = sum(float(up[out, k] * down[k, 3 * channel + tap]) for k in range(2))
                assert float(merged[out, channel, tap].detach()) == pytest.approx(float(layer.weight[out, channel, tap].detach()) + change)
