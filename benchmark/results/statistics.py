"""Means and intervals over speakers, episodes, utterances and seeds; paired comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from benchmark.scoring.verification import equal_error_rate

RESAMPLES = 2000
PERMUTATIONS = 9999


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


def estimate(frame: pd.DataFrame, column: str, resamples: int = RESAMPLES, seed: int = 0, trim: float = 0.0) -> Estimate:
    """Hierarchical bootstrap: speakers are drawn with replacement, then episodes within each, then utterances.

    Runs of several seeds count as further episodes of the same speakers: new speakers are what a reader generalises
    to, so they are the top level. The percentiles are widened for few speakers (Hesterberg, "What Teachers Should
    Know About the Bootstrap", 2015, section 5.3: expanded percentile interval).

    Args:
        frame: columns "speaker", "episode", optionally "seed", and ``column``; NaN means failed.
        column: what to average.
        resamples: bootstrap draws.
        seed: of the draws.
        trim: share of the speakers left out at either end; .25 gives the interquartile mean (Agarwal et al., "Deep
            Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021), which one odd voice can't move.
    """
    values = frame.dropna(subset=[column])
    failed = len(frame) - len(values)
    if values.empty:
        return Estimate(np.nan, np.nan, np.nan, 0, failed)
    units = ["seed", "episode"] if "seed" in values.columns else ["episode"]
    speakers = [
        [unit[column].to_numpy(float) for _, unit in group.groupby(units, sort=True)] for _, group in values.groupby("speaker", sort=True)
    ]
    mean = float(stats.trim_mean([np.mean([unit.mean() for unit in speaker]) for speaker in speakers], trim))
    count = len(speakers)
    if count < 2:
        return Estimate(mean, np.nan, np.nan, len(values), failed)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(count, size=(resamples, count))
    draws = np.empty((resamples, count))
    for number, speaker in enumerate(speakers):
        where = chosen == number
        draws[where] = _inner(speaker, int(where.sum()), generator)
    return Estimate(mean, *_interval(stats.trim_mean(draws, trim, axis=1), count), len(values), failed)


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
        draws[number] = rate(np.concatenate([unit[generator.integers(len(unit), size=len(unit))] for unit in chosen]))
    return Estimate(everything, *_interval(draws, len(speakers)), len(kept), len(frame) - len(kept))


def _inner(units: list[npt.NDArray[np.float64]], size: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """``size`` draws of a speaker's mean: units with replacement, utterances within each with replacement."""
    picked = generator.integers(len(units), size=(size, len(units)))
    means = np.empty((size, len(units)))
    for number, unit in enumerate(units):
        where = picked == number
        means[where] = unit[generator.integers(len(unit), size=(int(where.sum()), len(unit)))].mean(1)
    return means.mean(1)


@dataclass(frozen=True)
class Comparison:
    """Two algorithms on the same queries.

    Attributes:
        difference: ours minus theirs.
        better: the probability that ours is better on a query, ties counting half, with its interval.
        effect: Cohen's d of the speakers' mean differences (their mean over their standard deviation).
        p: that speakers' differences have either sign by chance: two-sided sign-flip permutation test over speakers
            (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005), exact up to 13 of them. NaN where one
            speaker leaves nothing to test, and where ours are theirs to the digit: models not yet adapted, say.
        least: the smallest p that so many speakers can give.
    """

    difference: Estimate
    better: Estimate
    effect: float
    p: float
    least: float


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, column: str, higher_is_better: bool) -> Comparison:
    """Pair two runs query by query, and speaker by speaker.

    Args:
        ours, theirs: as for :func:`estimate`, with "utterance"; each query once a (seed, episode). Queries that only one of
            them has, or could score, are left out.
        column: what to compare.
        higher_is_better: the column's sense.
    """
    keys = [key for key in ("seed", "speaker", "episode", "utterance") if key in ours.columns and key in theirs.columns]
    both = ours[[*keys, column]].merge(theirs[[*keys, column]], on=keys, suffixes=("", "_theirs"))
    both["difference"] = both[column] - both[f"{column}_theirs"]
    sign = np.sign(both["difference"]) if higher_is_better else -np.sign(both["difference"])
    both["better"] = (1 + sign) / 2
    units = [key for key in ("seed", "episode") if key in keys]
    differences = both.groupby(["speaker", *units])["difference"].mean().groupby("speaker").mean().dropna().to_numpy(float)
    effect, p = np.nan, np.nan
    if len(differences) > 1:
        middle, spread = float(differences.mean()), float(differences.std(ddof=1))
        effect = middle / spread if spread > 0 else np.copysign(np.inf, middle) if middle else 0.0
        if differences.any():
            test = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=PERMUTATIONS, random_state=0)
            p = float(test.pvalue)
    least = max(2.0 ** (1 - len(differences)), 2 / (PERMUTATIONS + 1))
    return Comparison(estimate(both, "difference"), estimate(both, "better"), effect, p, least)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values ("A Simple Sequentially Rejective Multiple Test Procedure", 1979); NaN stays, and counts as no test."""
    adjusted = [np.nan] * len(p)
    order = sorted((value, place) for place, value in enumerate(p) if not np.isnan(value))
    highest = 0.0
    for rank, (value, place) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def area(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Area under each query's adaptation curve, by the trapezoid rule over log(1 + steps), divided by the axis's length.

    In the column's own unit, a mean over the curve in which the first steps count most. A query that was not scored at
    every step has none.

    Args:
        frame: columns "speaker", "episode", "utterance", "shots", "steps", optionally "seed", and ``column``.

    Returns:
        one row a query and number of shots, without "steps".
    """
    keys = [key for key in ("seed", "speaker", "episode", "utterance", "shots") if key in frame.columns]
    curves = frame.pivot(index=keys, columns="steps", values=column)
    if curves.shape[1] == 1:
        return curves.iloc[:, 0].rename(column).reset_index()
    axis = np.log1p(curves.columns.to_numpy(float))
    area = np.trapezoid(curves.to_numpy(float), axis, axis=1) / (axis[-1] - axis[0])
    return pd.Series(area, curves.index, name=column).reset_index()
