"""Adaptation's cost is its own: what is done with its snapshots is not in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from benchmark.running.meter import Meter

MEGABYTE = 1_000_000


def work() -> Iterator[int]:
    time.sleep(0.05)
    for size in (40, 60, 50):  # above 32 MB, which malloc never takes from memory that the process has freed
        large = np.ones(size * MEGABYTE, dtype=np.uint8)
        del large
        yield size


def test_only_the_iterator_is_measured() -> None:
    meter = Meter()
    peaks = []
    for _ in meter.over(work()):
        peaks.append(meter.peak_bytes / MEGABYTE)
        other = np.ones(200 * MEGABYTE, dtype=np.uint8)
        del other
        time.sleep(0.2)
    assert 0.05 <= meter.seconds < 0.4
    if sys.platform == "linux":
        assert peaks == pytest.approx([40, 60, 60], abs=5)


def test_what_the_iterator_raises_comes_through() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(Meter().over(broken()))
