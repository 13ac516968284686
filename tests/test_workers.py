"""Workers end when the process that started them does, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from benchmark.errors import BenchmarkError
from benchmark.plumbing import workers
from tests.process_helpers import ended, workers_of

SLOW = """
import sys, time
from pathlib import Path
from benchmark.running.evaluation import evaluate

class Slow:
    device = "cpu"
    def on_device(self):
        return self
    def together(self, jobs):
        return [[job] for job in jobs]
    def run_together(self, jobs):
        Path(sys.argv[1], f"job{jobs[0]}").touch()
        time.sleep(60)

if __name__ == "__main__":
    from benchmark import cli
    cli._dispatch = lambda *_: list(evaluate(Slow(), range(9), 2, ()))
    sys.exit(cli.main([]))
"""
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks processes up in Linux's /proc")


@contextmanager
def evaluating(folder: Path, repository: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process whose two workers are each at an episode that takes a minute."""
    script = folder / "slow.py"
    script.write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": str(repository)}
    process = subprocess.Popen([sys.executable, str(script), str(folder)], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        while len(list(folder.glob("job*"))) < 2 and process.poll() is None:
            time.sleep(0.05)
        children = workers_of(process.pid)
        assert len(children) == 2
        yield process, children
    finally:
        process.kill()
        process.communicate()


@linux
def test_workers_of_an_evaluation_end_when_their_parent_is_killed(tmp_path: Path, repository: Path) -> None:
    with evaluating(tmp_path, repository) as (process, children):
        process.send_signal(signal.SIGKILL)
        assert ended(children)


@linux
def test_an_interrupted_evaluation_says_so_at_once(tmp_path: Path, repository: Path) -> None:
    with evaluating(tmp_path, repository) as (process, children):
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert (process.returncode, error) == (130, "Interrupted; run the same command again to resume.\n")
        assert ended(children)
    assert not list(tmp_path.glob(".evaluator*"))


def test_a_worker_that_dies_is_one_sentence() -> None:
    with pytest.raises(BenchmarkError, match=r"A worker process died .* run the same command again"), workers.pool(1) as pool:
        list(pool.map(os._exit, [1]))


def threads(_: int) -> set[int]:
    return {torch.get_num_threads(), *(each["num_threads"] for each in threadpool_info())}


def test_a_worker_has_one_thread_and_is_made_ready(tmp_path: Path) -> None:
    with workers.pool(1, ready=partial(os.mkdir, tmp_path / "ready")) as pool:
        assert list(pool.map(threads, [0])) == [{1}]
    assert (tmp_path / "ready").is_dir()
