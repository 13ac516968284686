"""What a voice can't say is counted with its reason, and scoring leaves the adaptation alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.backbone import SynthesisBackbone
from benchmark.cli import main
from benchmark.errors import PredictionFailed
from benchmark.metric import Column, Metric, Sample
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone
from benchmark.plumbing.files import digest_of
from benchmark.problems import PROBLEMS
from benchmark.running.episodes import make_manifest
from benchmark.running.evaluation import Evaluator
from benchmark.vocoder import Vocoder
from tests.metric_helpers import write_corpus

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


class Counted(Metric):
    """The mean of the speech, and how often it was asked."""

    version, needs = "1", ("speech",)
    columns = {"mean": Column(unit="", meaning="mean", higher_is_better=True)}  # noqa: RUF012
    asked = 0

    def score(self, sample: Sample) -> dict[str, float]:
        self.asked += 1
        return {"mean": float(np.mean(sample.audio))}


class Noisy(Vocoder):
    """Draws at random, as some vocoders do."""

    def decode(self, mel: torch.Tensor) -> torch.Tensor:
        return mel.mean(1).repeat_interleave(20) + torch.randn(len(mel) * 20)


@pytest.mark.parametrize("vocoder", [Noisy, registry.load("vocoder", "griffin_lim")])
def test_a_start_that_all_numbers_of_shots_share_is_spoken_once_with_the_numbers_of_each(vocoder: type[Vocoder], tmp_path: Path) -> None:
    """Also where a killed run left off in the middle of an episode; and where nothing is drawn, with the numbers of undeclared ones."""
    corpus = write_corpus(tmp_path / "corpus", {"train": ["a"], "test": ["t"]}, 20)
    episode = make_manifest(corpus).episodes["test"][0]
    backbone = tiny_backbone()
    plugin = registry.load("algorithm", "finetune")

    def done(same_start: bool, jobs: slice, name: str) -> tuple[list[Any], int]:
        torch.manual_seed(0)
        algorithm, metric = plugin(backbone).eval(), Counted()
        assert algorithm.same_start and not plugin(backbone, plugin.Config(normalisation="adapted")).same_start
        algorithm.same_start = same_start
        evaluator = Evaluator(algorithm, PROBLEMS["synthesis"], vocoder(), (metric,), corpus, (0, 1), 2, 0, tmp_path / name)
        some = evaluator.jobs([episode], (1, 2, 5))[jobs]
        scores = [each for group in evaluator.together(some) for each in evaluator.run_together(group)]
        for each in scores:
            assert {(cost.shots, cost.steps) for cost in each.costs} == {(each.rows[0].shots, step) for step in (0, 1)}
        return [row for each in scores for row in each.rows], metric.asked

    once, asked = done(True, slice(None), "once")
    assert asked == 2 * (1 + 3) and [(row.shots, row.steps) for row in once] == [(n, s) for n in (1, 2, 5) for s in (0, 0, 1, 1)]
    resumed, _ = done(True, slice(1, None), "resumed")
    assert resumed == once[4:]
    each_time, asked = done(False, slice(None), "each time")
    assert asked == 2 * 2 * 3 and each_time[:4] == once[:4]
    assert (each_time == once) == (vocoder is not Noisy)
    heard = {path.name: path.read_bytes() for path in (tmp_path / "once").glob("*steps.wav")}
    assert len(heard) == 6 and len({audio for name, audio in heard.items() if "0000steps" in name}) == 1


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
