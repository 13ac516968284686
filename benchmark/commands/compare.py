"""Compare runs of two or more algorithms: paired differences, corrected tests, and a verdict.

Takes run folders, or algorithms that have rows in a leaderboard (a committed one, or the one of your own runs). If an algorithm has
several configurations, its name means the most tuned one; name another as ``leaderboard show`` prints it: ``reptile:d37ca7c2``. Runs
that differ only in the seed are pooled. Tests are between speakers (sign-flip permutation), corrected for the number of comparisons
(Holm).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands._options import columns, directory, name_or_place, whole

if TYPE_CHECKING:
    from benchmark.results.comparison_table import Compared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="+", type=name_or_place, metavar="RUN|ALGORITHM",
                        help="run folders, or algorithms that have rows in a leaderboard")  # fmt: skip
    parser.add_argument("--metrics", type=columns, default=[], metavar="A,B",
                        help="columns of metrics or costs to compare (default: gap_closed; for recognition, cer)")  # fmt: skip
    parser.add_argument("--shots", type=whole, metavar="N", help="only at N support utterances")
    parser.add_argument("--steps", type=_steps, metavar="N|curve", help="only at N adaptation steps, or over the whole curve")
    parser.add_argument("--table", type=name_or_place, metavar="TABLE", help="leaderboard with the algorithms, by dataset or path "
                        "(default: the one that has all of them; committed ones before those in --output)")  # fmt: skip
    parser.add_argument("--format", choices=("table", "csv", "json", "latex"), default="table",
                        help="(default: table); of csv, notes go to standard error")  # fmt: skip
    parser.add_argument("--output", type=directory, default=Path("runs"), metavar="DIR", help="another folder with runs (default: runs)")


def run(args: argparse.Namespace) -> int:
    """Print the comparisons and the verdicts."""
    told = comparison(args)
    if told.tables:
        where = f"Algorithms from their rows in {', '.join(map(str, told.tables))}."
        print(where, file=sys.stdout if args.format == "table" else sys.stderr)
    print(told.text(args.format))
    if args.format == "csv":
        print("\n".join([*told.sentences, *told.rankings, *told.disagreements]), file=sys.stderr)
    return 0


def comparison(args: argparse.Namespace) -> Compared:
    """What the options ask for."""
    from benchmark.results.comparing import compared
    from benchmark.results.comparison import CURVE

    steps = CURVE if args.steps == "curve" else args.steps
    return compared(args.runs, args.metrics, args.shots, steps, args.table, args.output, args.plugin)


def _steps(text: str) -> int | str:
    if text == "curve":
        return text
    try:
        return whole(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"must be a number or 'curve', not '{text}'") from error
