"""What cells of tables and fields of results may hold; each check raises ``ValueError`` with what the cell is not ("a whole number")."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from benchmark.plumbing.names import FORMULA, control_in, fault

WHOLE = re.compile(r"[0-9]{1,19}")
NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?")
"""Not all that Python's ``int`` and ``float`` take: no "1_0", no "nan", no spaces, no digits of other scripts."""
MOST = 2**63 - 1


def whole(cell: str) -> int:
    """A whole number from 0 on that fits 64 bits."""
    if not WHOLE.fullmatch(cell) or int(cell) > MOST:
        raise ValueError("a whole number")
    return int(cell)


def number(cell: str) -> float:
    """A finite number; NaN for an empty cell."""
    if not cell:
        return math.nan
    value = float(cell) if NUMBER.fullmatch(cell) else math.inf
    if math.isinf(value):
        raise ValueError("a number")
    return value


def amount(cell: str) -> float:
    """A finite number from 0 on; NaN for an empty cell."""
    if (value := number(cell)) < 0:
        raise ValueError("a number from 0 on")
    return value


def name(cell: str) -> str:
    """A name (:mod:`benchmark.plumbing.names`)."""
    if reason := fault(cell):
        raise ValueError(f"a name: it {reason}")
    return cell


def text(cell: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    if cell.startswith(FORMULA) or control_in(cell):
        raise ValueError("plain text on one line")
    return cell


def scores(cell: str) -> dict[str, list[float]]:
    """Lists of finite numbers by name, as JSON; none for an empty cell."""
    found = _mapping(cell)
    for values in found.values():
        if not isinstance(values, list) or not all(type(each) in (int, float) and abs(each) < MOST for each in values):
            raise ValueError("JSON of lists of numbers by name")
    return found


def reasons(cell: str) -> dict[str, str]:
    """Texts by name, as JSON; none for an empty cell."""
    found = _mapping(cell)
    if not all(isinstance(each, str) for each in found.values()):
        raise ValueError("JSON of texts by name")
    return found


def _mapping(cell: str) -> dict[str, Any]:
    try:
        found = json.loads(cell or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("JSON")
    return found
