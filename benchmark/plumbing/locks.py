"""Locks between processes that would do the same work at the same time; ``kill -9`` releases them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 1.0
"""Seconds before anything is said of waiting."""


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file ``path``, after whoever holds it now.

    Args:
        path: the lock file; made if absent, and left.
        waiting: said once, on standard error, if another process holds it for long.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            print(waiting, file=sys.stderr, flush=True)
            lock.acquire()
    except OSError:
        # Where no lock can be written nothing else can: finished work may be read, and who has to write says that it can't.
        yield
        return
    try:
        yield
    finally:
        lock.release()
