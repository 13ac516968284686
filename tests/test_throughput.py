"""The benchmark of the metrics' throughput runs as its manual says, and leaves no metric out that runs score by default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.settings import config
from benchmark.settings.schema import RunSettings


@pytest.mark.slow
def test_every_default_metric_is_timed(repository: Path) -> None:
    command = [sys.executable, "-m", "tools.metric_throughput", "--utterances=2", "--sample=1", "--workers=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    names = [metric.name for metric in config.parse(RunSettings, ["--algo=finetune", "--dataset=espeak"]).metrics]
    assert [name for name in names if f"| {name} " not in done.stdout] == []
    assert len(names) > 5 and "times real time" in done.stdout
