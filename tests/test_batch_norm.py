"""Batch norm in a backbone: its statistics follow conventional training and are frozen in every adaptation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.algorithm import AdaptedModel, Algorithm
from benchmark.learning.inner_loop import joint_step
from benchmark.plugins import conformance, registry
from benchmark.task import Task
from tests.toy_backbones import Layered, points

WIDTH = 4
ALGORITHMS: dict[str, dict[str, Any]] = {
    "maml": {}, "maml_plus_plus": {}, "maml_adam": {}, "meta_sgd": {}, "imaml": {}, "anil": {"groups": ("all",)}, "reptile": {},
    "meta_lora": {"lora_rank": 1}, "finetune": {},
}  # fmt: skip


class Normed(nn.Module):
    """Linear layer, batch norm over channels, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, 3) to (B, N, WIDTH)."""
        return torch.tanh(self.norm(self.linear(x).transpose(1, 2)).transpose(1, 2))


def make(algorithm: str, **options: Any) -> tuple[Algorithm, Task]:
    """An algorithm on a backbone that has seen some batches, and a task whose points lie elsewhere."""
    torch.manual_seed(0)
    backbone = Layered(Normed(), WIDTH)
    plugin = registry.load("algorithm", algorithm)
    made: Algorithm = plugin(backbone, plugin.Config(**options))
    joint_step(backbone, [points(torch.randn(4, 5, 3), torch.randn(4, 5))])
    support, query = (points(3 + 2 * torch.randn(3, 5, 3), torch.randn(3, 5)) for _ in range(2))
    return made, Task(support, query)


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_conventional_training_moves_the_statistics() -> None:
    made, task = make("finetune")
    before = buffers(made.backbone)
    joint_step(made.backbone, [task.support])
    assert not same(before, buffers(made.backbone))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_adaptation_is_pure(algorithm: str) -> None:
    made, task = make(algorithm, **ALGORITHMS[algorithm])
    for mode in (True, False):
        made.train(mode)
        before = buffers(made.backbone)
        models = dict(made.adapt(task.support, [0, 3]))
        assert same(before, buffers(made.backbone))
        for model in models.values():
            assert isinstance(model, AdaptedModel) and not any("running" in name for name in model.stored)
            model.run("loss", task.query)
        assert same(before, buffers(made.backbone))


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "finetune"])
def test_inner_and_outer_loops_leave_the_statistics(algorithm: str) -> None:
    made, task = make(algorithm, **ALGORITHMS[algorithm])
    before = buffers(made.backbone)
    made.train().meta_step([task])
    assert same(before, buffers(made.backbone))


def test_the_inner_loop_normalises_with_the_frozen_statistics() -> None:
    made, task = make("maml", inner_steps=1, inner_lr=0.1)
    backbone = made.backbone
    parameters = {name: p.detach().clone().requires_grad_() for name, p in backbone.named_parameters()}
    mean, variance = (backbone.get_buffer(f"layer.norm.running_{each}") for each in ("mean", "var"))
    hidden = F.linear(task.support.mels, parameters["layer.linear.weight"], parameters["layer.linear.bias"])
    normed = (hidden - mean) / (variance + 1e-5).sqrt() * parameters["layer.norm.weight"] + parameters["layer.norm.bias"]
    answer = F.linear(torch.tanh(normed), parameters["head.weight"], parameters["head.bias"])[..., 0]
    (answer - task.support.energy).square().mean().backward()
    ((_, model),) = made.adapt(task.support, [1])
    assert isinstance(model, AdaptedModel)
    for name, value in parameters.items():
        assert value.grad is not None
        torch.testing.assert_close(model.stored[name], value.detach() - 0.1 * value.grad)


def test_in_adaptation_an_utterance_counts_alike_whatever_is_beside_it() -> None:
    made, task = make("maml", inner_steps=1)
    alone = [dict(made.adapt(task.support.rows(slice(each, each + 1)), [1]))[1].stored for each in range(3)]
    together = dict(made.adapt(task.support, [1]))[1].stored
    for name, value in together.items():
        torch.testing.assert_close(value, torch.stack([each[name] for each in alone]).mean(0))


BATCHED = '''
"""Batched."""
from torch import nn
from benchmark.backbones.fastspeech2 import FastSpeech2

class Batched(FastSpeech2):
    """Normalises with whatever batch it is given."""
    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.normal = nn.BatchNorm1d(spec.mel.n_mels, TRACK)
    def _decode(self, *arguments):
        return self.normal(super()._decode(*arguments).transpose(1, 2)).transpose(1, 2)

PLUGIN = Batched
'''


@pytest.mark.parametrize("tracks", [True, False])
def test_a_layer_without_running_statistics_is_refused(tracks: bool, tmp_path: Path) -> None:
    path = tmp_path / f"batched_{tracks}.py"
    path.write_text(BATCHED.replace("TRACK", f"track_running_stats={tracks}"))
    info = registry.from_file(path)
    problems = {each.requirement: each.problem for each in conformance.check(info, registry.load_info(info)) if each.problem}
    found = problems.pop("statistics are frozen in evaluation mode", None)
    assert found == (None if tracks else "normal has no running statistics, so it would take those of whatever batch adapts or is scored")
    assert not problems or not tracks


def test_what_changes_a_buffer_in_evaluation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "restless.py"
    text = BATCHED.replace("self.normal(super()._decode(*arguments).transpose(1, 2)).transpose(1, 2)", "super()._decode(*arguments)")
    counts = text.replace("        return super()", "        self.normal.running_mean += 1\n        return super()")
    path.write_text(counts.replace("TRACK", ""))
    info = registry.from_file(path)
    problems = {each.requirement: each.problem for each in conformance.check(info, registry.load_info(info)) if each.problem}
    assert problems["statistics are frozen in evaluation mode"] == "loss changes normal.running_mean in evaluation mode"
