"""Every registered plugin fits, and the suite notices one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.plugins import conformance, registry

ALL = [info for kind in registry.KINDS for info in registry.find(kind).values()]


@pytest.mark.parametrize("info", ALL, ids=lambda info: f"{info.kind}-{info.name}")
def test_built_in_plugin_fits(info: registry.PluginInfo) -> None:
    problems = [o for o in conformance.check(info, registry.load_info(info)) if o.problem]
    assert not problems


BAD = '''
"""Bad."""
import torch
from benchmark.algorithm import AdaptedModel, Algorithm

class Bad(Algorithm):
    """Changes itself while adapting."""
    trains = False
    def adapt(self, support, steps):
        with torch.no_grad():
            self.backbone.new_speaker += 1
        for step in steps:
            yield step, AdaptedModel(self.backbone)
    def adapted_parameters(self):
        return {"x": 3}

PLUGIN = Bad
'''


def problems(info: registry.PluginInfo) -> dict[str, str]:
    """What is wrong, by requirement, whichever backbone shows it."""
    found = conformance.check(info, registry.load_info(info))
    return {each.requirement.partition(" (on ")[0]: each.problem for each in found if each.problem}


def test_bad_plugin_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(BAD)
    info = registry.from_file(path)
    wrong = set(problems(info))
    assert {
        "adapt is pure and repeatable", "stored parameters are counted correctly", "a loss that is not finite is a failed adaptation"
    } <= wrong  # fmt: skip


CARELESS = '''
"""Careless."""
from functools import partial
import torch
from benchmark.algorithm import AdaptedModel, Algorithm
from benchmark.learning.inner_loop import sizes

class Careless(Algorithm):
    """Learns from padding, adds tasks up, and stores a mean over padding."""
    needs = ("mels", "transcripts", "speaker_vector")
    def meta_step(self, tasks):
        for task in tasks:
            loss = self.backbone.loss(task.query)["loss"] + (task.query.mels.mean() * self.backbone.new_speaker).sum()
            loss.backward()
        return {"loss": float(loss.detach())}
    def adapt(self, support, steps):
        for step in steps:
            yield step, AdaptedModel(self.backbone, {"new_speaker": self.backbone.new_speaker.detach() + support.mels.mean()})
    def adapted_parameters(self):
        return sizes(self.backbone, ["new_speaker"])

PLUGIN = Careless
'''


def test_careless_batching_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "careless.py"
    path.write_text(CARELESS)
    info = registry.from_file(path)
    found = problems(info)
    assert set(found) == {
        "padding changes nothing", "tasks of unequal length give the mean of their gradients",
        "a loss that is not finite is a failed adaptation",
    }  # fmt: skip
    assert found["padding changes nothing"] == "padding a task's batches to a greater length changes the training gradient"


def test_what_cannot_work_at_all_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "silent.py"
    path.write_text(BAD.replace("    trains = False\n", "    def meta_step(self, tasks):\n        return None\n"))
    info = registry.from_file(path)
    found = problems(info)
    assert list(found) == ["two training steps with finite gradients", "all the rest"]
    assert found["two training steps with finite gradients"] == "meta_step must return a dict with 'loss', not None"
