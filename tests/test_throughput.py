"""The benchmark of the metrics' throughput runs, and leaves no metric out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmark import config
from benchmark.settings import RunSettings


def test_every_metric_is_timed(repository: Path) -> None:
    command = [sys.executable, str(repository / "benchmarks" / "metric_throughput.py"), "--utterances=2", "--sample=1", "--workers=2"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    scored = config.parse(RunSettings, ["--algo", "reptile", "--dataset", "espeak"]).metrics
    for name in (metric.name for metric in scored):
        assert f"| {name} " in done.stdout
    assert "times real time" in done.stdout
