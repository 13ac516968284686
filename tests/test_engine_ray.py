"""Runs and their evaluation on a local Ray cluster of two workers: the same bytes as without, killed workers included."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.running import engines
from tests.cli_helpers import refused, scoring_here

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install -e '.[ray]'")
TINY = [
    "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "2", "--metrics", "fragile", "--threads", "1",
]  # fmt: skip
FRAGILE = '''
"""Ends its process the first time that it scores, if a marker says so."""
import os, signal
from pathlib import Path
from benchmark.metric import Column, Metric

class Fragile(Metric):
    """The mean loudness."""
    version = "1"
    columns = {"loudness": Column(unit="", meaning="how loud it is", higher_is_better=True)}
    needs = ("speech",)
    def score(self, sample):
        marker = Path(os.environ.get("BENCHMARK_TEST_MARKER", "nowhere"))
        if marker.is_file():
            marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"loudness": float((sample.audio**2).mean())}

PLUGIN = Fragile
'''


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def sweep(cache: Path, output: Path, plugin: Path, *more: str) -> dict[str, bytes]:
    places = ["--cache", str(cache), "--output", str(output), "--plugin", str(plugin)]
    assert main(["sweep", "--algo", "reptile", "--seeds", "2", *TINY, *places, *more]) == 0
    return {path.parent.name: path.read_bytes() for path in output.glob("*/episodes.csv")}


@needs_ray
def test_no_cluster_at_the_address_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "nonsense://nowhere")
    said = pytest.raises(BenchmarkError, match=r"No Ray cluster answers at nonsense://nowhere \(.*\); start it, or unset RAY_ADDRESS")
    with said, engines.engine("ray", 2):
        pass


@needs_ray
def test_a_sweep_on_ray_gives_the_same_bytes_and_does_again_what_a_killed_worker_did(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    with scoring_here():
        local = sweep(cache, tmp_path / "local", tmp_path / "fragile.py")
    marker = tmp_path / "marker"
    marker.touch()
    monkeypatch.setenv("BENCHMARK_TEST_MARKER", str(marker))
    assert sweep(cache, tmp_path / "ray", tmp_path / "fragile.py", "--engine", "ray") == local and len(local) == 2
    assert not marker.exists(), "a worker was killed"


def start(folder: Path) -> None:
    (folder / f"ready-{os.getpid()}").touch()


def kill_once(folder: Path, number: int) -> tuple[int, int]:
    if number == 2 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), 9)
    return number, torch.get_num_threads()


def fail(number: int) -> None:
    raise BenchmarkError(f"job {number} can't be done")


def die(_: int) -> None:
    os.kill(os.getpid(), 9)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@needs_ray
def test_jobs_are_done_in_order_by_ready_workers_and_again_if_killed(tmp_path: Path, cluster: None) -> None:
    with engines.engine("ray", 2, (), partial(start, tmp_path)) as pool:
        assert list(pool.map(partial(kill_once, tmp_path), range(5))) == [(number, 1) for number in range(5)]
    assert (tmp_path / "killed").exists() and list(tmp_path.glob("ready-*"))


@needs_ray
def test_what_a_job_raises_arrives_and_one_that_always_kills_is_one_sentence(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "RETRIES", 1)
    with pytest.raises(BenchmarkError, match=r"^job 0 can't be done$"), engines.engine("ray", 2) as pool:
        list(pool.map(fail, range(2)))
    with pytest.raises(BenchmarkError, match="A Ray worker died 2 times at one job"), engines.engine("ray", 2) as pool:
        list(pool.map(die, range(1)))


@pytest.mark.parametrize("command", ["run", "sweep", "tune"])
def test_without_ray_it_says_what_to_install(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "ray" else real(name))
    given = [command, "--algo", "reptile", "--dataset", "espeak", "--preset", "smoke", "--output", tmp_path, "--engine", "ray"]
    assert "needs Ray, which is not installed: pip install -e '.[ray]'." in refused(given, 1, capsys)
    assert not list(tmp_path.iterdir())
