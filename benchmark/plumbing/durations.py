"""Times as people write them."""

from __future__ import annotations

import math
import re

UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0}
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|s|min)?")


def seconds(text: str) -> float:
    """Seconds in a time such as "500ms", "5s", "1.5min", or "5", which is in seconds.

    Raises:
        ValueError: it is none.
    """
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"must be a time, such as 500ms, 5s or 2min, not {text}")
    return float(found[1]) * UNITS[found[2] or "s"]


def in_words(time: float) -> str:
    """A number of seconds in its largest unit of which it has at least one: "500 ms", "5 s", "2 min"; "any" if unlimited."""
    if time == 0 or math.isinf(time):
        return "any" if time else "0"
    unit = next((unit for unit in ("min", "s") if time >= UNITS[unit]), "ms")
    return f"{time / UNITS[unit]:g} {unit}"
