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


def test_an_error_of_the_plugin_says_in_which_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(BAD.replace("self.backbone.new_speaker += 1", "self.backbone.new_speaker.shape.foo()"))
    line = 1 + path.read_text().splitlines().index("            self.backbone.new_speaker.shape.foo()")
    reason = problems(registry.from_file(path))["adapt is pure and repeatable"]
    assert reason == f"'torch.Size' object has no attribute 'foo' (bad.py, line {line}, in adapt)"


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


FORGETFUL = '''
"""Forgetful."""
from benchmark.algorithms.finetune import FineTune
from benchmark.parameters import ParameterGroup

class Forgetful(FineTune):
    """Gives the optimiser all its parameters but one."""
    needs = ("mels", "transcripts", "durations")
    trains = True
    def meta_step(self, tasks):
        loss = sum(self.backbone.loss(task.query)["loss"] for task in tasks) / len(tasks)
        loss.backward()
        return {{"loss": float(loss.detach())}}
    def parameter_groups(self):
        return [ParameterGroup([each for name, each in self.named_parameters() if name != "backbone.new_speaker"{also}])]

PLUGIN = Forgetful
'''


def verdicts(path: Path, code: str, *plugins: str) -> dict[str, str | None]:
    path.write_text(code)
    info = registry.from_file(path)
    found = list(conformance.check(info, registry.load_info(info), plugins=[str(path), *plugins]))
    every = {each.requirement: each.problem for each in found}
    return every | {each.requirement.partition(" (on ")[0]: each.problem for each in sorted(found, key=lambda each: bool(each.problem))}


def test_a_parameter_that_no_optimiser_has_is_caught(tmp_path: Path) -> None:
    groups = "parameter_groups holds each parameter once"
    found = verdicts(tmp_path / "forgetful.py", FORGETFUL.format(also=""))
    assert found[groups] == "parameter_groups leaves out backbone.new_speaker, which would never learn"
    assert verdicts(tmp_path / "whole.py", FORGETFUL.format(also=" or True"))[groups] is None


def test_an_algorithm_is_tried_on_backbones_of_plugin_files(tmp_path: Path) -> None:
    examples = Path(__file__).resolve().parents[1] / "examples"
    recogniser = BAD.replace("trains = False", "trains = False\n    needs = ('mels', 'transcripts', 'recognition')")
    alone = verdicts(tmp_path / "bad.py", recogniser)
    assert alone["names only known needs"] is None and not any("(on recogniser)" in each for each in alone)
    assert any("(on recogniser)" in each for each in verdicts(tmp_path / "bad.py", recogniser, str(examples / "recogniser.py")))


def test_a_vocoder_may_be_as_long_as_metrics_of_aligned_speech_accept(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom benchmark.vocoder import Vocoder\n\nclass V(Vocoder):\n    def decode(self, mel):\n"
        "        return mel.mean() + torch.zeros(max(0, (len(mel) - 1) * 256 + {}))\n\nPLUGIN = V\n"
    )
    for more, fits in ((0, True), (256, True), (512, True), (513, False), (-256, True), (-257, False)):
        path = tmp_path / f"v{more}.py".replace("-", "_")
        assert (verdicts(path, code.format(more))["decodes mels to waveforms, repeatably"] is None) == fits, more


def test_a_vocoder_that_learners_adapt_has_second_derivatives(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom benchmark.vocoder import Vocoder\n\nclass V(Vocoder):\n    def __init__(self, config=None):\n"
        "        super().__init__(config)\n        self.gain = torch.nn.Parameter(torch.ones(()))\n\n    def decode(self, mel):\n"
        "        return self.gain * torch.zeros((len(mel) - 1) * 256)\n\n    def loss(self, segments):\n"
        "        return {{'loss': {}}}\n\nPLUGIN = V\n"
    )
    twice = "its loss trains its adaptable parameters, and can be differentiated twice"
    error = "(self.gain * segments.audio.mean() - 1)"
    for name, loss, fits in (("square", f"{error}.square()", True), ("detached", f"{error} * {error}.detach()", False)):
        assert (verdicts(tmp_path / f"{name}.py", code.format(loss))[twice] is None) == fits


def test_a_misspelt_group_is_named_with_the_groups_there_are(tmp_path: Path) -> None:
    path = tmp_path / "misspelt.py"
    path.write_text(
        "from benchmark.algorithms.finetune import FineTune\n\nclass Misspelt(FineTune):\n    def __init__(self, backbone, config=None):\n"
        "        super().__init__(backbone, config or FineTune.Config(groups=('decodr',)))\n\nPLUGIN = Misspelt\n"
    )
    problem = str(problems(registry.from_file(path))["fits a backbone"])
    assert problem.startswith("no backbone has what it needs (on crnn_ctc: ") and "'decodr'" in problem and "decoder" in problem


def test_what_cannot_work_at_all_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "silent.py"
    path.write_text(BAD.replace("    trains = False\n", "    def meta_step(self, tasks):\n        return None\n"))
    info = registry.from_file(path)
    found = problems(info)
    assert list(found) == ["two training steps with finite gradients", "all the rest"]
    assert found["two training steps with finite gradients"] == "meta_step must return a dict with 'loss', not None"
