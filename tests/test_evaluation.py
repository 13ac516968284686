"""What a voice can't say is counted with its reason, and scoring leaves the adaptation alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from benchmark.errors import SpeechFailed
from benchmark.tiny import tiny_backbone

RUN = ["run", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "mcd,stoi"]
RUNAWAY = '''
"""Free-running speech fails from the first step on; each step draws a random number, which is kept."""
from dataclasses import dataclass
import torch
from benchmark.algorithm import AdaptedVoice, Algorithm
from benchmark.errors import SpeechFailed
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Runaway(AdaptedVoice):
    drawn: float = 0.0
    step: int = 0

    def speak(self, sentence, vocoder):
        if self.step and sentence.durations is None:
            raise SpeechFailed(f"it drew {self.drawn}")
        torch.rand(7)
        return super().speak(sentence, vocoder)


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
    tokens = torch.tensor([5, 6, 7])
    with torch.no_grad():
        assert len(backbone.synthesize(tokens)) < 600
        for value in (12.0, float("inf"), float("nan")):
            for name, parameter in backbone.named_parameters():
                if name.startswith("variance.duration.predictor") and parameter.shape == (1,):
                    parameter.fill_(value)
            with pytest.raises(SpeechFailed, match="out of all bounds"):
                backbone.synthesize(tokens)


def test_a_sentence_that_fails_is_counted_and_scoring_does_not_move_the_adaptation(cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "runaway.py"
    plugin.write_text(RUNAWAY)
    drawn = []
    for steps in ("0,1", "1"):
        output = tmp_path / steps
        command = [*RUN, "--plugin", str(plugin), "--algo", "runaway", "--cache", str(cache), "--output", str(output), "--steps", steps]
        assert main(command) == 0
        (folder,) = (path.parent for path in output.glob("*/result.json"))
        after = json.loads((folder / "result.json").read_text())["curve"][-1]["metrics"]
        assert after["mcd"]["n"] == 0 < after["mcd"]["n_failed"]
        assert after["stoi"]["n"] > 0 == after["stoi"]["n_failed"]
        with (folder / "episodes.csv").open(newline="") as stream:
            drawn.append([row["failures"] for row in csv.DictReader(stream) if row["steps"] == "1"])
    assert "it drew 0." in drawn[0][0] and drawn[0] == drawn[1]
