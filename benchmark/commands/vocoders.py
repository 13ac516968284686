"""Compare vocoders: copy synthesis with each, in one table.

Each vocoder inverts the mels of the test speakers' recordings (the topline copy_synthesis), with the data, metrics and settings of
`run`. Complete runs are not repeated, and trained vocoders come from the cache. The table holds scores, real-time factor, size, and
what the vocoder's training cost. With --runs it is made of runs that are there, whose vocoders may have been trained differently.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmark.commands import run as single
from benchmark.commands import sweep
from benchmark.commands._options import place
from benchmark.errors import UsageError

ALGORITHM = "copy_synthesis"


def settings() -> type:
    """The settings of each run, given in YAML or on the command line."""
    return single.settings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the vocoders and the options of `run`."""
    parser.add_argument("--vocoders", metavar="A,B", help="vocoders to compare (default: all built-in ones)")
    parser.add_argument("--runs", nargs="+", type=place, metavar="RUN", help=f"make the table of these runs of {ALGORITHM}")
    parser.add_argument("-o", "--table", type=place, metavar="FILE", help="CSV file to write (default: DATASET-vocoders.csv in --output)")
    single.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do the runs that are not complete, print the table and write it, then print the failures."""
    if args.runs and args.settings:
        raise UsageError("--runs tabulates runs as they are, so it takes no settings.")
    if args.runs:
        from benchmark.results.runs_meant import run_folder

        return _tabulate(args, [run_folder(run, args.output) for run in args.runs])
    from benchmark.plugins import registry
    from benchmark.plumbing.files import check_place
    from benchmark.settings import tuned_values as tuning

    for option, instead in (("--algo", f"it is always {ALGORITHM}"), ("--vocoder", "name vocoders with --vocoders")):
        if any(word.partition("=")[0] == option for word in args.settings):
            raise UsageError(f"vocoders takes no {option}: {instead}.")
    built_in = [info.name for info in registry.find("vocoder", args.plugin).values() if info.origin == "built-in"]
    names = built_in if args.vocoders is None else sweep.names_in("vocoders", args.vocoders)
    grid = []
    for name in names:
        words = [*single.given(args), "--algo", ALGORITHM, "--vocoder", str(name)]
        parsed = tuning.parse(words, plugins=args.plugin, also=args.options)
        grid += parsed.seeded(args.seeds)

    if args.table:
        check_place(args.table)
    outcomes = sweep.done_for(args, grid)
    folders = [outcome.folder for outcome in outcomes if outcome.folder]
    if folders:
        _tabulate(args, folders)
    return sweep.say_failures(outcomes)


def _tabulate(args: argparse.Namespace, folders: Sequence[Path]) -> int:
    """Pool the runs that differ only in the seed, print the table and write it."""
    from benchmark.plumbing.files import write_text
    from benchmark.results.leaderboard_rules import options
    from benchmark.results.result import read_result, table_name
    from benchmark.results.vocoder_table import rows_of, to_csv, to_text

    groups: dict[tuple[str, str], list[Path]] = {}
    for folder in folders:
        result = read_result(folder)
        if result["algorithm"] != ALGORITHM:
            raise UsageError(f"{folder} is a run of {result['algorithm']}, not of {ALGORITHM}.")
        groups.setdefault((result["vocoder"], options(result)), []).append(folder)
    rows = rows_of(list(groups.values()))
    table = args.table or args.output / f"{table_name(result)}-vocoders.csv"
    write_text(table, to_csv(rows))
    print(f"\n{to_text(rows, args.plugin)}\nTable: {table}")
    return 0
