"""Train an algorithm, adapt it to people it never heard, let it speak as them, and score it.

Stages that are done are not done again: the same command resumes where a stopped one was. Ends with a table.
"""

from __future__ import annotations

import argparse
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands._options import add_hardware, add_places, hardware_of, positive

if TYPE_CHECKING:
    from benchmark.running.hardware import Hardware


def settings() -> type:
    """What else can be set, in YAML and on the command line."""
    from benchmark.settings.schema import RunSettings

    return RunSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that can't change a number."""
    add_places(parser)
    add_hardware(parser)
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="a folder for each run goes here (default: runs)")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="so many runs, with seeds counting up (default: 1)")
    parser.add_argument("--overwrite", choices=("never", "missing", "always"), default="missing",
                        help="never: refuse if there is a result; missing: do what is not done (default); always: start anew")  # fmt: skip
    parser.add_argument("--wandb", action="store_true",
                        help="log curves, results and speech to Weights & Biases (offline, or WANDB_MODE=online)")  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="log curves for TensorBoard, into the run's folder")
    parser.add_argument("--csv", action="store_true", help="log curves as CSV, into the run's folder")
    parser.add_argument("--fast-dev-run", action="store_true",
                        help="does it go through? Two speakers, a few steps of all, preset smoke unless --preset is given")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run each seed, then show them together."""
    hardware = hardware_of(args)
    if hardware.rank:
        # Another process of the same training says it all.
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return _run(args, hardware)
    return _run(args, hardware)


def _run(args: argparse.Namespace, hardware: Hardware) -> int:
    from dataclasses import replace

    from benchmark.settings import config
    from benchmark.settings import tuned_values as tuning

    given = list(args.settings)
    if args.fast_dev_run and not any(word.partition("=")[0] == "--preset" for word in given):
        given += ["--preset", "smoke"]
    parsed = tuning.parse(given, plugins=args.plugin, also=args.options)
    if tuned := tuning.tuned_values(parsed, args.plugin):
        print(f"As tuned on validation speakers, in {tuned['trials']} trials: {config.said(tuned['values'])}.", flush=True)

    # Torch and Lightning take seconds; a mistyped option should not have to wait for them.
    from benchmark.plumbing.workers import default_workers
    from benchmark.results.episode_tables import failures_in
    from benchmark.results.leaderboard import add
    from benchmark.results.leaderboard_table import show
    from benchmark.running import loggers as run_logs
    from benchmark.running import run as runs
    from benchmark.running.preparation import cache_folder

    hardware.require()
    parsed, left_out = runs.with_metrics(parsed, args.plugin)
    if left_out:
        print(left_out, flush=True)
    if args.fast_dev_run:
        parsed = runs.fast_dev_run(parsed, hardware.processes)
    logs = tuple(kind for kind in run_logs.KINDS if getattr(args, kind))
    run_logs.check(logs)
    places = runs.Places(
        args.output, cache_folder(args.cache), args.data_root, args.workers or default_workers(), tuple(map(Path, args.plugin)), logs,
        hardware,
    )
    folders = [runs.run(replace(parsed, seed=parsed.seed + number), places, args.overwrite) for number in range(args.seeds)]
    if hardware.rank:
        return 0
    table = args.output / f"{parsed.dataset.name}.csv"
    add(folders, table, preliminary=True, local=True)
    print(show(table, run_ids={folder.name for folder in folders}))
    for folder in folders:
        if lost := failures_in(folder):
            print(lost)
        print(f"Speech to listen to: {folder / 'audio'}")
    print(f"Leaderboard of your runs: {table}")
    return 0
