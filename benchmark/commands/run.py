"""Train an algorithm, adapt it to held-out speakers, synthesise their speech, and score it.

Finished stages are not repeated: after an interruption the same command resumes. Ends with a table.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands._options import (
    add_engine,
    add_hardware,
    add_places,
    add_pretrain_root,
    directory,
    hardware_of,
    positive,
)

if TYPE_CHECKING:
    from benchmark.running.hardware import Hardware
    from benchmark.running.run import Places
    from benchmark.settings.schema import RunSettings


def settings() -> type:
    """The settings of a run, given in YAML or on the command line."""
    from benchmark.settings.schema import RunSettings

    return RunSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that can't change results."""
    add_places(parser)
    add_pretrain_root(parser)
    add_hardware(parser)
    parser.add_argument("--output", type=directory, default=Path("runs"), metavar="DIR",
                        help="where to put each run's folder (default: runs)")  # fmt: skip
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="number of runs, with consecutive seeds (default: 1)")
    add_engine(parser)
    parser.add_argument("--overwrite", choices=("never", "missing", "always"), default="missing",
                        help="never: refuse if there is a result; missing: do what is left (default); always: start over")  # fmt: skip
    parser.add_argument("--wandb", action="store_true",
                        help="log curves, results and speech to Weights & Biases (offline, or WANDB_MODE=online)")  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="log curves for TensorBoard, into the run's folder")
    parser.add_argument("--csv", action="store_true", help="log curves as CSV, into the run's folder")
    parser.add_argument("--fast-dev-run", action="store_true",
                        help="quick trial: two speakers, a few steps of each stage, preset smoke unless --preset is given")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run each seed, then show them together."""
    hardware = hardware_of(args)
    if hardware.rank:
        # Rank 0 prints all messages.
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return _run(args, hardware)
    return _run(args, hardware)


def _run(args: argparse.Namespace, hardware: Hardware) -> int:
    from benchmark.settings import tuned_values as tuning

    parsed = tuning.parse(given(args), plugins=args.plugin, also=args.options)
    say_tuned(parsed, args.plugin)

    # Importing torch and Lightning takes seconds; report mistyped options before that.
    from benchmark.running.run import run_seeds

    folders = run_seeds(parsed, args.seeds, places(args, hardware), args.overwrite, args.fast_dev_run)
    if not hardware.rank:
        show_results(args.output, [folders], args.plugin)
    return 0


def given(args: argparse.Namespace) -> list[str]:
    """The settings on the command line, and those that ``--fast-dev-run`` adds."""
    words = list(args.settings)
    if args.fast_dev_run and not any(word.partition("=")[0] == "--preset" for word in words):
        words += ["--preset", "smoke"]
    return words


def say_tuned(settings: RunSettings, plugins: Sequence[str]) -> None:
    """Print which of the algorithm's options are tuned."""
    from benchmark.settings import config
    from benchmark.settings import tuned_values as tuning

    if tuned := tuning.tuned_values(settings, plugins):
        speakers = f"{other}'s validation speakers" if (other := tuned.get("dataset")) else "validation speakers"
        by = f" by {other}" if (other := tuned.get("task")) else ""
        print(f"Tuned{by} on {speakers}, in {tuned['trials']} trials: {config.said(tuned['values'])}.", flush=True)
    elif changed := tuning.changed_values(settings, plugins):
        print(f"Does not count as tuned, because you chose {config.said(changed)}.", flush=True)


def places(args: argparse.Namespace, hardware: Hardware) -> Places:
    """Where and how to run, after checking that the loggers and the engine are installed."""
    from benchmark.plumbing.workers import default_workers
    from benchmark.running.loggers import KINDS
    from benchmark.running.preparation import cache_folder
    from benchmark.running.run import Places

    found = Places(
        args.output, cache_folder(args.cache), args.data_root, args.workers or default_workers(), tuple(map(Path, args.plugin)),
        tuple(kind for kind in KINDS if getattr(args, kind)), engine=args.engine, hardware=hardware, pretrain_roots=args.pretrain_root,
    )  # fmt: skip
    found.require()
    return found


def show_results(output: Path, groups: Sequence[Sequence[Path]], plugins: Sequence[str]) -> None:
    """Add runs of one dataset, problem and task to the leaderboard in ``output``, and print their rows.

    Metrics that are not among the problem's defaults were asked for, so all their columns are shown.

    Args:
        output: folder of the runs and their leaderboards.
        groups: run folders; those of one group differ only in the seed.
        plugins: ``--plugin`` files.
    """
    from benchmark import problems
    from benchmark.results.episode_tables import failures_in
    from benchmark.results.leaderboard import add_own
    from benchmark.results.leaderboard_table import show
    from benchmark.results.result import read_result

    table = add_own(groups, output)
    every = [folder for folders in groups for folder in folders]
    results = [read_result(folder) for folder in every]
    problem = problems.get(results[0]["problem"])
    asked = {name for result in results for name in result["metric_versions"]}.difference(problem.metrics)
    print(show(table, run_ids={folder.name for folder in every}, plugins=plugins, beside=asked))
    for folder in every:
        if lost := failures_in(folder):
            print(lost)
    if kept := [folder / "audio" for folder in every if (folder / "audio").is_dir()]:
        page = f"'report --output {output}' shows them on one page"
        where = kept[0] if len(kept) == 1 else f"audio/ in each of {len(kept)} runs; {page}"
        print(f"{'Speech to listen to' if problem.speaks else 'Transcripts to read'}: {where}")
    print(f"Leaderboard of your runs: {table}")
