"""Choose an algorithm's options on validation speakers; use the same number of trials for every algorithm.

Each trial is saved to a table, so the same command resumes after an interruption; run it several times at once to do several trials
at once. Ends with that table and with the chosen values in benchmark/settings/tuned/, where `run` finds them. The algorithm declares
the options and values to search.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.commands._options import add_engine, add_hardware, add_places, add_pretrain_root, directory, hardware_of, positive


def settings() -> type:
    """The settings of each trial, given in YAML or on the command line."""
    from benchmark.settings.schema import RunSettings

    return RunSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that can't change a trial's result."""
    parser.add_argument("--trials", type=positive, default=8, metavar="N", help="combinations to try, the defaults among them (default: 8)")
    parser.add_argument("--output", type=directory, default=Path("leaderboards/tuning"), metavar="DIR",
                        help="folder for the tables of trials (default: leaderboards/tuning)")  # fmt: skip
    add_places(parser)
    add_pretrain_root(parser)
    add_engine(parser)
    add_hardware(parser)


def run(args: argparse.Namespace) -> int:
    """Do the remaining trials, print all, and keep the best one's values."""
    from importlib.util import find_spec

    from benchmark.errors import ExtraMissing, UsageError
    from benchmark.plumbing.workers import default_workers
    from benchmark.running import engines
    from benchmark.running.checks import check_shares
    from benchmark.running.preparation import cache_folder
    from benchmark.running.run import Places
    from benchmark.running.tuning import Search, summary
    from benchmark.settings import config
    from benchmark.settings.tuned_values import parse_untuned, trials_behind, tuned_file, write_tuned

    if find_spec("optuna") is None:
        raise ExtraMissing("tune", "Optuna", "tune")
    engines.check(args.engine)
    parsed = parse_untuned(args.settings, args.plugin, args.options)
    hardware = hardware_of(args)
    if hardware.repeats_program:
        raise UsageError("tune starts the training processes itself: leave out --strategy ddp, torchrun and srun.")
    hardware.require()
    check_shares(parsed, hardware, args.plugin)
    places = Places(
        args.output, cache_folder(args.cache), args.data_root, args.workers or default_workers(), tuple(map(Path, args.plugin)),
        hardware=hardware, engine=args.engine, pretrain_roots=args.pretrain_root,
    )  # fmt: skip
    search = Search(parsed, places)
    name = parsed.algo.name
    if args.trials > search.size:
        raise UsageError(f"The search space of {name} has {search.size} combinations, fewer than {args.trials} trials; lower --trials.")
    if len(search.trials) > args.trials:
        raise UsageError(f"{search.table} holds {len(search.trials)} trials, more than {args.trials}; raise --trials to as many.")
    file, earlier = tuned_file(parsed, args.plugin), trials_behind(parsed, args.plugin)
    if earlier > args.trials:
        print(f"The values in {file} come from {earlier} trials and are kept; replace them by as many trials.", flush=True)
    gain = search.gained.replace("_", " ")
    while True:
        with search.next(args.trials) as proposal:
            if proposal is None:
                break
            label = f"Trial {proposal.place} of {args.trials}"
            print(f"{label}: {config.said(proposal.values)}", flush=True)
            trial = search.attempt(proposal)
            print(f"{label}: {trial.note or f'{gain} {trial.objective:.3f}'}", flush=True)
    if others := search.under_way:
        print(f"{others} trial(s) are running in other processes; the last of them to finish saves the chosen values.")
        return 0
    best, first = search.best(), search.trials[0]
    print(f"\n{summary(search)}\n")
    print(f"Chosen: {config.said(best.values)} ({gain} {best.objective:.3f}; first trial {first.objective:.3f})")
    print(f"Trials: {search.table}")
    if earlier > args.trials:
        print(f"Kept: the values of {earlier} trials in {file}. To run with the chosen ones, give them on the command line.")
        return 0
    unequal = write_tuned(parsed, search.section(args.settings), args.plugin)
    print(f"Tuned values: {file}" + (f", instead of those of {earlier} trials before" if earlier else ""))
    if unequal:
        print(f"Not tuned with {args.trials} trials, so not comparable yet: {', '.join(unequal)}.")
    return 0
