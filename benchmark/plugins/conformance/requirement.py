"""A single requirement, and how to state one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NamedTuple


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


def require_fields(plugin: type[Any], names: Iterable[str], said_in: str) -> None:
    """Fail unless a plugin's ``Config`` has the fields that ``said_in`` names."""
    unknown = set(names) - {each.name for each in fields(plugin.Config)}
    require(not unknown, f"{said_in} names {', '.join(sorted(unknown))}, which Config does not have")
