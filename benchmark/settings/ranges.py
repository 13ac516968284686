"""Ranges of settings as types, and a base class that checks them.

    @dataclass(frozen=True)
    class Config(Checked):
        inner_lr: PositiveFloat = 1e-3
        inner_steps: Annotated[int, Ge(2)] = 5
        optimizer: Literal["adam", "sgd"] = "adam"
        groups: Names = ("all",)

Annotations may use any constraint of ``annotated_types`` that pydantic knows. pydantic is imported when the first value is
checked, so listing plugins and printing help do without it.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import PurePath
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MinLen, Predicate

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def odd(number: int) -> bool:
    """Whether a number is odd, for :data:`Odd`."""
    return number % 2 == 1


MOST = 10**9
"""No number of steps, layers or channels is larger."""
PositiveInt = Annotated[int, Ge(1), Le(MOST)]
NonNegativeInt = Annotated[int, Ge(0), Le(MOST)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
"""From 0 to below 1, for momentum and dropout."""
Between0And1 = Annotated[float, Gt(0), Lt(1)]
"""Above 0 and below 1."""
Odd = Annotated[int, Ge(1), Le(MOST), Predicate(odd)]
MAX_SEED = 2**32 - 1
"""NumPy accepts no larger one."""
Seed = Annotated[int, Ge(0), Le(MAX_SEED)]
Names = Annotated[tuple[str, ...], MinLen(1)]
"""One or more names."""
MOST_BITS = 64
"""Most bits of a whole number; Python refuses to print those of thousands of digits."""

LIMITS = {
    "greater_than": "be above {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be below {lt}",
    "less_than_equal": "be at most {le}",
    "finite_number": "be a finite number",
}
"""pydantic's names of broken limits, and what the value must do."""


@dataclass(frozen=True)  # jsonargparse reads groups only from classes whose bases are all dataclasses
class Checked:
    """Base of a settings dataclass that checks its values against its annotations, wherever it is made.

    A subclass with its own ``__post_init__`` must call this one first; it can then compare fields. Values are converted to
    their types if nothing is lost (1 to 1.0, a list to a tuple).

    Raises:
        ValueError: a value has a wrong type or is out of range; the message begins with the field's name.
    """

    def __post_init__(self) -> None:
        from pydantic import ValidationError

        own: Any = type(self)
        for name, (kind, adapter) in _adapters(own).items():
            try:
                # Frozen dataclasses have no other way to set a field.
                object.__setattr__(self, name, adapter.validate_python(getattr(self, name)))
            except ValidationError as error:
                raise ValueError(f"{name} must {_what_is_right(kind, error.errors()[0])}") from error


def has_huge(value: Any) -> bool:
    """Whether a value is or holds, as a key too, a whole number of more than ``MOST_BITS`` bits."""
    if isinstance(value, Mapping):
        return any(has_huge(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple | set):
        return any(map(has_huge, value))
    return isinstance(value, int) and value.bit_length() > MOST_BITS


@cache
def _adapters(kind: Any) -> dict[str, tuple[Any, TypeAdapter[Any]]]:
    """Type and validator of each field that is not itself a dataclass (dataclasses check themselves)."""
    from pydantic import ConfigDict, TypeAdapter

    hints = typing.get_type_hints(kind, include_extras=True)
    config = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
    names = [each.name for each in fields(kind) if each.init and not is_dataclass(hints[each.name])]
    return {name: (hints[name], TypeAdapter(hints[name], config=config)) for name in names}


def _what_is_right(kind: Any, error: Any) -> str:
    """The rest of "inner_lr must ..." for an error of pydantic's; for a tuple, its "input" is the wrong item."""
    if error["type"] == "too_short":
        least = error["ctx"]["min_length"]
        return f"hold at least {least} value{'s' if least > 1 else ''}"
    if error["type"] == "predicate_failed":
        # pydantic quotes the function's name: Predicate 'odd' failed.
        return f"be {error['msg'].split(chr(39))[1].replace('_', ' ')}, not {error['input']}"
    if error["type"] in LIMITS:
        limits = {name: _number(limit) for name, limit in error.get("ctx", {}).items()}
        return f"{LIMITS[error['type']].format(**limits)}, not {_number(error['input'])}"
    return f"be {in_words(kind)}, not {error['input']}"


def _number(value: Any) -> str:
    """A number without needless digits: -1, not -1.0."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def is_list(kind: Any) -> bool:
    """Whether values of the type are written as lists."""
    return typing.get_origin(_bare(kind)) in (list, tuple, Sequence)


def in_words(kind: Any) -> str:
    """A type in words, without limits: "a whole number", "one of adam, sgd"."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
    kind = _bare(kind)
    inner = [each for each in typing.get_args(kind) if each is not Ellipsis]
    if kind in words:
        return words[kind]
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(map(str, inner))}"
    if is_list(kind) and inner:
        return f"a list, each item {in_words(inner[0])}"
    if inner:
        return " or ".join(in_words(each) for each in inner)
    return "a path" if isinstance(kind, type) and issubclass(kind, PurePath) else f"a {getattr(kind, '__name__', kind)}"


def _bare(kind: Any) -> Any:
    """The type without its constraints."""
    return kind.__origin__ if typing.get_origin(kind) is Annotated else kind
