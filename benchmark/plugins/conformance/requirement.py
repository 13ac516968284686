"""A single requirement."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Requirement(NamedTuple):
    """Something that a plugin must do.

    Attributes:
        name: in a few words.
        attempt: tries it, and raises if it is not met.
        vital: True if no other can be met without it.
    """

    name: str
    attempt: Callable[[], object]
    vital: bool = False


def require(condition: object, problem: str) -> None:
    """Raise AssertionError with ``problem`` unless ``condition`` holds."""
    if not condition:
        raise AssertionError(problem)
