"""A folder for the temporary files of this process; what killed processes left in theirs, the next one removes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

AGE = 60.0
"""Seconds after which a file that nobody holds was left by a killed process; a younger one may just be about to be held."""
_held: list[FileLock] = []


@cache
def folder() -> Path:
    """This process's folder, removed when it ends."""
    base = Path(tempfile.gettempdir()) / f"few-shot-tts-benchmark-{os.getuid()}"
    with suppress(OSError):
        base.mkdir(mode=0o700)
    own = Path(tempfile.mkdtemp(dir=base if _is_mine(base) else None))
    lock = FileLock(own / ".alive")
    lock.acquire(timeout=0)
    _held.append(lock)
    # A library's own clean-up of what it put here is registered later and runs before.
    weakref.finalize(folder, shutil.rmtree, own, ignore_errors=True)
    if own.parent == base:
        _remove_left(base)
    return own


@contextmanager
def for_libraries() -> Iterator[None]:
    """Temporary files that libraries make inside the context go into :func:`folder`."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder())
    try:
        yield
    finally:
        tempfile.tempdir = before


def _is_mine(base: Path) -> bool:
    """Whether nobody else can put anything there."""
    try:
        found = base.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _remove_left(base: Path) -> None:
    for other in base.iterdir():
        with suppress(OSError, Timeout):  # another process removes it, or it is in use
            if time.time() - other.stat().st_mtime > AGE:
                with FileLock(other / ".alive").acquire(timeout=0):
                    shutil.rmtree(other)
