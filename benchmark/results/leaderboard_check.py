"""Check a leaderboard against its runs: its form, and its rows, computed again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.plumbing.progress import progress
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard import KEY, RUNS, compute_rows, order, run_folder
from benchmark.results.leaderboard_file import IDENTITY, PROVENANCE, lacking_columns, metrics_in, read
from benchmark.results.leaderboard_rules import MIN_SEEDS, SETTING, conflict, is_reference, lacking_references, marks_of, refuse

TOLERANCE = 6e-4
"""Relative or absolute: other versions of NumPy may round a bootstrap's fourth decimal the other way."""
LAST_DIGIT = 1.01e-4
"""The same for costs, which are plain means."""
CONFIGURATION = tuple(name for name in KEY if name not in ("shots", "steps"))


@dataclass
class Verification:
    """What was found.

    Attributes:
        problems: one sentence each.
        recomputed: rows that came out the same.
        old: those of them made from results of the old form, which carry no digests.
        unknown: rows whose runs are not at hand.
    """

    problems: list[str] = field(default_factory=list)
    recomputed: int = 0
    old: int = 0
    unknown: int = 0


def check(path: Path, places: Sequence[Path] = (), local: bool = False) -> Verification:
    """Check one table.

    Args:
        path: the CSV file.
        places: more folders that hold run folders; the table's folder and ``runs/`` in it are always searched.
        local: for a table of the user's runs: accept trials and limited ones, and rows that differ in versions.

    Raises:
        BenchmarkError: the table can't be read as a leaderboard at all.
    """
    report = Verification()
    rows = read(path)
    if not rows:
        report.problems.append(f"{path} has no rows.")
        return report
    _check_form(path, rows, report, local)
    if not local:
        _check_scale(path, rows, report)
        _check_runs(path, report)
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row["run_ids"], []).append(row)
    with progress(f"Computing {path.stem} again", len(groups)) as show:
        for number, (run_ids, members) in enumerate(groups.items()):
            show(number)
            _check_group(path, rows, run_ids.split(), members, places, report, local)
    return report


def _check_group(
    path: Path, rows: list[dict[str, str]], run_ids: list[str], members: list[dict[str, str]], places: Sequence[Path],
    report: Verification, local: bool,
) -> None:  # fmt: skip
    """Check the rows of the same runs."""
    if not run_ids:
        report.unknown += len(members)
        return
    folders = [run_folder(path, name, places) for name in run_ids]
    found = [folder for folder in folders if folder is not None]
    if len(found) < len(folders):
        report.unknown += len(members)
        if (path.parent / RUNS).is_dir():  # 'add' keeps them all there
            lost = run_ids[folders.index(None)]
            report.problems.append(f"{path} names the run {lost}, which is not in {path.parent / RUNS}; restore the run or the table.")
        return
    try:
        _recompute(path, rows, members, found, report, local)
    except BenchmarkError as error:
        report.problems.append(str(error))


def _check_form(path: Path, rows: list[dict[str, str]], report: Verification, local: bool) -> None:
    keys = [tuple(row[name] for name in KEY) for row in rows]
    metrics = metrics_in(rows)
    header = [*IDENTITY, *(f"{metric}{end}" for metric in metrics for end in ("", "_lo", "_hi", "_failed")), *COSTS, *PROVENANCE]
    if lacking := lacking_columns(path):
        report.problems.append(f"{path} lacks the column {', '.join(lacking)}; delete the file and add its runs again.")
    elif odd := [name for name in rows[0] if name not in header]:
        report.problems.append(f"{path} has the column {', '.join(odd)}, which no leaderboard has; restore the file.")
    elif list(rows[0]) != header:
        report.problems.append(f"{path} has its columns in another order than leaderboards have.")
    firsts = list({row["preset"]: row for row in reversed(rows)}.values())
    for number, row in enumerate(rows, 2):
        where = f"{path}, line {number}"
        low = {metric: (_number(row[f"{metric}_lo"]), _number(row[metric]), _number(row[f"{metric}_hi"])) for metric in metrics}
        seeds = int(row["seeds"] or 0)
        if number > 2 and order(rows[number - 3]) > order(row):
            report.problems.append(f"{where} is not in its place; the file was changed by hand.")
        if keys.index(keys[number - 2]) != number - 2:
            report.problems.append(f"{where} repeats the row of line {keys.index(keys[number - 2]) + 2}.")
        fits = [set() if seeds >= MIN_SEEDS else {"preliminary"}, *([{"limited"}, {"trial"}] if local else [])]
        if marks_of(row) - ({"uncommitted"} if local else set()) not in fits:
            report.problems.append(f"{where}: status {row['status']!r} does not fit {seeds} seed(s).")
        if len(row["run_ids"].split()) != seeds:
            report.problems.append(f"{where} names {len(row['run_ids'].split())} runs for {seeds} seed(s).")
        try:
            differing = [what for first in firsts if not local and (what := conflict(first, row))]
            report.problems += [f"{where} differs from other rows in {what}." for what in dict.fromkeys(differing)]
        except BenchmarkError as error:
            report.problems.append(f"{where}: {error}")
        for metric, (lowest, mean, highest) in low.items():
            if lowest > mean + TOLERANCE or mean > highest + TOLERANCE:
                report.problems.append(f"{where}: {metric} is outside its interval.")


def _check_scale(path: Path, rows: list[dict[str, str]], report: Verification) -> None:
    """Rows that may be cited need toplines and floors."""
    methods = [row for row in rows if row["status"] == "ok" and not is_reference(row)]
    for row in {tuple(row[name] for name in ("algorithm", *SETTING)): row for row in methods}.values():
        if lacking := lacking_references(rows, row):
            who = f"{row['algorithm']}, preset {row['preset']}"
            report.problems.append(f"{path}: {who}, may be cited, but lacks three seeds of {', '.join(lacking)} for scale.")


def _check_runs(path: Path, report: Verification) -> None:
    """Report runs kept beside the tables that no table has a row of: deleted rows leave them behind."""
    tables = "".join(table.read_text(encoding="utf-8", errors="replace") for table in sorted(path.parent.glob("*.csv")))
    idle = sorted(folder.name for folder in (path.parent / RUNS).glob("*") if folder.is_dir() and folder.name not in tables)
    if mine := [name for name in idle if _table_of(path.parent / RUNS / name) == path.stem]:
        more = f" and {len(mine) - 1} more" * (len(mine) > 1)
        report.problems.append(f"{path} has no row of {mine[0]}{more}, kept in {path.parent / RUNS}; restore the rows, or delete the runs.")


def _table_of(folder: Path) -> str:
    from benchmark.results.result import read_result, table_name

    try:
        return table_name(read_result(folder))
    except BenchmarkError:  # damaged, and no row reports it; its name begins with the dataset's
        return folder.name.partition("-")[0]


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


def _recompute(
    path: Path, rows: list[dict[str, str]], members: list[dict[str, str]], folders: list[Path], report: Verification, local: bool
) -> None:
    from benchmark.results.result import is_old, read_result

    results = [read_result(folder) for folder in folders]
    refuse(folders, results, preliminary=True, local=local)
    again = {(row["shots"], row["steps"]): row for row in compute_rows(folders, results)}
    inexact = {name for metric in metrics_in(members) for name in (metric, f"{metric}_lo", f"{metric}_hi")}
    # Runs of another grid may have replaced some of the rows since.
    there = {(row["shots"], row["steps"]) for row in rows if all(row[name] == members[0][name] for name in CONFIGURATION)}
    report.problems += [
        f"{path} lacks the row of {members[0]['algorithm']} at {shots} shots and {steps} steps, which its runs have."
        for shots, steps in sorted(again.keys() - there)
    ]
    for row in members:
        name = f"{path}, the row of {row['algorithm']} at {row['shots']} shots and {row['steps']} steps"
        fresh = again.get((row["shots"], row["steps"]))
        if fresh is None:
            report.problems.append(f"{name}: its runs have no such shots and steps.")
            continue
        wrong = [
            name for name in dict.fromkeys([*row, *fresh])
            if not _same(row.get(name, ""), fresh.get(name, ""), TOLERANCE if name in inexact else LAST_DIGIT if name in COSTS else 0)
        ]  # fmt: skip
        for column in wrong:
            report.problems.append(f"{name}: {column} is {row.get(column, '')!r}, its runs give {fresh.get(column, '')!r}.")
        report.recomputed += not wrong
        report.old += not wrong and any(map(is_old, results))


def _same(cell: str, fresh: str, tolerance: float) -> bool:
    """Whether cells are equal, or nearly so if numbers: another machine may round differently."""
    if cell == fresh or not (tolerance and cell and fresh):
        return cell == fresh
    return math.isclose(float(cell), float(fresh), rel_tol=tolerance, abs_tol=tolerance)
