"""Show a leaderboard, choose the best method, cite rows, add runs, verify them, or explain the columns.

``leaderboard show [TABLE]`` prints a table, named by its dataset or by the path of a CSV file; without TABLE, all tables.
``leaderboard best [TABLE] --shots 5 --budget 5s`` names the best method with so many sentences and so much time for adaptation.
``leaderboard cite TABLE ALGORITHM`` prints BibTeX for rows that may be cited.
``leaderboard add RUN...`` pools the folders of each algorithm's seeds into rows of their table. A table is named after its
dataset, and also its problem and task if these are not synthesis and speaker (``espeak-recognition``, ``vctk-style``).
``leaderboard verify [TABLE]`` checks every table's form and recomputes its rows from the runs kept beside it.
``leaderboard card TABLE`` prints the table's card, ``leaderboards/TABLE.md``, for a hub of data sets.
``leaderboard speech TABLE`` puts a few examples of speech beside a table, for ``report --table TABLE``.
``leaderboard columns`` prints what metrics' columns mean, in Markdown, as in ``leaderboards/README.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmark.commands._options import columns, directory, duration, name_or_place, place, positive, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="show|best|power|cite|add|verify|card|speech|columns", required=True)
    show = actions.add_parser("show", help="print leaderboards")
    show.add_argument("table", nargs="?", type=name_or_place, metavar="TABLE",
                      help="a table, espeak or espeak-recognition, or a CSV file (default: all)")  # fmt: skip
    show.add_argument("--shots", type=whole, metavar="N", help="only rows with N support utterances")
    show.add_argument("--steps", type=whole, metavar="N", help="only rows with N adaptation steps")
    show.add_argument("--metrics", type=columns, metavar="A,B", default=[],
                      help="columns of metrics or costs, or all (default: those that fit a terminal)")  # fmt: skip
    show.add_argument("--where", metavar="CONDITION", action="append", default=[],
                      help="only rows that meet it, 'seconds_to_adapt<=5', on any column; may be repeated")  # fmt: skip
    show.add_argument("--format", choices=("table", "md", "csv", "latex"), default="table", help="(default: table)")
    show.add_argument("--sort", metavar="COLUMN", default="", help="ascending; descending with = and a minus: --sort=-gap_closed")
    show.add_argument("--against", metavar="ALGORITHM[:OPTIONS]", default="",
                      help="add the paired difference to this method, in the first of --metrics or in the one that ranks")  # fmt: skip
    best = actions.add_parser("best", help="name the best method for so many sentences and seconds")
    best.add_argument("table", nargs="?", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file (default: all)")
    best.add_argument("--dataset", metavar="NAME", help="only tables of this dataset")
    best.add_argument("--task", metavar="NAME", help="only tables of this task: speaker, language, style or cross_lingual")
    best.add_argument("--shots", type=positive, metavar="N", help="sentences of the new speaker (default: each number in the table)")
    best.add_argument("--budget", type=duration, metavar="TIME",
                      help="time to adapt to one speaker: 500ms, 5s, 2min; 0: no adaptation steps (default: several)")  # fmt: skip
    best.add_argument("--metric", metavar="COLUMN", default="", help="by which to choose (default: the one that ranks)")
    best.add_argument("--output", type=directory, action="append", default=[], metavar="DIR", help="folder of runs not beside the table")
    power = actions.add_parser("power", help="print which differences a table's speakers, seeds and sentences can show")
    power.add_argument("table", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file")
    power.add_argument("--metric", metavar="COLUMN", default="", help="(default: the one that ranks)")
    power.add_argument("--output", type=directory, action="append", default=[], metavar="DIR", help="folder of runs not beside the table")
    cite = actions.add_parser("cite", help="print BibTeX for rows")
    cite.add_argument("table", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file")
    cite.add_argument("algorithm", metavar="ALGORITHM[:OPTIONS]", help="algorithm of the rows, and its configuration if there are several")
    cite.add_argument("--shots", type=whole, metavar="N", help="only rows with N support utterances")
    cite.add_argument("--steps", type=whole, metavar="N", help="only rows with N adaptation steps")
    add = actions.add_parser("add", help="add runs")
    add.add_argument("runs", nargs="+", type=place, metavar="RUN", help="folders that 'run' or 'sweep' wrote, of all seeds, of one table")
    add.add_argument("--table", type=name_or_place, metavar="TABLE", help="a CSV file (default: the runs' own, in leaderboards/)")
    add.add_argument("--preliminary", action="store_true", help="accept fewer than three seeds, and mark the rows preliminary")
    verify = actions.add_parser("verify", help="recompute rows")
    verify.add_argument("table", nargs="?", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file (default: all)")
    verify.add_argument("--output", type=directory, action="append", default=[], metavar="DIR", help="folder of runs not beside the table")
    card = actions.add_parser("card", help="print a table's card for a hub of data sets")
    card.add_argument("table", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file")
    speech = actions.add_parser("speech", help="put examples of speech beside a table")
    speech.add_argument("table", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file")
    speech.add_argument("--speakers", type=positive, default=2, metavar="N", help="of the first N speakers, by name (default: 2)")
    speech.add_argument("--output", type=directory, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    actions.add_parser("columns", help="print what metrics' columns mean")


def run(args: argparse.Namespace) -> int:
    """Do what the action says."""
    from benchmark.errors import UsageError
    from benchmark.plugins.registry import normalise
    from benchmark.results import leaderboard, leaderboard_cite, leaderboard_places

    if args.action in ("show", "best"):
        _print_tables(args)
        return 0
    if args.action == "power":
        from benchmark.results.power_table import show_power

        print(show_power(leaderboard_places.table_files(args.table)[0], args.metric, args.output, args.plugin))
        return 0
    if args.action == "cite":
        path = leaderboard_places.table_files(args.table)[0]
        print(leaderboard_cite.cite(path, normalise(args.algorithm), args.shots, args.steps, leaderboard_places.is_committed(path)))
        return 0

    if args.action == "verify":
        return _verify(leaderboard_places.table_files(args.table, every=True), args.output)
    if args.action == "card":
        from benchmark.results.dataset_card import card

        print(card(leaderboard_places.table_files(args.table)[0], args.plugin), end="")
        return 0
    if args.action == "speech":
        from benchmark.results.example_speech import keep

        path = leaderboard_places.table_files(args.table)[0]
        files = keep(path, [args.output], args.speakers, args.plugin)
        print(f"{len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB, beside {path}.")
        return 0
    if args.action == "columns":
        from benchmark.results.columns import markdown

        print(markdown(args.plugin))
        return 0

    from benchmark.results.result import read_result, table_name

    own = table_name(read_result(args.runs[0]))
    table = args.table or own
    if not table.endswith(".csv") and normalise(table) != normalise(own):
        raise UsageError(f"--table must be a file that ends in .csv, or {own}, the table of these runs, not '{table}'.")
    path = Path(table) if table.endswith(".csv") else leaderboard_places.folder() / f"{own}.csv"
    for folders in leaderboard.by_method(args.runs):
        rows = leaderboard.add(folders, path, args.preliminary)
        print(f"{path}: {len(rows)} rows of {rows[0]['algorithm']}.", flush=True)
    if (beside := path.with_suffix(".md")).is_file():
        print(f"Write its card again: python -m benchmark leaderboard card {path} > {beside}")
    return 0


def _print_tables(args: argparse.Namespace) -> None:
    """Show tables, or what is best in them; what is wrong with one of several does not keep the others from being read."""
    from benchmark.errors import UsageError
    from benchmark.results import best_table, leaderboard_file, leaderboard_places, leaderboard_table

    if args.action == "best":
        tables = _of(leaderboard_places.table_files(args.table), args.dataset, args.task)
    else:
        tables = leaderboard_places.table_files(args.table)
    if args.action == "show" and args.format == "csv" and len(tables) > 1:
        raise UsageError(f"--format csv takes one table; name {' or '.join(map(leaderboard_file.title, tables))}.")
    for number, path in enumerate(tables):
        if len(tables) > 1 and number:
            print()
        try:
            if args.action == "best":
                print(best_table.show_best(path, args.shots, args.budget, args.metric, args.output, args.plugin))
                continue
            if len(tables) > 1 and args.format in ("table", "md"):
                print(leaderboard_file.title(path))
            print(leaderboard_table.show(
                path, args.shots, args.steps, args.format, metrics=args.metrics, sort=args.sort, plugins=args.plugin, where=args.where,
                against=args.against,
            ))  # fmt: skip
        except UsageError as error:
            if len(tables) == 1:
                raise
            print(error)


def _of(tables: Sequence[Path], dataset: str | None, task: str | None) -> list[Path]:
    """The tables of a dataset and a task, by their names.

    Raises:
        UsageError: there is none.
    """
    from benchmark.errors import UsageError
    from benchmark.plugins.registry import normalise, suggest
    from benchmark.results.leaderboard_file import task_of
    from benchmark.task import TASK_KINDS

    if task is not None and normalise(task) not in TASK_KINDS:
        raise UsageError(f"There is no task '{task}'{suggest(task, TASK_KINDS)}")

    def fits(path: Path) -> bool:
        name = path.stem.partition("-")[0]  # no dataset's name has a dash
        return (dataset is None or normalise(dataset) == normalise(name)) and (task is None or normalise(task) == task_of(path).name)

    if found := [path for path in tables if fits(path)]:
        return found
    wish = " and ".join(filter(None, [f"dataset {dataset}" * bool(dataset), f"task {task}" * bool(task)]))
    raise UsageError(f"There is no leaderboard of {wish}{suggest(str(dataset or task), [path.stem for path in tables])}")


def _verify(paths: Sequence[Path], places: Sequence[Path]) -> int:
    from benchmark.results import leaderboard_places
    from benchmark.results.leaderboard_check import check

    problems = 0
    for path in paths:
        report = check(path, places, local=not leaderboard_places.is_committed(path))
        problems += len(report.problems)
        print("\n".join(report.problems), end="\n" if report.problems else "")
        unknown = f", {report.unknown} could not be checked (their runs are not here)" if report.unknown else ""
        old = f", {report.old} of them from results of the old form, which carry no digests" if report.old else ""
        print(f"{path}: {report.recomputed} rows came out the same{old}{unknown}, {len(report.problems)} problem(s).")
        if report.problems:
            print("Restore the files (git checkout), or add the runs again: leaderboard add RUN...")
    return 1 if problems else 0
