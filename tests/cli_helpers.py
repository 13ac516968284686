"""What a command says when it refuses."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from benchmark.cli import main


def refused(arguments: Sequence[object], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on standard error of a command that has to end with ``status``.

    What a slow machine is told of progress is no second sentence, and an unforeseen exception is no sentence at all.
    """
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if ": done in " not in line and not line.endswith(" left")]
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
