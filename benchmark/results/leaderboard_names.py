"""How a leaderboard's rows are named, and what tells an algorithm's configurations apart."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins.registry import normalise
from benchmark.results.leaderboard_rules import SETTING, problem_of
from benchmark.settings.config import said

Who = tuple[str, ...]
"""An algorithm's configuration: algorithm, digest of its options, preset, backbone, vocoder."""
Rows = list[dict[str, str]]


def who(row: dict[str, str]) -> Who:
    """The configuration of a row."""
    return row["algorithm"], row["options"], row["preset"], row["backbone"], row["vocoder"]


def rows_named(rows: Sequence[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The rows of an algorithm, ``reptile``, or of one of its configurations, ``reptile:d37ca7c2``."""
    algorithm, _, options = name.partition(":")
    return [row for row in rows if row["algorithm"] == normalise(algorithm) and row["options"].startswith(options)]


def one_configuration(name: str, path: Path, rows: Rows, columns: Sequence[str]) -> Rows:
    """An algorithm's rows of the only configuration scored with all these metrics (the metric that ranks if there are none).

    Of several, the one with the most tuned options is meant, if no other has as many: the others are variants of it.

    Args:
        name: the algorithm as the user gave it.
        path: the table.
        rows: of the algorithm, at least one.
        columns: of scores.

    Raises:
        UsageError: several could be meant; describes them.
    """
    misspelt = [column for column in columns if column not in rows[0]]  # the caller says so, whichever configuration is meant
    columns = [column for column in columns if column in rows[0]] or [problem_of(rows[0]).objective]
    kinds: dict[str, Rows] = {}
    for row in rows:
        kinds.setdefault(row["options"], []).append(row)
    scored = [own for own in kinds.values() if all(own[0].get(column) for column in columns)]
    most = max((_tuned(own) for own in scored), default=0)
    if most and len(mostly := [own for own in scored if _tuned(own) == most]) == 1:
        return mostly[0]
    if len(scored or kinds) > 1 and not misspelt:
        raise UsageError(f"{name} has several configurations in {path}; name one of them: {' '.join(configurations(rows))}")
    return scored[0] if scored else rows


def names(rows: Sequence[dict[str, str]]) -> list[str]:
    """Algorithms, with their options' digest if several configurations are shown, and their status unless it is ok."""
    return [label + ("" if row["status"] == "ok" else f" ({row['status']})") for label, row in zip(labels(rows), rows, strict=True)]


def labels(rows: Sequence[dict[str, str]]) -> list[str]:
    """Algorithms, with their options' digest if there are several configurations: ``reptile``, ``metric:66174a18``."""
    kinds: dict[str, set[Who]] = {}
    for row in rows:
        kinds.setdefault(row["algorithm"], set()).add(who(row))
    return [row["algorithm"] + (f":{row['options']}" if len(kinds[row["algorithm"]]) > 1 else "") for row in rows]


def differences(rows: Sequence[dict[str, str]]) -> dict[Who, str]:
    """For each configuration of an algorithm that has several, what it differs in: "fine_tune_groups=all"."""
    kinds: dict[str, dict[Who, set[str]]] = {}
    for row in rows:
        pairs = {*row["settings"].split(" "), *(f"{name}={row[name]}" for name in SETTING)} - {""}
        kinds.setdefault(row["algorithm"], {})[who(row)] = pairs
    found: dict[Who, str] = {}
    for settings in kinds.values():
        if len(settings) > 1:
            shared = set.intersection(*settings.values())
            found |= {one: " ".join(sorted(pairs - shared)) or "other budgets or metrics" for one, pairs in settings.items()}
    return found


def configurations(rows: Sequence[dict[str, str]]) -> list[str]:
    """How an algorithm's configurations differ, one line each; for a single configuration, the settings that its user chose."""
    lines, unlike = [], differences(rows)
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        several = [f"{one[0]}:{one[1]}: {what}." for one, what in unlike.items() if one[0] == algorithm]
        lines += several
        if not several and (own := _own_choice(next(row for row in rows if row["algorithm"] == algorithm))):
            lines.append(f"{algorithm}: with {' '.join(own)}, neither its defaults nor tuned.")
    return lines


def _own_choice(row: dict[str, str]) -> list[str]:
    """A row's settings that are neither the algorithm's defaults nor tuned; none if the algorithm is not found."""
    from benchmark.plugins import registry

    try:
        fields = registry.describe(registry.get("algorithm", row["algorithm"])).fields
    except BenchmarkError:
        return []
    tuned, defaults = set(row["tuned"].split(" ")), {}
    for field in fields:
        with suppress(ValueError, SyntaxError):  # a default that is not a literal can't be compared
            defaults[field.name] = said({field.name: ast.literal_eval(field.default or "")})
    own = [each for each in row["settings"].split(" ") if each not in tuned]
    return [each for each in own if (name := each.partition("=")[0]) in defaults and each != defaults[name]]


def _tuned(rows: Rows) -> int:
    """The number of options that tuning chose for a configuration."""
    return sum("=" in word for word in rows[0]["tuned"].split())
