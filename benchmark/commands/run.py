"""Train an algorithm, adapt it to people it never heard, let it speak as them, and score it.

Stages that are done are not done again: the same command resumes where a stopped one was. Ends with a table.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands._options import add_engine, add_hardware, add_places, add_pretrain_root, hardware_of, positive

if TYPE_CHECKING:
    from benchmark.running.hardware import Hardware
    from benchmark.running.run import Places
    from benchmark.settings.schema import RunSettings


def settings() -> type:
    """What else can be set, in YAML and on the command line."""
    from benchmark.settings.schema import RunSettings

    return RunSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that can't change a number."""
    add_places(parser)
    add_pretrain_root(parser)
    add_hardware(parser)
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="a folder for each run goes here (default: runs)")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="so many runs, with seeds counting up (default: 1)")
    add_engine(parser)
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

    from benchmark.settings import tuned_values as tuning

    parsed = tuning.parse(given(args), plugins=args.plugin, also=args.options)
    say_tuned(parsed, args.plugin)

    # Torch and Lightning take seconds; a mistyped option should not have to wait for them.
    from benchmark.running import run as runs

    hardware.require()
    parsed, left_out = runs.with_metrics(parsed, args.plugin)
    if left_out:
        print(left_out, flush=True)
    if args.fast_dev_run:
        parsed = runs.fast_dev_run(parsed, hardware.processes)
    chosen = places(args, hardware)
    folders = [runs.run(replace(parsed, seed=parsed.seed + number), chosen, args.overwrite) for number in range(args.seeds)]
    if not hardware.rank:
        show_results(args.output, [folders], args.plugin)
    return 0


def given(args: argparse.Namespace) -> list[str]:
    """The settings on the command line, and what ``--fast-dev-run`` adds to them."""
    words = list(args.settings)
    if args.fast_dev_run and not any(word.partition("=")[0] == "--preset" for word in words):
        words += ["--preset", "smoke"]
    return words


def say_tuned(settings: RunSettings, plugins: Sequence[str]) -> None:
    """Say which of the algorithm's options are as tuned."""
    from benchmark.settings import config
    from benchmark.settings import tuned_values as tuning

    if tuned := tuning.tuned_values(settings, plugins):
        print(f"As tuned on validation speakers, in {tuned['trials']} trials: {config.said(tuned['values'])}.", flush=True)


def places(args: argparse.Namespace, hardware: Hardware) -> Places:
    """Where to run, once what that needs is known to be installed."""
    from benchmark.plumbing.workers import default_workers
    from benchmark.running import engines
    from benchmark.running import loggers as run_logs
    from benchmark.running import run as runs
    from benchmark.running.preparation import cache_folder

    logs = tuple(kind for kind in run_logs.KINDS if getattr(args, kind))
    run_logs.check(logs)
    engines.check(args.engine)
    return runs.Places(
        args.output, cache_folder(args.cache), args.data_root, args.workers or default_workers(), tuple(map(Path, args.plugin)), logs,
        engine=args.engine, hardware=hardware, pretrain_roots=args.pretrain_root,
    )  # fmt: skip


def show_results(output: Path, groups: Sequence[Sequence[Path]], plugins: Sequence[str]) -> None:
    """Put runs of one dataset, problem and task into the leaderboard of one's own runs, and show their rows.

    Args:
        output: where the runs and their leaderboards lie.
        groups: run folders; those of one group differ in the seed alone.
        plugins: ``--plugin`` files.
    """
    from benchmark.results.episode_tables import failures_in
    from benchmark.results.leaderboard import add
    from benchmark.results.leaderboard_table import show
    from benchmark.results.result import read_result, table_name

    table = output / f"{table_name(read_result(groups[0][0]))}.csv"
    for folders in groups:
        add(folders, table, preliminary=True, local=True)
    every = [folder for folders in groups for folder in folders]
    print(show(table, run_ids={folder.name for folder in every}, plugins=plugins))
    for folder in every:
        if lost := failures_in(folder):
            print(lost)
        if (folder / "audio").is_dir():
            print(f"Speech to listen to: {folder / 'audio'}")
    print(f"Leaderboard of your runs: {table}")
