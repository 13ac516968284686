"""A sweep end to end on the embedded voices, cut down to seconds: what it leaves out, skips, survives and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from tests.cli_helpers import refused

TINY = ["--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "stoi"]

pytestmark = pytest.mark.usefixtures("in_this_process")


def folders(output: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in output.iterdir() if path.is_dir())


def test_a_sweep_does_what_run_does_for_each_and_goes_on_where_one_fails(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--cache", str(cache), "--output", str(tmp_path)]
    # No group of this name: what only a backbone tells, so only the run finds out.
    settings = ["--algo", "mean_speaker,shy", "--dataset", "espeak", "--seeds", "2", *TINY, *places]
    plugin = tmp_path / "shy.py"
    plugin.write_text(SHY)
    assert main(["sweep", *settings, "--plugin", str(plugin)]) == 1
    printed = capsys.readouterr().out
    assert "Run 4 of 4: shy on fastspeech2, espeak, seed 1" in printed
    assert "Failed: shy on fastspeech2, espeak, seed 0: Unexpected ValueError: too shy to speak" in printed
    assert printed.count("Failed: ") == 2 and printed.endswith("2 of 4 runs are complete, 2 failed.\n")
    assert folders(tmp_path) == ["espeak-mean_speaker-smoke-s0", "espeak-mean_speaker-smoke-s1"]
    assert "mean_speaker (trial" in printed and f"Leaderboard of your runs: {tmp_path / 'espeak.csv'}" in printed

    # The same folders as run makes, and none is made twice.
    assert main(["run", "--algo", "mean_speaker", "--dataset", "espeak", *TINY, *places]) == 0
    assert "is already complete" in capsys.readouterr().out
    assert main(["sweep", *settings, "--plugin", str(plugin), "--algo", "mean_speaker"]) == 0
    assert capsys.readouterr().out.count("is already complete") == 2


SHY = '''
"""Fails while it is made."""
from benchmark.algorithms.mean_speaker import MeanSpeaker

class Shy(MeanSpeaker):
    """Shy."""
    def __init__(self, *args):
        raise ValueError("too shy to speak")

PLUGIN = Shy
'''
PICKY = '''
"""Needs what no backbone has."""
from benchmark.algorithms.mean_speaker import MeanSpeaker

class Picky(MeanSpeaker):
    """Picky."""
    needs = ("speaker_vector", "smell")

PLUGIN = Picky
'''


def test_what_does_not_fit_is_left_out_and_said_before_anything_runs(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "picky.py"
    plugin.write_text(PICKY)
    places = ["--cache", str(cache), "--output", str(tmp_path), "--plugin", str(plugin)]
    assert main(["sweep", "--algo", "picky,mean_speaker", "--dataset", "espeak", *TINY, *places]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Left out: picky on fastspeech2, espeak: picky needs ")
    assert printed.index("Left out") < printed.index("Run 1 of 1: mean_speaker") and folders(tmp_path) == ["espeak-mean_speaker-smoke-s0"]
    said = refused(["sweep", "--algo", "picky", "--dataset", "espeak", *TINY, *places], 2, capsys)
    assert "No combination of the sweep fits together. Left out: picky" in said


@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_a_cluster_has_the_gpus_that_this_machine_lacks(
    accelerator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    asked: dict[str, int] = {}

    def engine(_name: str, _count: int, _plugins: object, **wanted: int) -> NoReturn:
        asked.update(wanted)
        raise BenchmarkError("Ray has it.")

    monkeypatch.setattr("benchmark.running.sweeps.engine", engine)
    monkeypatch.setattr("benchmark.running.engines.check", lambda _: None)
    places = ["--cache", tmp_path / "cache", "--output", tmp_path / "runs"]
    command = ["sweep", "--algo", "reptile", "--dataset", "espeak", *TINY, *places, "--engine", "ray", "--accelerator", accelerator]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sentence = f"--accelerator {accelerator} --devices 2: this machine has only 0"
    assert sentence in refused([*command, "--devices", "2"], 2, capsys)
    monkeypatch.setenv("RAY_ADDRESS", "host:6379")
    assert "Ray has it." in refused([*command, "--devices", "2"], 1, capsys)
    assert asked["gpus"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--algo", "reptile,reptil"], "no algorithm called 'reptil'; did you mean 'reptile'?"),
        (["--algo", ","], "--algo names nothing"),
        (["--algo", "reptile,maml", "--algo.learning_rate", "1"], "no setting '--algo.learning_rate' of reptile"),
        (["--algo", "reptile", "--dataset", "espeak,vctk", "--data-root", "."], "--data-root is for one dataset"),
        (["--algo", "reptile", "--engine", "slurm"], "--engine: invalid choice: 'slurm'"),
        (["--dataset", "espeak"], "No algorithm is chosen: give --algo NAME"),
        (["--algo", "reptile", "--seds", "2"], "did you mean '--seeds'?"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in refused(["sweep", "--dataset", "espeak", "--preset", "smoke", "--output", tmp_path, *arguments], 2, capsys)
    assert not list(tmp_path.iterdir())
