"""What tuning maximises, from the scores of a run: the gains that the problem is ``tuned_by``, joined so that none can be had alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import fit, registry
from benchmark.problem import Problem
from benchmark.settings import config
from benchmark.settings.schema import RunSettings

if TYPE_CHECKING:
    import pandas


FAILED = -1.0
"""The gain of what could not be scored: as far below no gain as the goal is above it, so that failing never pays."""


def scorers(settings: RunSettings, problem: Problem, plugins: registry.Plugins) -> dict[str, config.Plugin]:
    """The metric for each column that tuning goes by: one of those given, or else of all; without columns, other than the first, that
    no metric can score with this backbone.

    Raises:
        UsageError: there is none for the first.
    """
    given = {chosen.name: chosen for chosen in settings.metrics}
    found: dict[str, config.Plugin] = {}
    for name in [*given, *registry.find("metric", plugins)]:
        with suppress(BenchmarkError):  # a broken plugin has no columns
            for column in fit.declared("metric", name, plugins).facts.get("columns") or ():
                if column in problem.tuned_by and column not in found and fit.fitting([name], settings.backbone.name, plugins):
                    found[column] = given.get(name) or config.Plugin(name, registry.load("metric", name, plugins).Config())
    first = next(iter(problem.tuned_by))
    if first not in found:
        raise UsageError(f"No metric has the column {first}, which tuning needs; give its file with --plugin.")
    return {column: found[column] for column in problem.tuned_by if column in found}


def curve(problem: Problem, rows: pandas.DataFrame, column: str, corpus: Corpus) -> dict[int, float]:
    """The gain of a column by adaptation steps, a mean over speakers; what could not be scored counts as ``FAILED``.

    Args:
        problem: says what a score is worth.
        rows: of ``episodes.csv``.
        column: one that the problem is ``tuned_by``.
        corpus: has the queries' recordings.
    """
    queries = {name: corpus[name] for name in rows["utterance"].unique()}
    scored = zip(rows["utterance"], rows[column], strict=True)
    gains = rows.assign(gain=[problem.gain(column, score, queries[name], corpus.statistics) for name, score in scored])
    speakers = gains.fillna({"gain": FAILED}).groupby(["steps", "speaker"])["gain"].mean()
    return {int(step): float(value) for step, value in dict(speakers.groupby("steps").mean()).items()}


def joined(gains: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The geometric mean of several gains at each step; the least of them where one is not above 0."""
    found = {}
    for step in gains[0] if gains else ():
        values = [gain[step] for gain in gains]
        found[step] = math.prod(values) ** (1 / len(values)) if min(values) > 0 else min(values)
    return found
