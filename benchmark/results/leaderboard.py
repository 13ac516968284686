"""Leaderboards: CSV files with one row per algorithm x shots x steps, made from runs alone."""

from __future__ import annotations

import csv
import io
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import write_atomic, write_text
from benchmark.plumbing.locks import locked
from benchmark.problems import PROBLEMS
from benchmark.results.costs import COSTS
from benchmark.results.episode_tables import COSTS_FILE, EPISODES_FILE
from benchmark.results.leaderboard_file import PROVENANCE, read, run_ids, wrong_cell
from benchmark.results.leaderboard_rules import (
    ASSUMED,
    FIRST_EDITION,
    MIN_SEEDS,
    SEED,
    conflict,
    differing,
    facts_of,
    is_reference,
    is_uncommitted,
    lacking_references,
    options,
    refuse,
)
from benchmark.settings.config import said
from benchmark.settings.trial import is_trial

RUNS = "runs"
"""The folder beside the tables that keeps, for each run behind a row, the files that the row is computed from."""
KEY = ("algorithm", "backbone", "vocoder", "device", "precision", "preset", "options", "shots", "steps")


def by_method(folders: Sequence[Path]) -> list[list[Path]]:
    """Run folders of one table in groups that differ in the seed alone; toplines and floors first, because a method's rows need theirs.

    Raises:
        BenchmarkError: they belong to several tables, or one can't be read.
    """
    from benchmark.results.result import read_result, table_name

    groups: dict[tuple[bool, tuple[str, ...]], list[Path]] = {}
    tables: dict[str, Path] = {}
    for folder in folders:
        result = read_result(folder)
        tables.setdefault(table_name(result), folder)
        method = result["algorithm"] not in PROBLEMS[result["problem"]].references
        same = (*(result[name] for name in ("algorithm", "backbone", "vocoder", "preset")), options(result))
        groups.setdefault((method, same), []).append(folder)
    if len(tables) > 1:
        each = " and ".join(f"{folder.name} to {name}" for name, folder in sorted(tables.items()))
        raise BenchmarkError(f"These runs belong to several tables, {each}; add those of one table at a time.")
    return [groups[key] for key in sorted(groups)]


def add(folders: Sequence[Path], path: Path, preliminary: bool = False, local: bool = False) -> list[dict[str, str]]:
    """Pool the runs (seeds of one algorithm and configuration) into rows, and put them into the CSV file.

    Args:
        folders: run folders.
        path: the leaderboard; made if absent. Rows with the same key are replaced, unless one of their seeds would be lost.
        preliminary: accept fewer than three seeds; the rows' status then says so.
        local: for a table of the user's runs: accept limited and dirty runs too, and mark them.

    Unless ``local``, the files behind the rows are copied to ``runs/<run_id>/`` beside the table, so that anyone can compute
    the rows again.

    Returns:
        The new rows; of a ``local`` table without those that it has from more seeds.

    Raises:
        BenchmarkError: a run is refused; says which, and why.
    """
    from benchmark.results.result import old_note, read_result

    results = [read_result(folder) for folder in folders]
    refuse(folders, results, preliminary, local)
    with locked(path.with_name(f".{path.name}.lock"), f"Waiting for another process that writes {path}."):
        old = _read_or_set_aside(path, local) if path.exists() else []
        if local:
            # Rows whose run folders were deleted go too; seeds that were run one at a time are pooled.
            old = [row for row in old if all(run_folder(path, run_id) for run_id in row["run_ids"].split())]
            found = _other_seeds(results, old, path) | dict(zip(folders, results, strict=True))
            folders = sorted(found, key=lambda folder: found[folder]["seed"])
            results = [found[folder] for folder in folders]
        new = compute_rows(folders, results)
        if wrong := next(filter(None, map(wrong_cell, new)), ""):
            raise BenchmarkError(f"{folders[0].name} can't stand in a table: {wrong}; choose another value, and run it again.")
        if local:
            new = [row for row in new if not _outdone(row, results[0], old, path)]
        keys = {_key(row) for row in new}
        kept, replaced = ([row for row in old if (_key(row) in keys) == gone] for gone in (False, True))
        rows = sorted(kept + new, key=order)
        if not local:
            _refuse_rows(folders[0], results, new[0], kept, replaced, path)
            _keep(folders, path.parent / RUNS)
        names = [*dict.fromkeys(name for row in rows for name in row if name not in (*COSTS, *PROVENANCE)), *COSTS, *PROVENANCE]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, buffer.getvalue())
    if note := old_note(results):
        print(f"Note: {note}", file=sys.stderr)
    return new


def _refuse_rows(
    folder: Path, results: Sequence[dict[str, Any]], first: dict[str, str], kept: Sequence[dict[str, str]],
    replaced: Sequence[dict[str, str]], path: Path,
) -> None:  # fmt: skip
    """Refuse rows, of which ``first`` is one, that can't stand beside ``kept`` or have fewer seeds than ``replaced``."""
    for row in kept:
        if what := conflict(row, first):
            raise BenchmarkError(
                f"{folder.name} can't stand in {path}: it differs from the row of {row['algorithm']} in {what}; "
                "run the older one again, and keep the new rows in a separate table (--table) until all are run again."
            )
    if first["status"] == "ok" and not is_reference(first) and (lacking := lacking_references(kept, first)):
        raise BenchmarkError(
            f"{path} lacks {', '.join(lacking)} with {MIN_SEEDS} seeds (preset {first['preset']}), without which the rows of "
            f"{first['algorithm']} have no scale; add those toplines and floors first."
        )
    seeds = {result["seed"] for result in results}
    for name in run_ids(replaced):
        had = SEED.search(name)
        if had and int(had[1]) not in seeds:
            raise BenchmarkError(f"{path} has {first['algorithm']} with seed {had[1]} too ({name}); name a run of that seed as well.")


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def training_tflops(results: Sequence[Mapping[str, Any]]) -> float:
    """Compute of an algorithm's own training in TFLOP, mean over runs."""
    return float(sum(result["training"]["flops"] for result in results)) / len(results) / 1e12


def _other_seeds(results: Sequence[dict[str, Any]], rows: Sequence[dict[str, str]], path: Path) -> dict[Path, dict[str, Any]]:
    """Runs behind the table's rows that add seeds to ``results``, and the runs' results."""
    from benchmark.results.result import read_result

    first, seeds, found = results[0], {result["seed"] for result in results}, {}
    for run_id in run_ids(row for row in rows if row["options"] == options(first)):
        folder = run_folder(path, run_id)
        with suppress(BenchmarkError):  # damage is reported when that run is named
            if folder is not None and (result := read_result(folder))["seed"] not in seeds and not differing(result, first):
                seeds.add(result["seed"])
                found[folder] = result
    return found


def _outdone(row: dict[str, str], result: Mapping[str, Any], rows: Sequence[dict[str, str]], path: Path) -> bool:
    """Whether the table has the row already, from runs of more seeds that differ from this one's in the grid at most."""
    from benchmark.results.result import read_result

    for old in rows:
        if _key(old) == _key(row) and int(old["seeds"]) > int(row["seeds"]):
            with suppress(BenchmarkError):
                folders = [run_folder(path, run_id) for run_id in old["run_ids"].split()]
                return all(folder and differing(read_result(folder), result) in ("", "shots", "steps") for folder in folders)
    return False


def _read_or_set_aside(path: Path, local: bool) -> list[dict[str, str]]:
    """The rows; a ``local`` table that is damaged or that another version wrote is set aside, so that it can't block a finished run."""
    try:
        if rows := read(path):
            return rows
        raise BenchmarkError(f"{path} has lost its rows; restore the file.")
    except BenchmarkError as error:
        if not local:
            raise
        aside = path.with_suffix(".csv.old")
        path.replace(aside)
        print(f"{error} It is kept as {aside}; a new table is begun.", file=sys.stderr)
        return []


def order(row: dict[str, str]) -> tuple[object, ...]:
    """Where a row stands in its table: citable rows come first."""
    return row["status"] != "ok", row["algorithm"], row["options"], row["preset"], int(row["shots"]), int(row["steps"])


def _keep(folders: Sequence[Path], place: Path) -> None:
    for folder in folders:
        for name in ("result.json", EPISODES_FILE, COSTS_FILE):
            target = place / folder.name / name
            if target.resolve() != (folder / name).resolve():
                write_atomic(target, partial(shutil.copyfile, folder / name))  # byte for byte: the result holds their digests


def compute_rows(folders: Sequence[Path], results: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows of runs that differ only in seed, shots and steps, from their ``episodes.csv`` and ``costs.csv``."""
    import pandas as pd

    from benchmark.results.episode_tables import adapted, metric_columns
    from benchmark.results.result import read_tables
    from benchmark.results.statistics import summarise

    tables = [read_tables(folder, result) for folder, result in zip(folders, results, strict=True)]
    runs = [episodes for episodes, _ in tables]
    # Runs of one seed have the same numbers where their grids overlap.
    episodes = pd.concat(runs, ignore_index=True).drop_duplicates()
    costs = pd.concat([costs for _, costs in tables], ignore_index=True)
    places = [set(zip(run["shots"], run["steps"], strict=True)) for run in runs]
    first = results[0]
    algo = {name: value for name, value in first["config"]["algo"].items() if name != "name"}
    algo |= {name: first["config"][name] for name in ("adapt_vocoder",) if name in first["config"]}
    uncommitted = any(map(is_uncommitted, results))
    rows = []
    for (shots, steps), frame in episodes.groupby(["shots", "steps"], sort=True):
        seeds = frame["seed"].nunique()
        reasons = {"trial": is_trial(first["config"]), "limited": first["limited"], "preliminary": seeds < MIN_SEEDS}
        marks = [mark for mark, holds in reasons.items() if holds][:1]
        status = "+".join([*marks, *(["uncommitted"] if uncommitted else [])]) or "ok"
        row = {name: str(first[name]) for name in ("algorithm", "backbone", "vocoder", "preset")}
        row |= {
            "status": status, "shots": str(shots), "steps": str(steps), "seeds": str(seeds),
            "speakers": str(frame["speaker"].nunique()), "episodes": str(len(frame[["speaker", "episode"]].drop_duplicates())),
        }  # fmt: skip
        for column, value in summarise(frame, metric_columns(list(runs[0].columns.drop("seed")))).items():
            row |= {
                column: _cell(value.mean),
                f"{column}_lo": _cell(value.low),
                f"{column}_hi": _cell(value.high),
                f"{column}_failed": str(value.failed),
            }
        cost, counted = costs[(costs["shots"] == shots) & (costs["steps"] == steps)], adapted(frame)
        row |= {
            "seconds_to_adapt": _cell(float(cost["seconds_to_adapt"].mean())),
            "peak_memory_mb": _cell(float(cost["peak_memory_bytes"].max()) / 1e6),
            "real_time_factor": _cell(float(cost["real_time_factor"].mean())),
            "flops_to_adapt": "" if counted.empty else f"{counted['flops'].mean():.4g}",
            "stored_parameters": "" if counted.empty else str(counted["stored_parameters"].max()),
            "training_tflops": _cell(training_tflops(results)),
            "synthetic": str(first["synthetic"]).lower(), "settings": said(algo), "tuned": _tuned(first),
            "options": options(first), "data_version": first["data_version"],
            "manifest_hash": first["manifest_hash"], "protocol_version": first["protocol_version"],
            "metric_versions": " ".join(f"{name}={version}" for name, version in sorted(first["metric_versions"].items())),
            "facts": " ".join(f"{name}={value:.6g}" for name, value in facts_of(first).items()),
            "run_ids": " ".join(folder.name for folder, own in zip(folders, places, strict=True) if (shots, steps) in own),
            **{name: first[name] for name in FIRST_EDITION},
            "benchmark_version": " ".join(sorted({result.get("benchmark_version") or ASSUMED["benchmark_version"] for result in results})),
        }  # fmt: skip
        rows.append(row)
    return rows


def _tuned(result: dict[str, Any]) -> str:
    """What was tuned, with how many trials, and by which task and on which corpus if these are others than the run's."""
    if not (tuned := result.get("tuned")):
        return ""
    by = f" by {other}" if (other := tuned.get("task")) else ""
    where = f" on {other}" if (other := tuned.get("dataset")) else ""
    return f"{said(tuned['values'])} ({tuned['trials']} trials{by}{where})"


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def add_own(groups: Sequence[Sequence[Path]], output: Path) -> Path:
    """Put one's own runs of one dataset, problem and task into their table in ``output``; runs of a group differ only in the seed.

    Returns:
        the table's path.
    """
    from benchmark.results.result import read_result, table_name

    path = output / f"{table_name(read_result(groups[0][0]))}.csv"
    for folders in groups:
        add(folders, path, preliminary=True, local=True)
    return path


def run_folder(path: Path, run_id: str, places: Sequence[Path] = ()) -> Path | None:
    """The folder of a run behind a row: in ``runs/`` beside its table, beside the table itself, or in one of ``places``."""
    return next((place / run_id for place in (path.parent / RUNS, path.parent, *places) if (place / run_id).is_dir()), None)
