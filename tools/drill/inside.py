"""Commands run in this process, which takes milliseconds where a process of their own would take seconds; their time and memory taken."""

from __future__ import annotations

import io
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmark.cli import INTERRUPTED, main

PROGRESS = re.compile(r": done in | left$|^Waiting for another |^Note: |^Left out: ")
"""Lines on standard error that tell of progress, or what was noticed on the way, and no error."""
REPORT = re.compile(r"^Failed: .*\.$|^  PROBLEM  |, [1-9]\d* problem\(s\)\.$|^[1-9]\d* requirement\(s\) not met\.$", re.MULTILINE)
"""In standard output of commands that go on after an error: sweep, check, leaderboard verify."""
LONGEST = 400
"""Most characters of a sentence, the places of files not counted."""


@dataclass(frozen=True)
class Answer:
    """What a command answered.

    Attributes:
        status: exit status.
        out: standard output.
        err: standard error, that of libraries in C too.
        seconds: of processor time it took, which other work on the machine does not lengthen.
        megabytes: of memory at its peak, above what was in use before; 0 where that can't be measured.
    """

    status: int
    out: str
    err: str
    seconds: float
    megabytes: float

    def fault(self, places: Sequence[Path] = ()) -> str:
        """Why a refusal is not one clear sentence; "" if it is.

        Args:
            places: folders whose names don't count towards the sentence's length.
        """
        lines = [line for line in self.err.strip().splitlines() if not PROGRESS.search(line)]
        sentences = [line for line in lines if line.startswith("error: ")]
        if self.status == 1 and not lines and REPORT.search(self.out):
            return ""
        if self.status == INTERRUPTED and "\n" not in self.err.strip() and self.err.startswith("Interrupted while plugin "):
            return ""  # a plugin that raises KeyboardInterrupt is told by its file's name, but not from Ctrl-C
        if self.status not in (1, 2):
            return f"it ends with status {self.status}: {self.err[-300:]}"
        if "Traceback" in self.err or "run it again with --debug" in self.err:
            return f"an exception that nobody foresaw: {self.err[-500:]}"
        if len(sentences) != 1 or lines[-1:] != sentences:
            return f"not one sentence at the end but {lines[-4:]}"
        bare = sentences[0]
        for place in sorted(map(str, places), key=len, reverse=True):
            bare = bare.replace(place, "")
        if len(bare) > LONGEST:
            return f"a sentence of {len(bare)} characters: {bare[:160]} … {bare[-80:]}"
        if not sentences[0].isprintable():
            return f"control characters: {sentences[0]!r}"
        return "" if bare.rstrip().endswith((".", "?", ")")) else f"no whole sentence: {bare}"


def call(arguments: Sequence[object], seconds: float = 60.0) -> Answer:
    """Run a command.

    Args:
        arguments: the words after ``python -m benchmark``.
        seconds: after which it is interrupted; its status is then 130.
    """
    out, before = io.StringIO(), _resident("VmRSS")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    started = _worked()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as err:
        with _interrupted_after(seconds), redirect_stdout(out), redirect_stderr(err), _libraries_too(err.fileno()):
            try:
                status = main([str(argument) for argument in arguments])
            except SystemExit as leaving:
                status = leaving.code if isinstance(leaving.code, int) else 1
        took = _worked() - started
        err.seek(0)
        return Answer(status, out.getvalue(), err.read(), took, max(0.0, _resident("VmHWM") - before))


class _Here(Executor):
    """Stands for a pool of processes: does each job at once, in this one."""

    def __init__(self, count: int, context: object, start: object, arguments: tuple[Callable[[], object] | None]) -> None:
        (ready,) = arguments
        if ready is not None:
            ready()

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """See :meth:`Executor.submit`."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def no_workers() -> Iterator[None]:
    """Inside, this process does what worker processes would do: starting one takes longer than all of a tiny run."""
    with patch("benchmark.plumbing.workers.ProcessPoolExecutor", _Here):
        yield


def _worked() -> float:
    """Seconds of processor time of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _libraries_too(descriptor: int) -> Iterator[None]:
    """What libraries in C write to standard error goes to a file too."""
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _resident(name: str) -> float:
    """Megabytes of this process by a name of Linux's ``/proc``; 0 elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0
