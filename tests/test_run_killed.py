"""A run that is killed outright goes on with the same command, wherever it was, to the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmark.cli import main
from tests.cli_helpers import scoring_here
from tools.drill.kills import TINY

COMMAND = ["run", "--algo", "reptile", *TINY]


def kill_when(reached: Callable[[], bool], command: list[str], repository: Path) -> None:
    """Start the command and send SIGKILL as soon as it has come so far."""
    process = subprocess.Popen([sys.executable, "-m", "benchmark", *command], cwd=repository, stderr=subprocess.PIPE, env=os.environ)
    while not reached() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    _, error = process.communicate()
    assert process.returncode == -9, (process.returncode, error)


def test_killed_in_pretraining_training_and_evaluation(cache: Path, own_cache: Path, tmp_path: Path, repository: Path) -> None:
    with scoring_here():
        assert main([*COMMAND, "--cache", str(cache), "--output", str(tmp_path / "undisturbed")]) == 0
    (whole,) = (tmp_path / "undisturbed").glob("espeak-*/episodes.csv")

    output = tmp_path / "killed"
    command = [*COMMAND, "--cache", str(own_cache), "--output", str(output)]
    kill_when(lambda: bool(list((own_cache / "pretrained").glob("*.training"))), command, repository)
    assert not list((own_cache / "pretrained").glob("*.pt"))
    kill_when(lambda: bool(list(output.glob("*/checkpoints/training.ckpt"))), command, repository)
    assert not list(output.glob("*/checkpoints/algorithm.pt"))
    kill_when(lambda: any(len(path.read_bytes().splitlines()) > 2 for path in output.glob("*/episodes.csv")), command, repository)
    (folder,) = output.glob("espeak-*")
    assert not (folder / "result.json").exists() and len((folder / "episodes.csv").read_bytes()) < len(whole.read_bytes())

    with scoring_here():
        assert main(command) == 0
    assert folder.name == whole.parent.name and (folder / "episodes.csv").read_bytes() == whole.read_bytes()
