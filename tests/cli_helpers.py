"""What a command says when it refuses, and runs that start no processes."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli import main

if TYPE_CHECKING:
    from benchmark.running.evaluation import Evaluator, Job, Scores

_PROGRESS = re.compile(r": done in | left$|^Waiting for another |^Loading ")


def refused(arguments: Sequence[object], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on standard error of a command that has to end with ``status``.

    What a slow machine is told of progress, or of other tests at the same work, is no second sentence, and an unforeseen exception is
    no sentence at all.
    """
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if not _PROGRESS.search(line)]
    assert len(lines) == 1, lines
    (line,) = lines
    assert line.startswith("error: ") and line.endswith((".", "?", ")")) and "Unexpected" not in line and "Traceback" not in line, line
    return line


@contextmanager
def full_disk(space: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, which to whoever writes it is a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (space, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def scoring_here() -> Iterator[None]:
    """Scoring in this process: starting another takes longer than all of a tiny run. ``test_run.py`` holds that it gives the same."""
    from benchmark.running.building import threads

    def evaluate(evaluator: Evaluator, jobs: Sequence[Job], *_: Any) -> Iterator[Scores]:
        with threads(1):  # as worker processes do
            yield from (scores for group in evaluator.together(jobs) for scores in evaluator.run_together(group))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.running.run.evaluate", evaluate)
        yield
