"""Run a grid: every algorithm on every backbone and dataset, with every seed.

Takes lists: --algo reptile,maml --dataset espeak,vctk --seeds 3. All other options are those of `run` and apply to every run.
Combinations that do not fit together are left out, complete runs are not repeated, and a failed run does not stop the others. With
--engine ray each run is a task of the cluster, repeated if its machine or process is lost. Ends with a table for each dataset.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.commands import run as single
from benchmark.commands._options import hardware_of
from benchmark.errors import UsageError
from benchmark.plugins.registry import normalise

if TYPE_CHECKING:
    from benchmark.running.sweeps import Outcome
    from benchmark.settings.schema import RunSettings

LISTS = ("algo", "backbone", "dataset")


def settings() -> type:
    """The settings of each run, given in YAML or on the command line."""
    return single.settings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the grid and the options of `run`."""
    for name in LISTS:
        parser.add_argument(f"--{name}", metavar="A,B", help=f"{name}s to combine (default: as in --config)".replace("algos", "algorithms"))
    single.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do the runs that fit and are not complete, print the tables, then the failures."""

    from benchmark.settings import tuned_values as tuning

    lists = [names_in(name, getattr(args, name)) for name in LISTS]
    if args.data_root is not None and len(lists[-1]) > 1:
        raise UsageError("--data-root is for one dataset; for several, set $BENCHMARK_DATA to a folder with one subfolder per dataset.")
    grid = []
    for words in product(*lists):
        given = [word for name, value in zip(LISTS, words, strict=True) if value for word in (f"--{name}", value)]
        parsed = tuning.parse([*single.given(args), *given], plugins=args.plugin, also=args.options)
        single.say_tuned(parsed, args.plugin)
        grid += parsed.seeded(args.seeds)

    from benchmark.results.result import read_result, table_name

    outcomes = done_for(args, grid)
    done = [(outcome.settings, outcome.folder) for outcome in outcomes if outcome.folder]
    tables: dict[str, dict[tuple[str, str], list[Path]]] = {}
    for settings, folder in done:
        key = settings.algo.name, settings.backbone.name
        tables.setdefault(table_name(read_result(folder)), {}).setdefault(key, []).append(folder)
    for groups in tables.values():
        single.show_results(args.output, list(groups.values()), args.plugin)
    return say_failures(outcomes)


def done_for(args: argparse.Namespace, grid: Sequence[RunSettings]) -> list[Outcome]:
    """Do the runs of a grid that fit and are not complete.

    Args:
        args: with the options that :func:`add_arguments` declares.
        grid: settings of each run.
    """
    from benchmark.running import engines, sweeps
    from benchmark.settings.trial import fast_dev_run

    hardware = hardware_of(args)
    if hardware.repeats_program:
        raise UsageError("A grid of runs starts its training processes itself: leave out --strategy ddp, torchrun and srun.")
    if hardware.accelerator == "auto" or not engines.elsewhere(args.engine):
        hardware.require()
    places = single.places(args, hardware)
    chosen, said = sweeps.fitting(grid, args.plugin)
    for sentence in said:
        print(sentence, flush=True)
    if args.fast_dev_run:
        chosen = [fast_dev_run(each, hardware.processes) for each in chosen]
    return list(sweeps.sweep(chosen, places, args.overwrite))


def say_failures(outcomes: Sequence[Outcome]) -> int:
    """Print the failed runs and how many are complete; the exit status."""
    from benchmark.running.sweeps import name_of

    failed = [outcome for outcome in outcomes if not outcome.folder]
    for outcome in failed:
        print(f"Failed: {name_of(outcome.settings)}: {outcome.error}")
    done = len(outcomes) - len(failed)
    print(f"{done} of {len(outcomes)} runs are complete{f', {len(failed)} failed' if failed else ''}.")
    return 1 if failed else 0


def names_in(option: str, given: str | None) -> Sequence[str | None]:
    """The names in a comma-separated list; [None] without a list, so that the settings decide."""
    if given is None:
        return [None]
    names = list(dict.fromkeys(normalise(name) for name in given.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--{option} names nothing; give one or more names, separated by commas.")
    return names
