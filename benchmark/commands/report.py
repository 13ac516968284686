"""Put runs into one HTML file: tables, curves, spectrograms, audio players.

The file opens from disk and needs no network. Without RUN it holds all complete runs in --output. Runs that differ only in
the seed are pooled. Each dataset gets its own leaderboard, or several if runs can't be compared (other backbones, say).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.commands._options import add_workers, directory, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("runs", nargs="*", type=place, metavar="RUN",
                        help="run folders, or their names in --output (default: all complete ones there)")  # fmt: skip
    parser.add_argument("--output", type=directory, default=Path("runs"), metavar="DIR", help="folder of runs (default: runs)")
    parser.add_argument("--html", type=place, metavar="FILE", help="file to write (default: report.html beside the runs)")
    parser.add_argument("--cache", type=directory, metavar="DIR", help="folder with transcripts (default: $BENCHMARK_CACHE or ~/.cache/…)")
    add_workers(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page, and say where and how large it is."""
    from benchmark.plumbing.files import write_text
    from benchmark.plumbing.workers import default_workers
    from benchmark.report import boards, page
    from benchmark.results.runs_meant import run_folder
    from benchmark.running.preparation import cache_folder

    folders = [run_folder(name, args.output) for name in args.runs]
    if not folders:
        folders, unfinished = boards.find_runs(args.output)
        if unfinished:
            print(f"Unfinished, so left out: {', '.join(unfinished)}.")
    found = boards.boards(folders, args.workers or default_workers(), args.plugin)
    path = args.html or (folders[0].parent if folders else args.output) / "report.html"
    html = page.build(found, cache_folder(args.cache))
    write_text(path, html)
    size = len(html.encode()) / 1e6
    print(f"{path}: {size:.1f} MB, {', '.join(f'{board.name}: {len(board.contenders)} configurations' for board in found)}.")
    return 0
