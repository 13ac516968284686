"""Locks that keep processes from doing the same work at the same time; ``kill -9`` releases them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 1.0
"""Seconds of waiting before a message."""


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for any process that holds it now.

    Args:
        path: the lock file; created if absent, and never deleted.
        waiting: message for standard error, printed once if another process holds the lock for long.
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
        # Where no lock can be written nothing else can either: finished work can still be read, and writing it raises its own error.
        yield
        return
    try:
        yield
    finally:
        lock.release()
