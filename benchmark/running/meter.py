"""The cost of adaptation on this machine, in seconds and memory, without the scoring in between."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")


class Meter:
    """Measures an iterator while it computes, not while its items are used.

    Attributes:
        seconds: wall time so far.
        peak_bytes: peak memory beyond what the process held when the work began: device memory on CUDA, else resident
            memory. NaN if the system can't tell (only Linux can). The allocator is trimmed first, so that reused memory
            counts too.

    Args:
        device: the type of the device that computes.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.memory: _Memory = _OfDevice() if device == "cuda" else _Resident()
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0.0

    def over(self, items: Iterator[T]) -> Iterator[T]:
        """The items, measured."""
        self.memory.begin()
        while True:
            self.memory.forget()
            self._wait()
            started = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self._wait()
            self.seconds += time.perf_counter() - started
            # In this order a NaN wins: max() returns its first argument if either is NaN.
            self.peak_bytes = max(self.memory.peak(), self.peak_bytes)
            yield item
            _trim()

    def _wait(self) -> None:
        """Wait until the device has finished its queued work."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        elif self.device == "mps":
            torch.mps.synchronize()


class _Memory(Protocol):
    def begin(self) -> None: ...

    def forget(self) -> None: ...

    def peak(self) -> float: ...


class _OfDevice:
    def begin(self) -> None:
        self.held = torch.cuda.memory_allocated()

    def forget(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float:
        return float(torch.cuda.max_memory_allocated() - self.held)


class _Resident:
    def begin(self) -> None:
        _trim()
        self.held = _resident("VmRSS")

    def forget(self) -> None:
        self.known = _forget_peak()

    def peak(self) -> float:
        return _resident("VmHWM") - self.held if self.known else math.nan


def _trim() -> None:
    """Return freed memory to the system, so that reusing it raises resident memory; only glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _forget_peak() -> bool:
    """Reset the kernel's peak of resident memory (proc(5), clear_refs); False if it refuses."""
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
