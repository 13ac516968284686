"""Compare runs of two or more algorithms: paired differences, tests corrected for their number, and a verdict.

Takes run folders, or names of algorithms that have rows in a leaderboard. Runs that differ in the seed alone are pooled.
Tests are between speakers (sign-flip permutation), corrected for the number of comparisons shown (Holm).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.comparison import Contender, Line

DEFAULT, TABLE = "gap_closed", "speechocean762"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="+", metavar="RUN|ALGORITHM", help="run folders, or algorithms of --table")
    parser.add_argument("--metrics", default=DEFAULT, metavar="A,B", help=f"columns to compare (default: {DEFAULT})")
    parser.add_argument("--shots", type=int, metavar="N", help="only at so many support utterances")
    parser.add_argument("--steps", metavar="N|curve", help="only at so many adaptation steps, or over the whole curve")
    parser.add_argument("--table", default=TABLE, metavar="TABLE", help=f"leaderboard to find algorithms in (default: {TABLE})")
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="where else runs lie (default: runs)")


def run(args: argparse.Namespace) -> int:
    """Print the comparisons and what they say."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from benchmark import comparison
    from benchmark.errors import UsageError

    folders = [folder for name in args.runs for folder in _folders(name, args.table, args.output)]
    chosen = comparison.contenders(folders)
    metrics = _senses(chosen[0].results[0], [name.strip() for name in args.metrics.split(",") if name.strip()], args.plugin)
    if args.steps not in (None, "curve") and not args.steps.isdecimal():
        raise UsageError(f"--steps must be a number or 'curve', not '{args.steps}'.")
    steps = None if args.steps is None else comparison.CURVE if args.steps == "curve" else int(args.steps)
    lines = comparison.compare_all(chosen, metrics, args.shots, steps)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, side in (
        ("first", "left"), ("second", "left"), ("metric", "left"), ("shots", "right"), ("steps", "right"),
        ("first - second", "right"), ("P(first better)", "right"), ("effect d", "right"), ("p (Holm)", "right"), ("better", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for line in lines:
        difference, better = line.found.difference, line.found.better
        table.add_row(
            line.first, line.second, line.metric, str(line.shots), "curve" if line.steps == comparison.CURVE else str(line.steps),
            f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]", f"{better.mean:.2f}",
            f"{line.found.effect:+.2f}", f"{line.p:.4f}", line.better or "-",
        )  # fmt: skip
    console = Console(soft_wrap=True)
    console.print(table, crop=False)
    for sentence in comparison.verdicts(lines):
        console.print(sentence, highlight=False, markup=False)
    if len(chosen) > 2:
        _print_rankings(console, chosen, lines, metrics)
    return 0


def _print_rankings(console: Console, chosen: Sequence[Contender], lines: Sequence[Line], metrics: Mapping[str, bool]) -> None:
    from itertools import groupby

    from benchmark import comparison

    places = sorted(lines, key=lambda line: (line.metric, line.shots, line.steps == comparison.CURVE, line.steps))
    pairs = len(chosen) * (len(chosen) - 1) // 2
    for (metric, _, _), group in groupby(places, key=lambda line: (line.metric, line.shots, line.steps)):
        here = list(group)
        if len(here) == pairs:
            groups = comparison.ranking(chosen, here, metrics[metric])
            text = " > ".join(" = ".join(names) for names in groups)
            console.print(f"{metric}, {comparison.place(here[0])}: {text}", highlight=False, markup=False)


def _folders(name: str, table: str, output: Path) -> list[Path]:
    """The run folder of that path, or those behind an algorithm's rows."""
    from benchmark import leaderboard
    from benchmark.commands.leaderboard import table_files
    from benchmark.errors import UsageError
    from benchmark.registry import normalise, suggest

    if Path(name).is_dir():
        return [Path(name)]
    (path,) = table_files(table)
    rows = leaderboard.read(path)
    found = [run_id for row in rows if row["algorithm"] == normalise(name) for run_id in row["run_ids"].split()]
    if not found:
        hint = suggest(name, {row["algorithm"] for row in rows})
        raise UsageError(f"There is no run folder {name}, and no such algorithm in {path}{hint}")
    folders = []
    for run_id in dict.fromkeys(found):
        places = [place / run_id for place in (path.parent / leaderboard.RUNS, output) if (place / run_id).is_dir()]
        if not places:
            raise UsageError(f"{run_id}, which the row of {name} was made from, is not in {output}; say where with --output.")
        folders.append(places[0])
    return folders


def _senses(result: Mapping[str, Any], columns: Sequence[str], plugins: Sequence[str]) -> dict[str, bool]:
    """Whether higher is better, for each wanted column of a run's metrics."""
    from benchmark import registry
    from benchmark.errors import UsageError

    known: dict[str, bool] = {}
    for name in result["metric_versions"]:
        known |= registry.load("metric", name, plugins).higher_is_better
    for column in columns:
        if column not in known:
            raise UsageError(f"There is no metric {column!r} in these runs{registry.suggest(column, known)}")
    return {column: known[column] for column in columns}
