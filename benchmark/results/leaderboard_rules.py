"""Which runs may form a row, and which rows may share a leaderboard."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.plugins.registry import Plugins
from benchmark.plumbing.files import digest_of
from benchmark.problem import Problem
from benchmark.problems import PROBLEMS
from benchmark.results.columns import known
from benchmark.settings.trial import is_trial

MIN_SEEDS = 3
FIRST_EDITION = {"device": "cpu", "precision": "32-true", "training_version": "1", "evaluation_version": "1"}
"""Columns that tables of the first edition lack, and what held for their rows."""
ASSUMED = {**FIRST_EDITION, "benchmark_version": "0.1.0"}
"""Columns that older tables lack, and what held for their rows."""
SETTING = ("preset", "backbone", "vocoder", "device", "precision")
"""What a method must share with the references that give it its scale."""
SEED = re.compile(r"-s(\d+)-[0-9a-f]+$")
"""The seed in a run's name."""
FACT_TOLERANCE = 1e-3
"""Relative, and a tenth of it absolute, unless a metric gives a constant of its own more: other machines round differently."""


def refuse(folders: Sequence[Path], results: Sequence[Mapping[str, Any]], preliminary: bool, local: bool) -> None:
    """Refuse runs that can't be pooled into rows.

    Args:
        folders, results: of the runs.
        preliminary: accept fewer than three seeds.
        local: for a table of the user's runs: accept trials, limited and dirty ones.

    Raises:
        BenchmarkError: says which run, and why.
    """
    first = results[0]
    for folder, result in zip(folders, results, strict=True):
        if not local and is_trial(result["config"]):
            raise BenchmarkError(f"{folder.name} is a quick trial (--fast-dev-run); run it in full before adding it.")
        if not local and result["limited"]:
            raise BenchmarkError(f"{folder.name} is limited (not all test speakers); run it in full before adding it.")
        if not local and result["git_dirty"] is not False:
            raise BenchmarkError(f"{folder.name} was made from uncommitted or unknown code; commit, and run it again.")
        if not local and result.get("outside_plugins"):
            raise BenchmarkError(
                f"{folder.name} used {', '.join(result['outside_plugins'])} from outside this repository; "
                "commit the file into its folder here, and run it again."
            )
        if what := differing(result, first):
            raise BenchmarkError(f"{folder.name} and {folders[0].name} differ in {what}; only seeds of one configuration make a row.")
    seeds = [result["seed"] for result in results]
    if len(set(seeds)) < len(seeds):
        raise BenchmarkError(f"{', '.join(folder.name for folder in folders)} share a seed; give each seed once.")
    if len(seeds) < MIN_SEEDS and not (preliminary or local):
        raise BenchmarkError(f"{folders[0].name} has {len(seeds)} seed(s), a row needs {MIN_SEEDS}; --preliminary lists it separately.")


def is_uncommitted(result: Mapping[str, Any]) -> bool:
    """Whether no commit holds all the code that made a result: it was changed or is unknown, or a plugin came from elsewhere."""
    return bool(result["git_dirty"] is not False or result.get("outside_plugins"))


def marks_of(row: Mapping[str, str]) -> set[str]:
    """Why a row must not be cited: the parts of its status, unless that is "ok"."""
    return set(row["status"].split("+")) - {"ok"}


def seeds_behind(row: Mapping[str, str]) -> frozenset[int]:
    """The seeds of a row's runs, from their names."""
    return frozenset(int(found[1]) for name in row["run_ids"].split() if (found := SEED.search(name)))


def differing(result: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What prevents two runs from being seeds of one row; "" if nothing does."""
    same = ("dataset", "problem", "task", "algorithm", "backbone", "vocoder", "preset", "data_version", "manifest_hash",
            "protocol_version", "metric_versions", "device", "precision", "processes", "sources", "training_version",
            "evaluation_version", "preparation_version")  # fmt: skip
    names = [name for name in same if result[name] != other[name]] + ["their options"] * (options(result) != options(other))
    names += [name for name in ("shots", "steps") if result["config"].get(name) != other["config"].get(name)]
    return next(iter(names), "") or differing_fact(facts_of(result), facts_of(other))


def options(result: Mapping[str, Any]) -> str:
    """Digest of the configuration without seed and grid, and of another device or precision than the first edition's."""
    hardware = {name: result[name] for name in ("device", "precision") if result[name] != FIRST_EDITION[name]}
    return digest_of({key: value for key, value in result["config"].items() if key not in ("seed", "shots", "steps")} | hardware, 8)


def facts_of(result: Mapping[str, Any], plugins: Plugins = ()) -> dict[str, float]:
    """The metrics' constants in a ``result.json``, without an algorithm's own facts (``embedding_eer``)."""
    constants = known(plugins).constants
    return {name: value for name, value in sorted(result["facts"].items()) if name in constants and value is not None}


def differing_fact(
    ours: Mapping[str, float], theirs: Mapping[str, float], metrics: Collection[str] | None = None, plugins: Plugins = (),
    strict: bool = False,
) -> str:  # fmt: skip
    """The first fact that both have and that differs, with its two values; "" if there is none.

    Args:
        ours, theirs: as :func:`facts_of` gives them.
        metrics: plugins whose facts matter; None for all.
        plugins: ``--plugin`` files.
        strict: leave no room for instruments that each machine trains, whose values are to be compared.
    """
    found = known(plugins)
    for name in sorted(ours.keys() & theirs.keys()):
        tolerance = FACT_TOLERANCE if strict else found.tolerances.get(name, FACT_TOLERANCE)
        close = math.isclose(ours[name], theirs[name], rel_tol=tolerance, abs_tol=FACT_TOLERANCE / 10)
        if not close and (metrics is None or found.metrics[name] in metrics):
            return f"{name} ({ours[name]:.6g} and {theirs[name]:.6g})"
    return ""


def table_of(row: Mapping[str, str]) -> str:
    """The table that a row belongs to (:func:`benchmark.results.result.table_name`), from its runs' names."""
    return row["run_ids"].partition(f"-{row['algorithm']}-{row['preset']}-s")[0]


def problem_of(row: Mapping[str, str]) -> Problem:
    """The problem of a row's runs."""
    words = table_of(row).split("-")[1:]  # no dataset's name has a dash
    return next((problem for name, problem in PROBLEMS.items() if name in words), PROBLEMS["synthesis"])


def is_reference(row: Mapping[str, str]) -> bool:
    """Whether a row is a topline or a floor, which needs no references."""
    return row["algorithm"] in problem_of(row).references


def role_of(row: Mapping[str, str], plugins: Plugins = ()) -> str:
    """The role of a row's algorithm, "topline" or "floor"; "" for a method, and for one whose plugin is not found."""
    from benchmark.plugins import fit

    try:
        return fit.role(row["algorithm"], plugins)
    except BenchmarkError:  # it comes from a plugin file that was not given
        return ""


def lacking_references(rows: Sequence[Mapping[str, str]], row: Mapping[str, str]) -> list[str]:
    """Toplines and floors of a row's preset, backbone and vocoder that a table lacks, or has with too few seeds to be citable."""
    found = {other["algorithm"] for other in rows if other["status"] == "ok" and all(other[name] == row[name] for name in SETTING)}
    return [name for name in problem_of(row).references if name not in found]


def conflict(row: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What prevents two rows from sharing a table; "" if nothing does.

    Compares versions of the metrics that both have, and facts only within a preset: presets may size the recogniser differently.

    Raises:
        BenchmarkError: a cell was changed by hand.
    """
    if table_of(row) != table_of(other):
        return f"dataset, problem or task ({table_of(row)} and {table_of(other)})"
    for name in ("data_version", "manifest_hash", "protocol_version", *FIRST_EDITION):
        if row[name] != other[name]:
            return f"{name} ({row[name]} and {other[name]})"
    versions, others = (dict(pair.partition("=")[::2] for pair in each["metric_versions"].split()) for each in (row, other))
    for name in sorted(versions.keys() & others.keys()):
        if versions[name] != others[name]:
            return f"the version of {name} ({versions[name]} and {others[name]})"
    return differing_fact(_facts_in(row), _facts_in(other)) if row["preset"] == other["preset"] else ""


def _facts_in(row: Mapping[str, str]) -> dict[str, float]:
    pairs = (pair.partition("=")[::2] for pair in row["facts"].split())
    try:
        return {name: float(value) for name, value in pairs if name in known().constants}
    except ValueError as error:
        raise BenchmarkError(f"The row of {row['algorithm']} holds facts {row['facts']!r}, which are not numbers; restore it.") from error
