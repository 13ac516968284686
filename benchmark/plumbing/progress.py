"""Progress of long work: a bar with an ETA on a terminal, otherwise an occasional plain line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_SECONDS = 15.0


@contextmanager
def progress(label: str, total: float) -> Iterator[Callable[[float], None]]:
    """Yield a function that takes the amount done so far; more than ``total`` counts as ``total``."""
    started = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn(label), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=min(done, total))
        return
    last = started
    first: tuple[float, float] | None = None

    def line(done: float) -> None:
        nonlocal last, first
        now, done = time.monotonic(), min(done, total)
        # The rate counts from the first report, because resumed work starts partly done.
        first = first or (now, done)
        if now - last >= PLAIN_SECONDS and done > first[1]:
            last = now
            left = (now - first[0]) * (total - done) / (done - first[1])
            print(f"{label}: {100 * done / total:.0f} %, about {left:.0f} s left", file=sys.stderr, flush=True)

    yield line
    print(f"{label}: done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
