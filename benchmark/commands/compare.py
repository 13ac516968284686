"""Compare runs of two or more algorithms: paired differences, corrected tests, and a verdict.

Takes run folders, or algorithms that have rows in a leaderboard (a committed one, or the one of your own runs). If an algorithm has
several configurations, name one as ``leaderboard show`` prints it: ``reptile:d37ca7c2``. Runs that differ only in the seed are pooled.
Tests are between speakers (sign-flip permutation), corrected for the number of comparisons (Holm).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.commands._options import directory, name_or_place, run_folder, whole

Rows = list[dict[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="+", type=name_or_place, metavar="RUN|ALGORITHM",
                        help="run folders, or algorithms that have rows in a leaderboard")  # fmt: skip
    parser.add_argument("--metrics", default="", metavar="A,B",
                        help="columns of metrics or costs to compare (default: gap_closed; for recognition, cer)")  # fmt: skip
    parser.add_argument("--shots", type=whole, metavar="N", help="only at N support utterances")
    parser.add_argument("--steps", metavar="N|curve", help="only at N adaptation steps, or over the whole curve")
    parser.add_argument("--table", type=name_or_place, metavar="TABLE", help="leaderboard with the algorithms, by dataset or path "
                        "(default: the one that has all of them; committed ones before those in --output)")  # fmt: skip
    parser.add_argument("--format", choices=("table", "csv", "json", "latex"), default="table",
                        help="(default: table); of csv, notes go to standard error")  # fmt: skip
    parser.add_argument("--output", type=directory, default=Path("runs"), metavar="DIR", help="another folder with runs (default: runs)")


def run(args: argparse.Namespace) -> int:
    """Print the comparisons and the verdicts."""
    from itertools import combinations

    from benchmark.errors import UsageError
    from benchmark.plumbing.words import listed
    from benchmark.results import comparison, comparison_table, verdicts
    from benchmark.results.costs import COSTS
    from benchmark.results.ranking import rankings
    from benchmark.results.result import old_note

    if args.steps not in (None, "curve") and not re.fullmatch("[0-9]{1,10}", args.steps):
        raise UsageError(f"--steps must be a number or 'curve', not '{args.steps}'.")
    steps = None if args.steps is None else comparison.CURVE if args.steps == "curve" else int(args.steps)
    columns = named(args.metrics)
    if args.metrics and not columns:
        raise UsageError("--metrics names no column; try gap_closed, or mcd,per.")
    if steps == comparison.CURVE and (costs := [name for name in columns if name in COSTS]):
        raise UsageError(f"{listed(costs)} can't be compared over a curve, because more steps cost more; name a number for --steps.")
    folders, tables = _folders(args.runs, args.table, args.output, columns)
    metrics, scorers = _senses(folders, columns, args.plugin)
    chosen = comparison.contenders(folders, scorers, args.plugin)
    if any(metric in COSTS for metric in metrics):
        chosen = comparison.and_costs(chosen)
    lines = comparison.compare_all(chosen, metrics, args.shots, steps)
    scores = [metric for metric in metrics if metric not in COSTS]
    notes = (
        verdicts.disagreement_note(lines), verdicts.failures_note(chosen, scores, args.shots, steps),
        verdicts.seeds_note(chosen, lines), verdicts.power_note(lines), verdicts.curve_note(chosen, metrics, args.shots, steps),
        verdicts.budget_note(chosen), verdicts.limited_note(chosen), verdicts.wall_time_note(metrics),
        old_note([result for one in chosen for result in one.results]),
    )  # fmt: skip
    compared = {(line.first, line.second, line.metric) for line in lines}
    apart = [
        comparison.apart([one, other], missing, args.shots, steps) for one, other in combinations(chosen, 2)
        if (missing := [metric for metric in metrics if (one.name, other.name, metric) not in compared])
    ]  # fmt: skip
    told = comparison_table.Compared(
        chosen[0].results[0]["dataset"], metrics, lines, [*verdicts.verdicts(lines), *filter(None, notes), *apart],
        list(rankings(chosen, lines, metrics)) if len(chosen) > 2 else [],
    )  # fmt: skip
    if tables:
        print(f"Algorithms from their rows in {', '.join(map(str, tables))}.", file=sys.stdout if args.format == "table" else sys.stderr)
    print(told.text(args.format))
    if args.format == "csv":
        print("\n".join([*told.sentences, *told.rankings]), file=sys.stderr)
    return 0


def named(metrics: str) -> list[str]:
    """The columns that ``--metrics`` names."""
    return [name.strip() for name in metrics.split(",") if name.strip()]


def _folders(wanted: Sequence[str], table: str | None, output: Path, columns: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The run folders with these paths, and those behind the rows of these algorithms; and the tables that have the rows."""
    from benchmark.errors import UsageError
    from benchmark.results.leaderboard import run_folder as behind
    from benchmark.results.result import read_result, table_name

    wanted = [str(run_folder(Path(name), output)) for name in wanted]
    given = [Path(name) for name in wanted if Path(name).is_dir()]
    names = [name for name in wanted if not Path(name).is_dir()]
    if table is None and given and names:
        table = table_name(read_result(given[0]))
    found = _find(names, _tables(table, output, names[0])) if names else {}
    folders = []
    for name in wanted:
        if name not in found:
            folders.append(Path(name))
            continue
        path, rows = found[name]
        for run_id in dict.fromkeys(run_id for row in _one_configuration(name, path, rows, columns) for run_id in row["run_ids"].split()):
            folder = behind(path, run_id, [output])
            if folder is None:
                raise UsageError(f"{run_id}, which a row of {name} in {path} was made from, is not in {output}; say where with --output.")
            folders.append(folder)
    return folders, list(dict.fromkeys(path for path, _ in found.values()))


def _tables(wanted: str | None, output: Path, name: str) -> list[Path]:
    """Where to look for algorithms: the table with this path, or the committed tables and those in ``output``."""
    from benchmark.commands.leaderboard import table_files
    from benchmark.errors import UsageError
    from benchmark.plugins.registry import normalise, suggest

    if wanted and ("/" in wanted or wanted.endswith(".csv") or Path(wanted).is_file()):
        return table_files(wanted)
    every = sorted(output.glob("*.csv"))
    with suppress(UsageError):
        every = [*table_files(None), *every]
    if not every:
        raise UsageError(f"There is no run folder {name}, and no leaderboard to find it in; say where with --table or --output.")
    found = [path for path in every if wanted is None or normalise(path.stem) == normalise(wanted)]
    if not found:
        known = suggest(str(wanted), sorted({path.stem for path in every}))
        raise UsageError(f"There is no leaderboard of '{wanted}'{known} For your own runs elsewhere, name the CSV file or --output DIR.")
    return found


def _find(names: Sequence[str], tables: Sequence[Path]) -> dict[str, tuple[Path, Rows]]:
    """Each name's rows, and their table: one that has all the names, or else a committed one and its namesake in ``--output``."""
    from benchmark.errors import BenchmarkError, UsageError
    from benchmark.plugins.registry import suggest
    from benchmark.plumbing.words import listed
    from benchmark.results import leaderboard_file

    boards: dict[Path, Rows] = {}
    damaged: list[BenchmarkError] = []
    for path in tables:
        try:
            boards[path] = leaderboard_file.read(path)
        except BenchmarkError as error:
            damaged.append(error)
    whole: dict[str, dict[str, tuple[Path, Rows]]] = {}
    for group in [*([path] for path in boards), *([path for path in boards if path.stem == one.stem] for one in boards)]:
        found = {name: (path, rows) for name in names for path in reversed(group) if (rows := _rows(boards[path], name))}
        if len(found) == len(set(names)):
            whole.setdefault(group[0].stem, found)
    if len(whole) > 1:
        raise UsageError(f"{listed(whole)} have rows of {listed(names)}; say which with --table.")
    if whole:
        return next(iter(whole.values()))
    if damaged:
        raise damaged[0]
    places = f"the tables {listed(sorted({path.stem for path in boards}))}"  # their paths would make the sentence long
    for name in names:
        if not any(_rows(rows, name) for rows in boards.values()):
            hint = suggest(name, sorted({row["algorithm"] for rows in boards.values() for row in rows}))
            raise UsageError(f"There is no run folder {name}, and no such algorithm in {places} (--table names another){hint}")
    raise UsageError(f"No dataset has {', '.join(names)} together in {places}; say where with --table.")


def _rows(rows: Rows, name: str) -> Rows:
    """The rows of an algorithm, ``reptile``, or of one of its configurations, ``reptile:d37ca7c2``."""
    from benchmark.plugins.registry import normalise

    algorithm, _, options = name.partition(":")
    return [row for row in rows if row["algorithm"] == normalise(algorithm) and row["options"].startswith(options)]


def _one_configuration(name: str, path: Path, rows: Rows, columns: Sequence[str]) -> Rows:
    """The rows of the only configuration scored with all these metrics (the metric that ranks if there are none)."""
    from benchmark.errors import UsageError
    from benchmark.results.leaderboard_rules import problem_of
    from benchmark.results.leaderboard_table import configurations

    columns = columns or [problem_of(rows[0]).objective]
    kinds: dict[str, Rows] = {}
    for row in rows:
        kinds.setdefault(row["options"], []).append(row)
    scored = [own for own in kinds.values() if all(own[0].get(column) for column in columns)]
    if len(scored or kinds) > 1:
        raise UsageError(f"{name} has several configurations in {path}; name one of them: {' '.join(configurations(rows))}")
    return scored[0] if scored else rows


def _senses(folders: Sequence[Path], columns: Sequence[str], plugins: Sequence[str]) -> tuple[dict[str, bool], set[str]]:
    """For each wanted column (the one that ranks if none) whether higher is better; and the metrics that score them."""
    from benchmark import problems
    from benchmark.errors import UsageError
    from benchmark.plugins.registry import suggest
    from benchmark.results.columns import known
    from benchmark.results.costs import COSTS, PER_RUN
    from benchmark.results.result import read_result

    results = [read_result(folder) for folder in folders]
    found = known(plugins).of({name for result in results for name in result["metric_versions"]})
    columns = columns or [problems.get(results[0]["problem"]).objective]
    for column in columns:
        if column in PER_RUN:
            raise UsageError(f"{column} is one number for each run, so it can't be paired; 'leaderboard show --metrics {column}' shows it.")
        if column in found.rates:
            pairable = [name for name in found.of({found.metrics[column]}).columns if name not in found.rates]
            raise UsageError(f"{column} is a rate over all trials, so it can't be paired; compare {' or '.join(pairable)}.")
        if column not in (*found.columns, *COSTS):
            there = [*sorted(found.columns.keys() - found.rates), *(name for name in COSTS if name not in PER_RUN)]
            raise UsageError(f"There is no metric {column!r} in these runs{suggest(column, there)}")
    meanings = {**COSTS, **found.columns}
    return {column: meanings[column].higher_is_better for column in columns}, {found.metrics[each] for each in columns if each not in COSTS}
