"""What adaptation does not move is computed once a batch, and no number moves by that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from benchmark.algorithm import Algorithm
from benchmark.batch import Batch
from benchmark.learning.reuse import Reuse
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.running.evaluation import Evaluator
from benchmark.running.flops import counted
from benchmark.task import Task

TASK = Task(tiny_batch(0), tiny_batch(0, 2, 1))


def anil(backbone: str, group: str, **options: Any) -> Algorithm:
    torch.manual_seed(0)
    plugin = registry.load("algorithm", "anil")
    made: Algorithm = plugin(tiny_backbone(registry.load("backbone", backbone)), plugin.Config(groups=(group,), inner_lr=0.1, **options))
    return made


def learned(algorithm: Algorithm) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The meta-gradient, and what 3 steps of adaptation give, in 64 bits."""
    algorithm.double()
    task = Task(double(TASK.support), double(TASK.query))
    algorithm.meta_step([task])
    ((_, model),) = algorithm.adapt(task.support, [3])
    gradients = {name: p.grad for name, p in algorithm.named_parameters() if p.grad is not None}
    return gradients, dict(model.stored)  # type: ignore[attr-defined]


def double(batch: Batch) -> Batch:
    values = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return replace(batch, **{name: value.double() for name, value in values.items() if value is not None and value.is_floating_point()})


@contextmanager
def computed_every_time(self: Reuse, adapted: Any) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("backbone", "group", "first_order"),
    [
        ("fastspeech2", "output", False), ("fastspeech2", "output", True), ("fastspeech2", "decoder", False),
        ("fastspeech2", "embedding", True), ("tacotron2", "output", True), ("deep_voice3", "output", False), ("crnn_ctc", "output", False),
        ("crnn_ctc", "recurrent", True), ("crnn_ctc", "all", False),
    ],
)  # fmt: skip
def test_gradients_and_adapted_values_are_those_without_it(
    backbone: str, group: str, first_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients, adapted = learned(anil(backbone, group, first_order=first_order))
    monkeypatch.setattr(Reuse, "__call__", computed_every_time)
    expected, expected_adapted = learned(anil(backbone, group, first_order=first_order))
    torch.testing.assert_close(gradients, expected, rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(adapted, expected_adapted, rtol=0, atol=0)


@pytest.mark.parametrize("options", [{"groups": ("output",)}, {"groups": ("decoder", "output"), "unfreeze_every": 2}, {"lora_rank": 2}])
def test_fine_tuning_of_a_part_moves_as_without_it(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def tuned() -> dict[str, Tensor]:
        plugin = registry.load("algorithm", "finetune")
        ((_, model),) = plugin(tiny_backbone(), plugin.Config(**options)).adapt(TASK.support, [4])
        return dict(model.stored)

    found = tuned()
    monkeypatch.setattr(Reuse, "__call__", computed_every_time)
    torch.testing.assert_close(found, tuned(), rtol=0, atol=0)


def test_three_steps_of_an_output_layer_cost_two_passes() -> None:
    """Of the body: the support set's and the query's, forward and backward. Without reuse, its forward pass runs four times."""
    support, query = TASK.support, TASK.query
    plugin = registry.load("backbone", "fastspeech2")
    body = tiny_backbone(plugin, plugin.Config())
    with counted() as units:
        body.loss(support)["loss"].backward()
        body.loss(query)["loss"].backward()

    def spent() -> float:
        algorithm = registry.load("algorithm", "anil")(tiny_backbone(plugin, plugin.Config()))
        with counted() as count:
            algorithm.meta_step([TASK])
        return 2 * count.total / units.total

    assert spent() < 2.05
    with patch.object(Reuse, "__call__", computed_every_time):
        assert spent() > 3.9


def test_operations_of_adaptation_are_those_of_its_steps() -> None:
    """The first step runs the body, later ones don't."""
    algorithm = registry.load("algorithm", "anil")(tiny_backbone())
    flops = Evaluator._flops(SimpleNamespace(algorithm=algorithm, _adapt=algorithm.adapt), TASK.support)  # type: ignore[arg-type]
    for steps in (0, 1, 2, 5):
        with counted() as count:
            list(algorithm.adapt(TASK.support, [steps]))
        assert flops(steps) == count.total
    assert flops(1) > 1.3 * (flops(5) - flops(4)) > 0


class Body(nn.Module):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.as_tensor(self.layer(x))


class Model(nn.Module):
    """A body and a head; the body's input may depend on an adapted offset or be drawn, and the model may write into its output."""

    def __init__(self, writes: bool = False, offset: bool = False, draws: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.writes, self.draws = Body(), nn.Linear(2, 1), writes, draws
        self.offset = nn.Parameter(torch.zeros(2)) if offset else None

    def forward(self, x: Tensor) -> Tensor:
        x = torch.rand_like(x) if self.draws else x.clone()
        hidden = self.body(x if self.offset is None else x + self.offset)
        return torch.as_tensor(self.head(hidden.mul_(2) if self.writes else hidden))


@pytest.mark.parametrize(
    ("options", "adapted", "calls"),
    [
        ({}, ["head.weight", "head.bias"], 1),
        ({"writes": True}, ["head.weight"], 3),
        ({"offset": True}, ["offset"], 3),
        ({}, ["body.layer.weight"], 3),
        ({"draws": True}, ["head.weight"], 3),
    ],
)
def test_only_what_adapted_parameters_do_not_reach_is_kept(options: dict[str, bool], adapted: list[str], calls: int) -> None:
    model, x = Model(**options), torch.ones(1, 2)
    reuse = Reuse(model, adapted)
    parameters = dict(model.named_parameters())
    for step in range(3):
        torch.manual_seed(step)
        expected = model(x).detach()
        model.body.calls -= 1
        torch.manual_seed(step)
        with reuse(parameters[name] for name in adapted):
            found = model(x)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        with torch.no_grad():
            parameters[adapted[0]].add_(1)
    assert model.body.calls == calls
    assert "forward" not in vars(model.body) and "forward" not in vars(model.head)
