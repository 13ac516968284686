"""What a voice can't say is counted with its reason, and scoring leaves the adaptation alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from benchmark.backbone import SynthesisBackbone
from benchmark.cli import main
from benchmark.errors import PredictionFailed
from benchmark.plugins.conformance.tiny import tiny_backbone
from benchmark.plumbing.files import digest_of

RUN = ["run", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "mcd,stoi"]
RUNAWAY = '''
"""Free-running speech fails from the first step on; each step draws a random number, which is kept."""
from dataclasses import dataclass
import torch
from benchmark.algorithm import AdaptedModel, Algorithm
from benchmark.errors import PredictionFailed


@dataclass(frozen=True)
class Runaway(AdaptedModel):
    drawn: float = 0.0
    step: int = 0

    def mel(self, tokens, durations=None):
        if self.step and durations is None:
            raise PredictionFailed(f"it drew {self.drawn}")
        torch.rand(7)
        return super().mel(tokens, durations)


class Plugin(Algorithm):
    """Runs away."""
    trains = False

    def meta_step(self, tasks):
        raise NotImplementedError

    def adapt(self, support, steps):
        for step in range(max(steps) + 1):
            voice = Runaway(self.backbone, drawn=float(torch.rand(())), step=step)
            if step in steps:
                yield step, voice

    def adapted_parameters(self):
        return {}


PLUGIN = Plugin
'''


def test_durations_out_of_all_bounds_are_refused_before_memory_is_asked_for() -> None:
    backbone = tiny_backbone().eval()
    assert isinstance(backbone, SynthesisBackbone)
    tokens = torch.tensor([5, 6, 7])
    with torch.no_grad():
        assert len(backbone.synthesize(tokens)) < 600
        for value in (12.0, float("inf"), float("nan")):
            for name, parameter in backbone.named_parameters():
                if name.startswith("variance.duration.predictor") and parameter.shape == (1,):
                    parameter.fill_(value)
            with pytest.raises(PredictionFailed, match="out of all bounds"):
                backbone.synthesize(tokens)


@pytest.mark.usefixtures("in_this_process")
def test_a_sentence_that_fails_is_counted_and_scoring_does_not_move_the_adaptation(cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "runaway.py"
    plugin.write_text(RUNAWAY)
    command = [*RUN, "--plugin", str(plugin), "--algo", "runaway", "--cache", str(cache), "--output", str(tmp_path), "--steps", "1"]
    assert main(command) == 0
    (folder,) = (path.parent for path in tmp_path.glob("*/result.json"))
    before, after = (point["metrics"] for point in json.loads((folder / "result.json").read_text())["curve"])
    assert before["mcd"]["n"] > 0 == before["mcd"]["n_failed"]
    assert after["mcd"]["n"] == 0 < after["mcd"]["n_failed"]
    assert after["stoi"]["n"] > 0 == after["stoi"]["n_failed"]
    with (folder / "episodes.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["steps"] == "1"]
    for row in rows:
        # The step's draw is the second after the job's seed, as though nothing had been said and scored between them.
        torch.manual_seed(int(digest_of([0, row["speaker"], int(row["episode"]), int(row["shots"])], 8), 16))
        drawn = torch.rand(2)[1]
        assert json.loads(row["failures"]) == {"mcd": f"it drew {float(drawn)}"}
    assert rows
