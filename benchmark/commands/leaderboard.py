"""Show a leaderboard, cite it, add runs to it, verify it, or explain its columns.

``leaderboard show [TABLE]`` prints a table, named by its dataset or by the path of a CSV file; without TABLE, all tables.
``leaderboard cite TABLE ALGORITHM`` prints BibTeX for rows that may be cited.
``leaderboard add RUN...`` pools the folders of one configuration's seeds into rows of their table. A table is named after its
dataset, and also its problem and task if these are not synthesis and speaker (``espeak-recognition``, ``vctk-style``).
``leaderboard verify [TABLE]`` checks every table's form and recomputes its rows from the runs kept beside it.
``leaderboard columns`` prints what metrics' columns mean, in Markdown, as in ``leaderboards/README.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmark.commands._options import directory, name_or_place, place, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="show|cite|add|verify|columns", required=True)
    show = actions.add_parser("show", help="print leaderboards")
    show.add_argument("table", nargs="?", type=name_or_place, metavar="TABLE",
                      help="a table, espeak or espeak-recognition, or a CSV file (default: all)")  # fmt: skip
    show.add_argument("--shots", type=whole, metavar="N", help="only rows with N support utterances")
    show.add_argument("--steps", type=whole, metavar="N", help="only rows with N adaptation steps")
    show.add_argument("--metrics", metavar="A,B", default="", help="columns, or all (default: those that fit a terminal)")
    show.add_argument("--format", choices=("table", "md", "csv", "latex"), default="table", help="(default: table)")
    show.add_argument("--sort", metavar="COLUMN", default="", help="ascending; descending with = and a minus: --sort=-gap_closed")
    cite = actions.add_parser("cite", help="print BibTeX for rows")
    cite.add_argument("table", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file")
    cite.add_argument("algorithm", metavar="ALGORITHM[:OPTIONS]", help="algorithm of the rows, and its configuration if there are several")
    cite.add_argument("--shots", type=whole, metavar="N", help="only rows with N support utterances")
    cite.add_argument("--steps", type=whole, metavar="N", help="only rows with N adaptation steps")
    add = actions.add_parser("add", help="add runs")
    add.add_argument("runs", nargs="+", type=place, metavar="RUN", help="folders that 'run' wrote, one for each seed")
    add.add_argument("--table", type=name_or_place, metavar="TABLE", help="a CSV file (default: the runs' own, in leaderboards/)")
    add.add_argument("--preliminary", action="store_true", help="accept fewer than three seeds, and mark the rows preliminary")
    verify = actions.add_parser("verify", help="recompute rows")
    verify.add_argument("table", nargs="?", type=name_or_place, metavar="TABLE", help="a table's name or a CSV file (default: all)")
    actions.add_parser("columns", help="print what metrics' columns mean")
    verify.add_argument("--output", type=directory, action="append", default=[], metavar="DIR", help="folder of runs not beside the table")


def run(args: argparse.Namespace) -> int:
    """Do what the action says."""
    from benchmark.errors import UsageError
    from benchmark.plugins.registry import normalise
    from benchmark.results import leaderboard, leaderboard_table

    if args.action == "show":
        tables = table_files(args.table)
        for number, path in enumerate(tables):
            if len(tables) > 1:
                print(f"{chr(10) if number else ''}{path.stem}")
            chosen = [name.strip() for name in args.metrics.split(",") if name.strip()]
            try:
                text = leaderboard_table.show(
                    path, args.shots, args.steps, args.format, metrics=chosen, sort=args.sort, plugins=args.plugin
                )
                print(text)
            except UsageError as error:
                if len(tables) == 1:
                    raise
                print(error)
        return 0
    if args.action == "cite":
        path = table_files(args.table)[0]
        print(leaderboard_table.cite(path, normalise(args.algorithm), args.shots, args.steps, _is_committed(path)))
        return 0

    if args.action == "verify":
        return _verify(table_files(args.table), args.output)
    if args.action == "columns":
        from benchmark.results.columns import markdown

        print(markdown(args.plugin))
        return 0

    from benchmark.results.result import read_result, table_name

    own = table_name(read_result(args.runs[0]))
    table = args.table or own
    if not table.endswith(".csv") and normalise(table) != normalise(own):
        raise UsageError(f"--table must be a file that ends in .csv, or {own}, the table of these runs, not '{table}'.")
    path = Path(table) if table.endswith(".csv") else folder() / f"{own}.csv"
    rows = leaderboard.add(args.runs, path, args.preliminary)
    print(f"{path}: {len(rows)} rows of {rows[0]['algorithm']}.")
    return 0


def _verify(paths: Sequence[Path], places: Sequence[Path]) -> int:
    from benchmark.results.leaderboard_check import check

    problems = 0
    for path in paths:
        report = check(path, places, local=not _is_committed(path))
        problems += len(report.problems)
        print("\n".join(report.problems), end="\n" if report.problems else "")
        unknown = f", {report.unknown} could not be checked (their runs are not here)" if report.unknown else ""
        old = f", {report.old} of them from results of the old form, which carry no digests" if report.old else ""
        print(f"{path}: {report.recomputed} rows came out the same{old}{unknown}, {len(report.problems)} problem(s).")
    return 1 if problems else 0


def folder() -> Path:
    """The checkout's ``leaderboards/``; without a checkout, the one in the working directory."""
    root = Path(__file__).resolve().parents[2]
    return (root if (root / "pyproject.toml").is_file() else Path()) / "leaderboards"


def _committed() -> list[Path]:
    import benchmark

    return list(dict.fromkeys([folder().resolve(), *(Path(root, "leaderboards").resolve() for root in benchmark.__path__)]))


def _is_committed(path: Path) -> bool:
    return path.resolve().parent in _committed()


def table_files(wanted: str | None) -> list[Path]:
    """The CSV files that ``wanted`` names: all, a dataset's, or the one with this path.

    Raises:
        UsageError: there is none.
    """
    from benchmark.errors import UsageError
    from benchmark.plugins.registry import normalise, suggest

    if wanted and (wanted.endswith(".csv") or Path(wanted).is_file()):
        return [Path(wanted)]
    found = {normalise(path.stem): path for place in reversed(_committed()) for path in sorted(place.glob("*.csv"))}
    if wanted is None and found:
        return list(found.values())
    if wanted and normalise(wanted) in found:
        return [found[normalise(wanted)]]
    if wanted is None:
        raise UsageError(f"There is no leaderboard in {folder()} yet; 'leaderboard add RUN...' makes one.")
    if own := [path for path in Path("runs").glob("*.csv") if normalise(path.stem) == normalise(wanted)]:
        raise UsageError(f"There is no committed leaderboard of '{wanted}'; for the one of your own runs, give its path, {own[0]}.")
    there = suggest(wanted, sorted(path.stem for path in found.values()))
    raise UsageError(f"There is no leaderboard of '{wanted}'{there} For your own runs, name the CSV file beside them.")
