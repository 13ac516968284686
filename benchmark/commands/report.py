"""Put runs into one HTML file: tables, curves, spectrograms, audio players.

The file opens from disk and needs no network. Without RUN it holds all complete runs in --output. Runs that differ only in
the seed are pooled. Each dataset gets its own leaderboard, or several if runs can't be compared (other backbones, say). With --table it
shows a leaderboard's rows as they stand, and the speech that is kept beside the table ('leaderboard speech' puts some there); with
'--table all', every committed leaderboard, one after the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands._options import add_workers, directory, name_or_place, place

if TYPE_CHECKING:
    from benchmark.report.boards import Board


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="*", type=place, metavar="RUN",
                        help="run folders, or their names in --output (default: all complete ones there)")  # fmt: skip
    parser.add_argument("--table", type=name_or_place, metavar="TABLE", help="show this leaderboard instead, by name or path, or all")
    parser.add_argument("--output", type=directory, default=Path("runs"), metavar="DIR", help="folder of runs (default: runs)")
    parser.add_argument("--html", type=place, metavar="FILE", help="file to write (default: report.html beside the runs; TABLE.html)")
    parser.add_argument("--picture", type=place, metavar="FILE", help="also draw quality against time to adapt, as an SVG file")
    parser.add_argument("--cache", type=directory, metavar="DIR", help="folder with transcripts (default: $BENCHMARK_CACHE or ~/.cache/…)")
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page, and say where and how large it is."""
    from benchmark.errors import UsageError
    from benchmark.plumbing.files import write_text
    from benchmark.plumbing.workers import default_workers
    from benchmark.report import boards, page, picture
    from benchmark.results.leaderboard_places import table_files
    from benchmark.results.runs_meant import run_folder
    from benchmark.running.preparation import cache_folder

    if args.table and args.runs:
        raise UsageError("--table and run folders are two things to show; give one of them.")
    if args.picture and args.picture.suffix.lower() != ".svg":
        raise UsageError(f"--picture must name an SVG file to write, not {args.picture}.")
    if args.table:
        tables = table_files(None, every=True) if args.table == "all" else table_files(args.table)
        found = [board for table in tables for board in boards.of_table(table, [args.output], args.plugin)]
        path = args.html or Path(f"{tables[0].stem if len(tables) == 1 else 'leaderboards'}.html")
    else:
        folders = [run_folder(name, args.output) for name in args.runs]
        if not folders:
            folders, unfinished = boards.find_runs(args.output)
            if unfinished:
                print(f"Unfinished, so left out: {', '.join(unfinished)}.")
        found = boards.boards(folders, args.workers or default_workers(), args.plugin)
        path = args.html or folders[0].parent / "report.html"
    drawn = picture.draw(found[0]) if args.picture else ""
    html = page.build(found, cache_folder(args.cache))
    write_text(path, html)
    print(f"{path}: {len(html.encode()) / 1e6:.1f} MB, {', '.join(map(_told, found))}.")
    if drawn:
        write_text(args.picture, drawn)
        print(f"{args.picture}: {found[0].name}.")
    return 0


def _told(board: Board) -> str:
    return f"{board.name}: {len(board.contenders)} configurations"
