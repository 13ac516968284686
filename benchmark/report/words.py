"""How a report words numbers: with the digits that the intervals support, and constants in plain English."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmark.report.boards import Row

SECONDS = re.compile(r"\b\d+\.\d+(?= s\b)")
"""Durations in a reason, "0.46 s"; other digits may belong to names."""


def number(cell: str) -> float:
    """A leaderboard's cell; NaN where it is empty."""
    return float(cell) if cell else math.nan


def digits(rows: Iterable[Row], metric: str) -> int:
    """Decimals of a metric's column: two significant digits of its median half-interval, at most three decimals."""
    widths = [
        (number(row[f"{metric}_hi"]) - number(row[f"{metric}_lo"])) / 2 for row in rows if row.get(metric) and row.get(f"{metric}_lo")
    ]
    widths = [width for width in widths if width > 0]
    return min(3, max(0, 1 - math.floor(math.log10(statistics.median(widths))))) if widths else 3


def interval(row: Row, metric: str, places: int) -> str:
    """The 95 % interval as papers print it; "" if there is none."""
    low, high = row.get(f"{metric}_lo"), row.get(f"{metric}_hi")
    return f"[{float(low):.{places}f}, {float(high):.{places}f}]" if low and high else ""


def said(row: Row, metric: str, places: int) -> str:
    """A value and its interval in words."""
    if not row.get(metric):
        return "not scored"
    bounds = interval(row, metric, places)
    return f"{float(row[metric]):.{places}f}" + (f", 95 % interval {bounds}" if bounds else "")


def ranged(texts: Sequence[str]) -> str:
    """Texts that differ only in durations, merged into one: "0.20 to 0.46 s of voice found"."""
    every = [SECONDS.findall(text) for text in texts]
    spans = [sorted(set(durations), key=float) for durations in zip(*every, strict=True)]
    words = iter(span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans)
    return SECONDS.sub(lambda _: next(words), texts[0])


def facts(values: Mapping[str, float], meanings: Mapping[str, str]) -> dict[str, str]:
    """Constants of real speech by meaning."""
    return {meanings.get(name, name): f"{value:.3g}" for name, value in values.items()}
