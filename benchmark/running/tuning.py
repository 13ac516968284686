"""Tuning: choose an algorithm's options on validation speakers, with the same number of trials for every algorithm.

A trial is a run on the validation speakers, at the largest of the preset's shots, scored by the metrics that have the columns which
the problem is ``tuned_by``. Each becomes a gain, a mean over speakers at each of the preset's steps; the trial's curve is the geometric
mean of the gains, and its objective the mean of the curve (the area under the adaptation curve), so that both fast learning and a high
end count. An utterance that could not be scored counts as -1: left out, or at 0, it would reward options that fail where others do badly.

:mod:`benchmark.running.trials` chooses each trial's values and keeps its outcome; the CSV table is rewritten after each trial.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.algorithm import Algorithm
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, TrainingDiverged, UsageError
from benchmark.plugins import fit, registry
from benchmark.plumbing.files import digest_of, write_text
from benchmark.results.episode_tables import EPISODES_FILE, read_episodes
from benchmark.running.building import build, spec_of
from benchmark.running.checks import check_fit
from benchmark.running.episodes import sizes_of
from benchmark.running.identity import identify
from benchmark.running.objective import curve, joined, scorers
from benchmark.running.preparation import open_manifest
from benchmark.running.run import Places, corpus_of, run
from benchmark.running.trials import Proposal, Trial, Trials, Values, ordered
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.settings.tuned_values import tuned_name

COLUMNS = ("failed", "seconds", "note", "run_id", "setup")


class Search:
    """The trials of one algorithm on one dataset with one preset.

    Args:
        settings: of the runs; split, metrics and shots are replaced.
        places: ``output`` holds a folder for each dataset, problem and preset, with tables and ``runs``.

    Attributes:
        table: the trials' CSV file, complete after each trial.

    Raises:
        UsageError: the algorithm has nothing to tune or does not fit the backbone, or no metric has the problem's objective.
        BenchmarkError: there is a table, but no record of its trials with this code, data and settings.
    """

    def __init__(self, settings: RunSettings, places: Places) -> None:
        self.plugins = tuple(str(path) for path in places.plugins)
        self.problem = fit.problem_of(settings.backbone.name, self.plugins)
        chosen = scorers(settings, self.problem, self.plugins)
        self.columns = tuple(chosen)
        self.settings = replace(
            settings, shots=(max(settings.shots),), metrics=tuple(chosen.values()),
            evaluation=replace(settings.evaluation, split="validation"),
        )  # fmt: skip
        check_fit(self.settings, self.plugins)
        name = settings.algo.name
        folder = places.output / tuned_name(settings, self.plugins)
        self.places = replace(places, output=folder / "runs")
        self.table = folder / f"{name}.csv"
        self.journal = self.table.with_suffix(".journal")
        self._check_journal()  # first, because preparing a corpus takes minutes
        self.plugin: type[Algorithm] = registry.load("algorithm", name, self.plugins)
        self.choices = choices(self.plugin, settings.algo.config)
        if not self.choices:
            raise UsageError(f"{name} has nothing to tune: its search_space is empty.")
        corpus = corpus_of(self.settings, places)
        self.choices = self._accepted(corpus)
        self.corpus = corpus
        self.setup = self._setup(corpus)
        self._trials = self._opened()
        self._mend()

    @property
    def gained(self) -> str:
        """The name of what is maximised."""
        return self.problem.tuned_by[self.columns[0]] if len(self.columns) == 1 else "objective"

    @property
    def size(self) -> int:
        """The number of combinations."""
        return math.prod(map(len, self.choices.values()))

    @property
    def trials(self) -> list[Trial]:
        """The finished trials; the one with the options as given comes first."""
        return self._trials.done()

    @property
    def under_way(self) -> int:
        """The number of trials that are running in any process."""
        return self._trials.under_way

    def next(self, most: int) -> AbstractContextManager[Proposal | None]:
        """The next trial, until ``most`` are done or running; see :meth:`Trials.next`."""
        return self._trials.next(most)

    def attempt(self, proposal: Proposal) -> Trial:
        """Do a trial and write it to the table."""
        started, values = time.monotonic(), proposal.values
        settings = replace(self.settings, algo=replace(self.settings.algo, config=replace(self.settings.algo.config, **values)))
        gains: dict[str, dict[int, float]] = {}
        failed, note, name = 0, "", ""
        try:
            folder = run(settings, self.places, training=self._training(settings))
        except TrainingDiverged as error:
            note = str(error)
        else:
            rows, name = read_episodes(folder / EPISODES_FILE), folder.name
            failed = int(rows[list(self.columns)].isna().any(axis=1).sum())
            gains = {self.problem.tuned_by[column]: curve(self.problem, rows, column, self.corpus) for column in self.columns}
            # Many trials would keep gigabytes; the scores and the configuration stay.
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            shutil.rmtree(folder / "audio", ignore_errors=True)
        trial = Trial(values, joined(list(gains.values())), failed, time.monotonic() - started, note, name, gains)
        self._trials.tell(proposal, trial)
        write_text(self.table, self._text())
        return trial

    def best(self) -> Trial:
        """The trial with the highest objective, the earliest of equals.

        Raises:
            BenchmarkError: the training diverged in every trial.
        """
        scored = [trial for trial in self.trials if trial.curve]
        if not scored:
            raise BenchmarkError(f"The training diverged in all trials of {self.settings.algo.name}; see {self.table}.")
        return max(scored, key=lambda trial: trial.objective)

    def section(self, arguments: Sequence[str]) -> Values:
        """What to save as tuned values: the chosen options, and all others that are not defaults.

        Args:
            arguments: the settings on the command line, saved as "arguments".
        """
        given = config.plain(self.settings.algo.config)
        defaults = config.plain(self.plugin.Config())
        values = {name: value for name, value in given.items() if value != defaults.get(name)}
        best = self.best()
        beyond = [name for name, value in best.values.items() if value not in self.plugin.search_space[name]]
        return {
            "values": {**values, **{name: config.plain(value) for name, value in best.values.items()}},
            "trials": len(self.trials), self.gained: round(best.objective, 4),
            f"{self.gained}_as_given": None if not self.trials[0].curve else round(self.trials[0].objective, 4),
            "arguments": " ".join(arguments), "setup": self.setup,
            **({"given": beyond} if beyond else {}),
        }  # fmt: skip

    def _accepted(self, corpus: Corpus) -> dict[str, list[Any]]:
        """The choices without values that the algorithm refuses on this backbone, such as groups that it does not have."""
        chosen, given = self.settings.backbone, self.settings.algo.config
        backbone = build(registry.load("backbone", chosen.name, self.plugins), chosen.config, spec_of(corpus), self.settings.seed)
        self.plugin(backbone, given)  # what is given is no choice

        def accepts(name: str, value: Any) -> bool:
            try:
                self.plugin(backbone, replace(given, **{name: value}))
            except UsageError:
                return False
            return True

        return {name: [value for value in values if accepts(name, value)] for name, values in self.choices.items()}

    def _setup(self, corpus: Corpus) -> str:
        """Digest of everything that the trials share; only scores with the same digest can be compared."""
        manifest = open_manifest(corpus.own, self.plugins, sizes_of(self.settings, self.plugins), self.settings.evaluation.split)
        identity = identify(self.settings, corpus, manifest, self.plugins, self.places.hardware)
        shared = {**vars(identity), "config": _without(identity.config, self.choices)}
        return digest_of([shared, {name: config.plain(values) for name, values in self.choices.items()}], 16)

    def _training(self, settings: RunSettings) -> Path | None:
        """Where trials with the same training share its checkpoint; None if no trials can."""
        alone = [name for name in self.plugin.adaptation_only if name in self.choices]
        if not alone or not self.plugin.trains:
            return None
        key = digest_of([self.setup, self.corpus.exact_version, _without(config.to_dict(settings), alone)], 16)
        return self.table.parent / "trainings" / f"{settings.algo.name}-{key}.ckpt"

    def _check_journal(self, setup: str = "") -> None:
        """Refuse to replace a table whose trials are not in the journal, or are of another setup."""
        if not self.table.is_file():
            return
        instead = "tune into another folder with --output DIR, or move the table away to tune again."
        if not self.journal.is_file():
            raise BenchmarkError(
                f"{self.table} has no {self.journal.name} beside it, from which tuning goes on (committed tables have none): {instead}"
            )
        if setup not in self.journal.read_text(encoding="utf-8", errors="replace"):
            raise BenchmarkError(f"{self.table} was made from other code, data or settings: {instead}")

    def _opened(self) -> Trials:
        self._check_journal(self.setup)
        given = {name: getattr(self.settings.algo.config, name) for name in self.choices}
        return Trials(self.journal, self.setup, self.choices, given, seed_of_draws(self.settings))

    def _mend(self) -> None:
        """Write the table again if it is not that of the trials; say so if it was changed, and does not only lack the last ones."""
        found = self.table.read_text(encoding="utf-8", errors="replace") if self.table.is_file() else ""
        # The trials are read after the table, because other processes may add some.
        text = self._text()
        if found != text and (found or self.trials):
            known = _rows(text)
            if not all(row in known for row in _rows(found)):
                print(f"{self.table} was changed or damaged and is written again from {self._trials.path.name}.", file=sys.stderr)
            write_text(self.table, text)

    def _text(self) -> str:
        """The table of the trials, as CSV."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        names, trials = [self.problem.tuned_by[column] for column in self.columns], self.trials
        steps = sorted({step for trial in trials for step in trial.curve})
        writer.writerow(["trial", *self.choices, *(f"{name}@{step}" for name in names for step in steps), self.gained, *COLUMNS])
        for number, trial in enumerate(trials, 1):
            writer.writerow([
                number, *(json.dumps(config.plain(trial.values[name])) for name in self.choices),
                *(repr(trial.gains[name][step]) if step in trial.curve else "" for name in names for step in steps),
                f"{trial.objective:.4f}" if trial.curve else "", trial.failed, f"{trial.seconds:.0f}", trial.note, trial.run_id, self.setup,
            ])  # fmt: skip
        return buffer.getvalue()


def _rows(table: str) -> list[dict[str, Any]]:
    """The rows of a table without their numbers and empty cells, which later trials may change; [{}] if it is no table."""
    try:
        rows = list(csv.DictReader(io.StringIO(table)))
    except csv.Error:
        return [{}]
    return [{name: cell for name, cell in row.items() if cell and name != "trial"} for row in rows]


def seed_of_draws(settings: RunSettings) -> int:
    """The seed of an algorithm's draws: its own, or algorithms with the same choices would all try the same few combinations."""
    return int(digest_of([settings.seed, settings.algo.name], 8), 16)


def choices(plugin: type[Algorithm], given: Any) -> dict[str, list[Any]]:
    """The values to choose from: the plugin's search space and the given value; numbers in rising order."""
    result = {}
    for name, values in plugin.search_space.items():
        every = [*values, *([] if getattr(given, name) in values else [getattr(given, name)])]
        result[name] = sorted(every) if ordered(every) else every
    return result


def summary(search: Search) -> str:
    """The trials as a table, best first."""
    trials = search.trials
    steps = sorted({step for trial in trials for step in trial.curve})
    lines = [["trial", *search.choices, *map(str, steps), search.gained, "failed", "seconds"]]
    for number, trial in sorted(enumerate(trials), key=lambda pair: -pair[1].objective if pair[1].curve else math.inf):
        cells = [f"{trial.curve[step]:.3f}" if step in trial.curve else "-" for step in steps]
        objective = f"{trial.objective:.3f}" if trial.curve else "diverged"
        values = [config.said({"": value})[1:] for value in trial.values.values()]
        lines.append([str(number + 1), *values, *cells, objective, str(trial.failed or ""), f"{trial.seconds:.0f}"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _without(settings: Mapping[str, Any], names: Any) -> dict[str, Any]:
    """The settings without those options of the algorithm."""
    return {**settings, "algo": {name: value for name, value in settings["algo"].items() if name not in names}}
