"""Which rows of a leaderboard are meant, and in which order."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from benchmark.errors import UsageError
from benchmark.plugins.registry import suggest
from benchmark.results import cells
from benchmark.results.leaderboard_names import Who, who

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
CONDITION = re.compile(rf"\s*(\w+)\s*({'|'.join(OPERATORS)})\s*(.*?)\s*")


@dataclass(frozen=True)
class Condition:
    """A condition on one column, "seconds_to_adapt<=5"."""

    column: str
    sign: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises:
            UsageError: it is none.
        """
        found = CONDITION.fullmatch(text)
        if found is None or found[3][:1] in tuple("<>=!"):
            signs = " ".join(OPERATORS)
            raise UsageError(f"--where must be a column, one of {signs}, and a value, like 'seconds_to_adapt<=5', not '{text}'.")
        column, sign, value = found.groups()
        value = value.strip("'\"")
        return cls(column, sign, re.sub(r"^(-?)\.", r"\g<1>0.", value))

    def holds(self, row: Mapping[str, str], path: Path) -> bool:
        """Whether a row meets it; a row without a value does not.

        Raises:
            UsageError: the table has no such column, or the column's text can't be compared in this way.
        """
        if self.column not in row:
            raise UsageError(f"{path} has no column {self.column!r} for --where{suggest(self.column, sorted(row))}")
        cell = row[self.column]
        if cells.NUMBER.fullmatch(self.value):
            if not cells.NUMBER.fullmatch(cell or "0"):
                raise UsageError(f"--where {self.column} holds text, such as {cell!r}; compare it with = or !=, and with text.")
            return cell != "" and OPERATORS[self.sign](float(cell), float(self.value))
        if self.sign not in ("=", "==", "!="):
            raise UsageError(f"--where {self.column}{self.sign}{self.value} needs a number, not '{self.value}'.")
        return cell != "" and OPERATORS[self.sign](cell, self.value)


def selected(
    path: Path, rows: Sequence[dict[str, str]], shots: int | None = None, steps: int | None = None,
    run_ids: Collection[str] | None = None, where: Sequence[str] = (),
) -> list[dict[str, str]]:  # fmt: skip
    """The rows with these shots and steps, made from these runs, that meet all conditions (as :class:`Condition` reads them).

    Algorithms without a support set (0 shots) or adaptation steps (0 steps only) have one value for all, and are always selected.

    Raises:
        UsageError: there is no row with these shots and steps or none meets the conditions; or a condition is none.
    """
    grid: dict[Who, set[str]] = {}
    for row in rows:
        grid.setdefault(who(row), set()).add(row["steps"])

    def wanted(row: dict[str, str]) -> bool:
        return (
            (shots is None or int(row["shots"]) in (0, shots))
            and (steps is None or int(row["steps"]) == steps or grid[who(row)] == {"0"})
            and (run_ids is None or bool(set(row["run_ids"].split()) & set(run_ids)))
        )

    asked = [row for row in rows if shots in (None, int(row["shots"])) and steps in (None, int(row["steps"]))]
    if rows and not asked:
        has = " and ".join(f"{','.join(map(str, sorted({int(row[name]) for row in rows})))} {name}" for name in ("shots", "steps"))
        wish = " and ".join(f"{count} {name}" for count, name in ((shots, "shots"), (steps, "steps")) if count is not None)
        raise UsageError(f"{path} has no row of {wish}; it has {has}.")
    conditions = [Condition.parse(each) for each in where]
    found = [row for row in rows if wanted(row) and all(each.holds(row, path) for each in conditions)]
    if rows and where and not found:
        raise UsageError(f"{path} has no row with {' and '.join(where)}; loosen --where.")
    return found


def ordered(path: Path, rows: Sequence[dict[str, str]], sort: str) -> list[dict[str, str]]:
    """The rows sorted by a column, ascending, or descending with a "-" before it; citable rows stay first.

    Raises:
        UsageError: there is no such column.
    """
    column, falling = sort.removeprefix("-"), sort.startswith("-")
    if rows and column not in rows[0]:
        near = get_close_matches(column, list(rows[0]), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "'--metrics all --format csv' shows all columns."
        raise UsageError(f"{path} has no column {column!r} to sort by; {hint}")

    # Numbers sort as numbers; rows without a value come last either way.
    filled = [row for row in rows if row[column]]
    numeric = all(cells.NUMBER.fullmatch(row[column]) for row in filled)
    filled.sort(key=lambda row: float(row[column]) if numeric else row[column], reverse=falling)
    return sorted([*filled, *(row for row in rows if not row[column])], key=lambda row: row["status"] != "ok")
