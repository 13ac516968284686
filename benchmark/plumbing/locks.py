"""Locks that keep processes from doing the same work at the same time; ``kill -9`` releases them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.errors import BenchmarkError

PATIENCE = 1.0
"""Seconds of waiting before a message."""
LONG = 120.0
"""Seconds of waiting before a second message, which says how to see whether the other process lives."""


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for any process that holds it now.

    In a folder that can't be written to there is no lock: finished work can still be read there, and writing raises its own error.

    Args:
        path: the lock file; created if absent, and never deleted. Beside it, ``*.holder`` says who holds it.
        waiting: sentence for standard error, printed once if another process holds the lock for long, with who it is.

    Raises:
        BenchmarkError: the folder can be written to, but the lock can't be created.
    """
    if not _creates(path):
        yield
        return
    lock, holder = FileLock(path), path.with_name(f"{path.name}.holder")
    try:
        _acquire(lock, holder, waiting)
        with suppress(OSError):  # a full disk, or a pipe without a reader; others then don't learn who holds it
            holder.unlink(missing_ok=True)  # of a killed process, or no file at all
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M}", encoding="utf-8")
    except (OSError, NotImplementedError) as error:
        raise _not_created(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def _creates(path: Path) -> bool:
    """Make the lock file; False where nothing can be written.

    Some errors of creating a file make the library try again for ever, so they are met here.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666))
    except OSError as error:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            raise _not_created(path, error) from error
        return False
    return True


def _acquire(lock: FileLock, holder: Path, waiting: str) -> None:
    try:
        lock.acquire(timeout=PATIENCE)
        return
    except Timeout:
        print(f"{waiting}{_told(holder)}", file=sys.stderr, flush=True)
    try:
        lock.acquire(timeout=LONG)
        return
    except Timeout:
        who = _told(holder) or " Nobody says who holds the lock."
        hint = f"If that process no longer works (ps -p shows whether it lives), end it; this goes on then. The lock is {lock.lock_file}."
        print(f"Still waiting.{who} {hint}", file=sys.stderr, flush=True)
    lock.acquire()


def _told(holder: Path) -> str:
    """Who holds a lock, as a sentence; "" if it is not known."""
    try:
        text = holder.read_text(encoding="utf-8")[:200] if holder.is_file() else ""  # reading a pipe would wait
    except (OSError, UnicodeDecodeError):
        return ""
    return f" It is {text}." if text else ""


def _not_created(path: Path, error: OSError | NotImplementedError) -> BenchmarkError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return BenchmarkError(f"The lock {path} can't be created ({reason}); remove what is in its way, or choose a folder on another disk.")
