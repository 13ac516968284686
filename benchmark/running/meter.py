"""What adapting costs on this machine: seconds and memory, without the scoring that happens in between."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Meter:
    """Measures an iterator while it works, not while its items are used.

    Attributes:
        seconds: wall time so far.
        peak_bytes: most resident memory in use at once, beyond what this process held when the work began; NaN where
            the system can't tell (only Linux can). Memory given back before counts again: the allocator is trimmed first.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_bytes = 0.0

    def over(self, items: Iterator[T]) -> Iterator[T]:
        """The items, measured."""
        _trim()
        held = _resident("VmRSS")
        while True:
            known = _forget_peak()
            started = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self.seconds += time.perf_counter() - started
            # max() of a NaN and a number is the first of them.
            self.peak_bytes = max(_resident("VmHWM") - held if known else math.nan, self.peak_bytes)
            yield item
            _trim()


def _trim() -> None:
    """Give freed memory back to the system, so that using it again shows; only glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _forget_peak() -> bool:
    """Let the kernel count the highest resident memory from now on (proc(5), clear_refs); False where it won't."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> float:
    """VmRSS or VmHWM, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return math.nan
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), math.nan)
