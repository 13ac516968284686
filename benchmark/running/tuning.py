"""Tuning: an algorithm's options, chosen on validation speakers with the same number of trials as every other's.

A trial is a run on the validation speakers, at the largest of the preset's shots, scored by speaker similarity alone. Its
objective is the mean over the preset's steps of the share of the gap to the speaker that is closed (``gap_closed``; the
area under the adaptation curve), so that what learns fast and what ends high both count. An utterance that could not be
scored counts as 0 there, no nearer than a stranger: leaving it out would reward options that fail on what is hard.

The first trial takes the options as given, by default the defaults. The others come from Optuna's TPE, which draws its first
ones at random; values are ordered where they are numbers, and no combination is tried twice. Each trial's draw depends on its
number and on the trials before it alone, so a tuning that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.algorithm import Algorithm
from benchmark.errors import BenchmarkError, TrainingDiverged, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.files import digest_of, write_text
from benchmark.results.episode_tables import EPISODES_FILE, read_episodes
from benchmark.running.identity import identify
from benchmark.running.preparation import open_corpus, open_manifest
from benchmark.running.run import Places, run
from benchmark.settings import config
from benchmark.settings.schema import RunSettings

START = 3
"""Trials before TPE has anything to go by: the given options and two random ones. On made-up response surfaces over a grid of
30 (80 each of two families, noise of 0.012), eight trials ended .015 and .012 below the best, random search without
repetition .025 and .021; with 5 at the start it was as good at eight trials and worse at six."""
MOST_DRAWS = 20
COLUMNS = ("gap_closed", "failed", "seconds", "note", "run_id", "setup")

Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        values: of the options searched.
        curve: gap closed by steps; empty where the training diverged.
        failed: utterances that could not be scored.
        seconds: it took.
        note: why there is no curve.
        run_id: of its run.
    """

    values: Values
    curve: Mapping[int, float]
    failed: int
    seconds: float
    note: str
    run_id: str

    @property
    def objective(self) -> float:
        """Mean of the curve; NaN where the training diverged."""
        return sum(self.curve.values()) / len(self.curve) if self.curve else math.nan


class Search:
    """The trials of one algorithm on one dataset with one preset.

    Args:
        settings: of the runs; split, metrics and shots are replaced.
        places: ``output`` holds a folder for each dataset and preset: tables, and ``runs``.

    Attributes:
        table: the trials' CSV file, complete after each trial.
        trials: those done.

    Raises:
        UsageError: the algorithm has nothing to tune.
        BenchmarkError: the table is damaged, or was made from other code, data or settings.
    """

    def __init__(self, settings: RunSettings, places: Places) -> None:
        self.plugins = tuple(str(path) for path in places.plugins)
        self.settings = replace(
            settings, shots=(max(settings.shots),), metrics=(_similarity(),), evaluation=replace(settings.evaluation, split="validation")
        )
        name = settings.algo.name
        self.plugin: type[Algorithm] = registry.load("algorithm", name, self.plugins)
        self.choices = choices(self.plugin, settings.algo.config)
        if not self.choices:
            raise UsageError(f"{name} has nothing to tune: its search_space is empty.")
        folder = places.output / f"{settings.dataset.name}-{settings.preset}"
        self.places = replace(places, output=folder / "runs")
        self.table = folder / f"{name}.csv"
        self.setup = self._setup()
        self.trials = self._read()

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(map(len, self.choices.values()))

    def next(self) -> Values:
        """What the next trial tries."""
        if not self.trials:
            return {name: getattr(self.settings.algo.config, name) for name in self.choices}
        return propose(self.choices, self.trials, self.settings.seed)

    def attempt(self, values: Values) -> Trial:
        """Do the next trial, and write it to the table."""
        started = time.monotonic()
        settings = replace(self.settings, algo=replace(self.settings.algo, config=replace(self.settings.algo.config, **values)))
        curve: dict[int, float] = {}
        failed, note, name = 0, "", ""
        try:
            folder = run(settings, self.places, training=self._training(settings))
        except TrainingDiverged as error:
            note = str(error)
        else:
            rows, name = read_episodes(folder / EPISODES_FILE), folder.name
            failed = int(rows["gap_closed"].isna().sum())
            speakers = rows.fillna({"gap_closed": 0.0}).groupby(["steps", "speaker"])["gap_closed"].mean()
            curve = {int(step): float(value) for step, value in dict(speakers.groupby("steps").mean()).items()}
            # A table of many trials would otherwise keep gigabytes; the scores and the configuration stay.
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            shutil.rmtree(folder / "audio", ignore_errors=True)
        trial = Trial(values, curve, failed, time.monotonic() - started, note, name)
        self.trials.append(trial)
        self._write()
        return trial

    def best(self) -> Trial:
        """The trial with the highest objective, the earliest of equals; where none gets nearer than a stranger, what fails least is first.

        A failure counts as 0, and so would win over a voice that is further off.

        Raises:
            BenchmarkError: the training diverged in each.
        """
        scored = [trial for trial in self.trials if trial.curve]
        if not scored:
            raise BenchmarkError(f"The training diverged in all trials of {self.settings.algo.name}; see {self.table}.")
        return max(scored, key=lambda trial: (max(trial.objective, 0.0), -trial.failed, trial.objective))

    def section(self, arguments: Sequence[str]) -> Values:
        """What to keep of it: the chosen options and all others that are not defaults.

        Args:
            arguments: the command line's settings; those that presets would not give are remembered.
        """
        given = config.plain(self.settings.algo.config)
        defaults = config.plain(self.plugin.Config())
        values = {name: value for name, value in given.items() if value != defaults.get(name)}
        best = self.best()
        beyond = [name for name, value in best.values.items() if value not in self.plugin.search_space[name]]
        return {
            "values": {**values, **{name: config.plain(value) for name, value in best.values.items()}},
            "trials": len(self.trials), "gap_closed": round(best.objective, 4),
            "gap_closed_as_given": None if not self.trials[0].curve else round(self.trials[0].objective, 4),
            "arguments": " ".join(arguments), "setup": self.setup,
            **({"given": beyond} if beyond else {}),
        }  # fmt: skip

    def _setup(self) -> str:
        """Digest of all that the trials share: scores under another one can't be compared."""
        chosen, places = self.settings.dataset, self.places
        corpus = open_corpus(chosen.name, chosen.config, places.data_root, places.cache, places.workers, self.plugins)
        identity = identify(self.settings, corpus, open_manifest(corpus, self.plugins), self.plugins)
        shared = {**vars(identity), "config": _without(identity.config, self.choices)}
        return digest_of([shared, {name: config.plain(values) for name, values in self.choices.items()}], 16)

    def _training(self, settings: RunSettings) -> Path | None:
        """Where trials that train alike share their training; None where they can't."""
        alone = [name for name in self.plugin.adaptation_only if name in self.choices]
        if not alone or not self.plugin.trains:
            return None
        key = digest_of([self.setup, _without(config.to_dict(settings), alone)], 16)
        return self.table.parent / "trainings" / f"{settings.algo.name}-{key}.ckpt"

    def _write(self) -> None:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        steps = sorted({step for trial in self.trials for step in trial.curve})
        writer.writerow(["trial", *self.choices, *(f"gap_closed@{step}" for step in steps), *COLUMNS])
        for number, trial in enumerate(self.trials, 1):
            writer.writerow([
                number, *(json.dumps(config.plain(trial.values[name])) for name in self.choices),
                *(repr(trial.curve[step]) if step in trial.curve else "" for step in steps),
                f"{trial.objective:.4f}" if trial.curve else "", trial.failed, f"{trial.seconds:.0f}", trial.note, trial.run_id, self.setup,
            ])  # fmt: skip
        write_text(self.table, buffer.getvalue())

    def _read(self) -> list[Trial]:
        if not self.table.is_file():
            return []
        try:
            with self.table.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            if any(row["setup"] != self.setup for row in rows):
                raise BenchmarkError(f"{self.table} was made from other code, data or settings; move it away to tune anew.")
            known = {name: {json.dumps(config.plain(value)): value for value in values} for name, values in self.choices.items()}
            return [
                Trial(
                    {name: known[name][row[name]] for name in self.choices},
                    {int(key.partition("@")[2]): float(value) for key, value in row.items() if "@" in key and value},
                    int(row["failed"]), float(row["seconds"]), row["note"], row["run_id"],
                )
                for row in rows
            ]  # fmt: skip
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
            raise BenchmarkError(f"{self.table} is not a whole table of trials ({error!r}); restore it, or move it away.") from error


def choices(plugin: type[Algorithm], given: Any) -> dict[str, list[Any]]:
    """The values to choose from: the plugin's search space, and what was given; numbers in rising order."""
    result = {}
    for name, values in plugin.search_space.items():
        every = [*values, *([] if getattr(given, name) in values else [getattr(given, name)])]
        result[name] = sorted(every) if _ordered(every) else every
    return result


def propose(choices: Mapping[str, Sequence[Any]], trials: Sequence[Trial], seed: int) -> Values:
    """A combination that was not tried yet, by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

    Args:
        choices: values by option; more combinations than trials.
        trials: done.
        seed: of the draw, with the number of trials.
    """
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: dict[str, BaseDistribution] = {
        name: IntDistribution(0, len(values) - 1) if _ordered(values) else CategoricalDistribution(range(len(values)))
        for name, values in choices.items()
    }
    done = [{name: values.index(trial.values[name]) for name, values in choices.items()} for trial in trials]
    seed = int(digest_of([seed, len(trials)], 8), 16)
    study = optuna.create_study(direction="maximize", sampler=TPESampler(n_startup_trials=START, seed=seed))
    worst = min((trial.objective for trial in trials if trial.curve), default=0.0)
    for params, trial in zip(done, trials, strict=True):
        # What diverged is as bad as the worst: TPE would learn nothing from a failure.
        study.add_trial(create_trial(params=params, distributions=space, value=trial.objective if trial.curve else worst))
    for _ in range(MOST_DRAWS):
        asked = study.ask(space)
        drawn = asked.params
        if drawn not in done:
            break
        study.tell(asked, state=TrialState.FAIL)
    else:
        # TPE keeps to what was tried already.
        every = (dict(zip(choices, numbers, strict=True)) for numbers in itertools.product(*map(range, map(len, choices.values()))))
        drawn = random.Random(seed).choice([each for each in every if each not in done])
    return {name: values[drawn[name]] for name, values in choices.items()}


def summary(search: Search) -> str:
    """The trials as a table, best first."""
    steps = sorted({step for trial in search.trials for step in trial.curve})
    lines = [["trial", *search.choices, *map(str, steps), "gap_closed", "failed", "seconds"]]
    for number, trial in sorted(enumerate(search.trials), key=lambda pair: -pair[1].objective if pair[1].curve else math.inf):
        cells = [f"{trial.curve[step]:.3f}" if step in trial.curve else "-" for step in steps]
        objective = f"{trial.objective:.3f}" if trial.curve else "diverged"
        values = [config.said({"": value})[1:] for value in trial.values.values()]
        lines.append([str(number + 1), *values, *cells, objective, str(trial.failed or ""), f"{trial.seconds:.0f}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _ordered(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _without(settings: Mapping[str, Any], names: Any) -> dict[str, Any]:
    """The settings but for those options of the algorithm."""
    return {**settings, "algo": {name: value for name, value in settings["algo"].items() if name not in names}}


def _similarity() -> config.Plugin:
    return config.Plugin("speaker_similarity", registry.load("metric", "speaker_similarity").Config())
