"""``vocoders``: copy synthesis with each, one row each, with what each vocoder cost; runs and trained weights are reused."""

from __future__ import annotations

import csv
import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch

from benchmark.cli import main
from benchmark.plugins import fit, registry
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import write_sealed
from benchmark.results.vocoder_table import rows_of, to_text
from benchmark.running.preparation import open_corpus
from benchmark.running.vocoding import VocoderCost, prepared
from benchmark.settings.schema import VocoderSettings
from tests.cli_helpers import refused, scoring_here

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "trained_vocoder.py"
TINY = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1"]
SILENT = '''
"""Says nothing."""
import torch
from benchmark.vocoder import Vocoder

class Silent(Vocoder):
    """Silence, or a refusal to be made."""
    def __init__(self, config=None):
        super().__init__(config)
        if BROKEN:
            raise ValueError("it is broken")
    def decode(self, mel):
        return torch.zeros((len(mel) - 1) * self.mel.hop_length)

PLUGIN = Silent
'''

pytestmark = pytest.mark.usefixtures("in_this_process")


def plugin(folder: Path, broken: bool = False) -> list[str]:
    path = folder / "silent.py"
    path.write_text(SILENT.replace("BROKEN", str(broken)))
    return ["--plugin", str(path), "--plugin", str(EXAMPLE)]


class Comparison(NamedTuple):
    """A finished comparison."""

    command: list[str]
    output: Path
    printed: str


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as stream:
        return {row["vocoder"]: row for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def compared(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The command, its output folder and what it printed."""
    folder = tmp_path_factory.mktemp("compared")
    words = ["--vocoders", "griffin_lim,trained_vocoder,silent", "--metrics", "stoi,speaker_similarity", *plugin(folder)]
    words += ["--vocoder_training.steps", "4", "--cache", str(cache), "--output", str(folder / "runs")]
    printed = io.StringIO()
    with scoring_here(), redirect_stdout(printed):
        assert main(["vocoders", *TINY, *words]) == 0, printed.getvalue()
    return Comparison(["vocoders", *TINY, *words], folder / "runs", printed.getvalue())


@pytest.fixture
def results(compared: Comparison) -> dict[str, Path]:
    """The run folders by vocoder."""
    return {json.loads(path.read_text())["vocoder"]: path.parent for path in compared.output.glob("*/result.json")}


def test_each_vocoder_has_a_row_of_its_runs_and_costs(compared: Comparison, results: dict[str, Path]) -> None:
    printed = compared.printed
    assert "Run 3 of 3: copy_synthesis on fastspeech2 with silent, espeak, seed 0" in printed and "3 of 3 runs are complete." in printed
    rows = table(compared.output / "espeak-vocoders.csv")
    assert list(rows) == ["griffin_lim", "trained_vocoder", "silent"] and "synthetic voices: not to be cited" in printed
    for name, row in rows.items():
        assert row["run_ids"] == results[name].name and (row["seeds"], row["speakers"]) == ("1", "2")
        assert row["status"].removesuffix("+uncommitted") == "trial"  # the code may have changed
        episodes, costs = (pd.read_csv(results[name] / f"{file}.csv") for file in ("episodes", "costs"))
        for column in ("stoi", "gap_closed"):
            mean = episodes[column].mean()
            assert row[column] == ("" if pd.isna(mean) else f"{mean:.4f}") and int(row[f"{column}_failed"]) == episodes[column].isna().sum()
        assert float(row["real_time_factor"]) == pytest.approx(costs["real_time_factor"].mean(), abs=1e-4)
    assert rows["silent"]["status"] == "trial+uncommitted", "its file is not the project's"
    # Silence has no speaker: counted, not averaged.
    assert rows["silent"]["gap_closed"] == rows["silent"]["eer"] == "" and int(rows["silent"]["gap_closed_failed"]) == 2
    assert float(rows["griffin_lim"]["eer"]) >= 0

    kind = registry.load("vocoder", "trained_vocoder", [EXAMPLE])
    size = sum(each.numel() for each in kind().parameters())
    assert rows["trained_vocoder"]["parameters"] == str(size) and f"{size:,}" in printed
    assert rows["griffin_lim"]["parameters"] == "0" == rows["griffin_lim"]["training_seconds"] == rows["griffin_lim"]["training_tflops"]
    assert rows["trained_vocoder"]["training_steps"] == "4" and float(rows["trained_vocoder"]["training_tflops"]) > 0
    assert "hidden=256" in rows["trained_vocoder"]["settings"]


def test_the_same_command_again_finds_everything_done(compared: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    assert main([*compared.command, "-o", str(file)]) == 0
    again = capsys.readouterr()
    assert again.out.count("is already complete") == 3 and "Training" not in again.err and str(file) in again.out
    assert file.read_bytes() == (compared.output / "espeak-vocoders.csv").read_bytes()


def test_a_table_of_runs_that_are_there_needs_no_settings(
    compared: Comparison, results: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    chosen = [str(results[name]) for name in ("griffin_lim", "silent")]
    assert main(["vocoders", "--runs", *chosen, "--output", str(tmp_path), "-o", str(file)]) == 0
    every = table(compared.output / "espeak-vocoders.csv")
    assert table(file) == {name: every[name] for name in ("griffin_lim", "silent")} and "griffin_lim" in capsys.readouterr().out
    words = ["vocoders", "--runs", *chosen]
    assert "--runs tabulates runs as they are, so it takes no settings." in refused([*words, "--dataset", "espeak"], 2, capsys)
    copied = tmp_path / results["silent"].name
    shutil.copytree(results["silent"], copied)
    result = json.loads((copied / "result.json").read_text())
    del result["digest"]
    write_sealed(copied / "result.json", {**result, "facts": {**result["facts"], "same": 0.123}})
    assert "they differ in" in refused([*words[:-1], copied, "-o", file], 1, capsys)


def test_what_training_cost_is_kept_with_the_weights_and_not_guessed(cache: Path, tmp_path: Path) -> None:
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    kind = registry.load("vocoder", "trained_vocoder", [EXAMPLE])
    length = VocoderSettings(steps=3, batch_size=2, frames=16)

    def cost(**options: Any) -> VocoderCost:
        torch.manual_seed(0)
        return prepared(kind(kind.Config(hidden=8, **options)), "trained", "code", corpus, length, 0, tmp_path)[1]

    first = cost()
    assert first.training and first.training["steps"] == 3 and first.training["flops"] > 0 and first.training["seconds"] > 0
    assert first.parameters == sum(each.numel() for each in kind(kind.Config(hidden=8)).parameters())
    (cached,) = (tmp_path / "vocoders").glob("*.pt")
    before = cached.stat().st_mtime_ns
    assert cost() == first and cached.stat().st_mtime_ns == before
    # The file serves as a checkpoint too; nobody vouches for what weights of one's own cost.
    mine = tmp_path / "mine.pt"
    mine.write_bytes(cached.read_bytes())
    assert cost(checkpoint=str(mine)) == VocoderCost(first.parameters, None)
    # Weights that were cached before costs were kept are used, and not trained again to know it.
    checkpoint.save(cached, {name: value for name, value in torch.load(mine, weights_only=True).items() if name != "spent"})
    before = cached.stat().st_mtime_ns
    assert cost() == VocoderCost(first.parameters, None) and cached.stat().st_mtime_ns == before
    griffin = registry.load("vocoder", "griffin_lim")
    assert prepared(griffin(), "griffin", "code", corpus, length, 0, tmp_path)[1] == VocoderCost(0, {"steps": 0, "flops": 0, "seconds": 0})


def test_costs_that_nobody_knows_are_left_empty(results: dict[str, Path], tmp_path: Path) -> None:
    """Of weights from a file, and of a run from before costs were recorded."""
    for cost, parameters in (({"parameters": 7, "training": None}, "7"), (None, "")):
        folder = tmp_path / parameters / results["trained_vocoder"].name
        shutil.copytree(results["trained_vocoder"], folder)
        result = json.loads((folder / "result.json").read_text())
        del result["digest"]
        write_sealed(folder / "result.json", {**result, "vocoder_cost": cost})
        rows = rows_of([[folder]])
        assert rows[0]["parameters"] == parameters and not any(rows[0][f"training_{name}"] for name in ("steps", "tflops", "seconds"))
        assert "nobody knows" in to_text(rows) and "nobody knows" not in to_text(rows_of([[results["trained_vocoder"]]]))


def test_one_that_fails_does_not_stop_the_others(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--vocoders", "silent,griffin_lim", "--metrics", "stoi", *plugin(tmp_path, broken=True)]
    assert main(["vocoders", *TINY, *words, "--cache", str(cache), "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "Failed: copy_synthesis on fastspeech2 with silent, espeak, seed 0: " in printed
    assert "1 of 2 runs are complete, 1 failed." in printed
    assert list(table(tmp_path / "espeak-vocoders.csv")) == ["griffin_lim"]


def test_all_built_in_ones_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, list[str], int]] = []

    def done(_: object, grid: list[object]) -> list[object]:
        asked.extend((each.vocoder.name, [metric.name for metric in each.metrics], each.seed) for each in grid)  # type: ignore[attr-defined]
        return []

    monkeypatch.setattr("benchmark.commands.sweep.done_for", done)
    command = ["vocoders", "--dataset", "espeak", "--preset", "smoke", "--output", str(tmp_path)]
    assert main(command) == 0
    every = [name for name, info in registry.find("vocoder").items() if info.origin == "built-in"]
    assert len(every) > 3 and [name for name, _, _ in asked] == every
    usual = fit.own_metrics("fastspeech2")
    for more, expected in (([], usual), (["--metrics", "mcd"], ["mcd"])):
        asked.clear()
        assert main([*command, "--vocoders", "griffin_lim", "--seeds", "2", *more]) == 0
        assert asked == [("griffin_lim", expected, 0), ("griffin_lim", expected, 1)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--vocoders", "griffin_lin"], "no vocoder called 'griffin_lin'; did you mean 'griffin_lim'?"),
        (["--vocoders", ","], "--vocoders names nothing"),
        (["--vocoder", "griffin_lim"], "vocoders takes no --vocoder: name vocoders with --vocoders."),
        (["--algo=reptile"], "vocoders takes no --algo: it is always copy_synthesis."),
        (["--backbone", "crnn_ctc", "--vocoders", "griffin_lim"], "needs a backbone that makes speech"),
    ],
)
def test_wrong_usage_is_one_sentence(words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in refused(["vocoders", "--dataset", "espeak", "--preset", "smoke", "--output", tmp_path, *words], 2, capsys)
    assert not list(tmp_path.iterdir())


def test_a_table_that_cannot_be_written_is_refused_before_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmark.commands.sweep.done_for", pytest.fail)
    (tmp_path / "file").write_text("")
    words = ["vocoders", "--dataset", "espeak", "--preset", "smoke", "--output", tmp_path, "-o", tmp_path / "file" / "table.csv"]
    assert "table.csv: Not a directory; choose a folder that is writable" in refused(words, 1, capsys)
