"""Means and intervals over speakers, episodes, utterances and seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from benchmark.verification import equal_error_rate

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval (NaN where one speaker leaves none), and how many values it rests on.

    Attributes:
        mean: over speakers of the mean over (seed, episode) of the mean over utterances; of an equal error rate, the rate
            of all trials together.
        low, high: bounds of the interval.
        n: utterances scored.
        failed: utterances that could not be scored.
    """

    mean: float
    low: float
    high: float
    n: int
    failed: int


def estimate(frame: pd.DataFrame, column: str, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Hierarchical bootstrap: speakers are drawn with replacement, then episodes within each, then utterances.

    Runs of several seeds count as further episodes of the same speakers: new speakers are what a reader generalises
    to, so they are the top level. The percentiles are widened for few speakers (Hesterberg, "What Teachers Should
    Know About the Bootstrap", 2015, section 5.3: expanded percentile interval).

    Args:
        frame: columns "speaker", "episode", optionally "seed", and ``column``; NaN means failed.
        column: what to average.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    values = frame.dropna(subset=[column])
    failed = len(frame) - len(values)
    if values.empty:
        return Estimate(np.nan, np.nan, np.nan, 0, failed)
    units = ["seed", "episode"] if "seed" in values.columns else ["episode"]
    speakers = [
        [unit[column].to_numpy(float) for _, unit in group.groupby(units, sort=True)] for _, group in values.groupby("speaker", sort=True)
    ]
    mean = float(np.mean([np.mean([unit.mean() for unit in speaker]) for speaker in speakers]))
    count = len(speakers)
    if count < 2:
        return Estimate(mean, np.nan, np.nan, len(values), failed)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(count, size=(resamples, count))
    draws = np.empty((resamples, count))
    for number, speaker in enumerate(speakers):
        where = chosen == number
        draws[where] = _inner(speaker, int(where.sum()), generator)
    return Estimate(mean, *_interval(draws.mean(1), count), len(values), failed)


def _interval(draws: npt.NDArray[np.float64], count: int) -> tuple[float, float]:
    """The expanded percentile interval for ``count`` speakers."""
    alpha = stats.norm.cdf(np.sqrt(count / (count - 1)) * stats.t.ppf(0.025, count - 1))
    low, high = np.quantile(draws, [alpha, 1 - alpha])
    return float(low), float(high)


def summarise(frame: pd.DataFrame, columns: Sequence[str]) -> dict[str, Estimate]:
    """:func:`estimate` of every column, and :func:`estimate_eer` of every kind of trial in the column "trials"."""
    trials = [json.loads(cell) if cell else {} for cell in frame["trials"]]
    names = dict.fromkeys(name for each in trials for name in each)
    return {column: estimate(frame, column) for column in columns} | {
        name: estimate_eer(frame, [each.get(name) for each in trials]) for name in names
    }


def estimate_eer(frame: pd.DataFrame, trials: Sequence[Sequence[float] | None], resamples: int = 1000, seed: int = 0) -> Estimate:
    """Equal error rate of all trials together, with a bootstrap over speakers, then episodes, then utterances.

    Args:
        frame: columns "speaker", "episode", optionally "seed".
        trials: for each of its rows the score against the right speaker and then those against each other one, or None.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    kept = [row for row, scores in enumerate(trials) if scores]
    if not kept:
        return Estimate(np.nan, np.nan, np.nan, 0, len(frame))
    scores = np.array([trials[row] for row in kept], dtype=np.float64)

    def rate(rows: npt.NDArray[np.int64]) -> float:
        return equal_error_rate(scores[rows, 0], scores[rows, 1:].ravel())

    values = frame.iloc[kept].assign(row=range(len(kept)))
    units = ["seed", "episode"] if "seed" in values.columns else ["episode"]
    speakers = [
        [unit["row"].to_numpy() for _, unit in group.groupby(units, sort=True)] for _, group in values.groupby("speaker", sort=True)
    ]
    everything = rate(np.arange(len(kept)))
    if len(speakers) < 2:
        return Estimate(everything, np.nan, np.nan, len(kept), len(frame) - len(kept))
    generator = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for number in range(resamples):
        drawn = [speakers[i] for i in generator.integers(len(speakers), size=len(speakers))]
        chosen = [units[i] for units in drawn for i in generator.integers(len(units), size=len(units))]
        draws[number] = rate(np.concatenate([generator.choice(unit, len(unit)) for unit in chosen]))
    return Estimate(everything, *_interval(draws, len(speakers)), len(kept), len(frame) - len(kept))


def _inner(units: list[npt.NDArray[np.float64]], size: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """``size`` draws of a speaker's mean: units with replacement, utterances within each with replacement."""
    picked = generator.integers(len(units), size=(size, len(units)))
    means = np.empty((size, len(units)))
    for number, unit in enumerate(units):
        where = picked == number
        means[where] = unit[generator.integers(len(unit), size=(int(where.sum()), len(unit)))].mean(1)
    return means.mean(1)


def paired_difference(ours: pd.DataFrame, theirs: pd.DataFrame, column: str) -> Estimate:
    """``ours`` minus ``theirs`` on the same queries, with the interval of :func:`estimate`.

    Args:
        ours, theirs: as for ``estimate``, with "utterance"; each query once a (seed, episode).
        column: what to compare.
    """
    keys = [key for key in ("seed", "speaker", "episode", "utterance") if key in ours.columns and key in theirs.columns]
    both = ours.merge(theirs, on=keys, suffixes=("", "_theirs"))
    both[column] = both[column] - both[f"{column}_theirs"]
    return estimate(both, column)
