"""Means and intervals over speakers, episodes, utterances and seeds; paired comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.results.power import detectable
from benchmark.results.resampling import (
    Spread,
    drawn_means,
    drawn_places,
    drawn_seeds,
    drawn_units,
    interval,
    means_of,
    spread_of,
    units_of,
)
from benchmark.scoring.verification import WeightedErrorRate

RESAMPLES = 2000
SIGNIFICANT = 0.05
PERMUTATIONS = 9999
"""Sign flips to draw if the speakers allow more than that: from 14 speakers on."""


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval (NaN with a single speaker), and how many values it rests on.

    Attributes:
        mean: mean over speakers of the mean over (seed, episode) of the mean over utterances; for an equal error rate, the
            rate of all trials together.
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

    Readers generalise to new speakers, so speakers are the top level. A seed (its pretraining, its training) is common to all
    speakers, so seeds are crossed with them: each resample draws seeds once, for all speakers, one fewer than there are so that
    the spread is not underestimated (Rao and Wu, "Resampling Inference With Complex Survey Data", 1988). The percentiles are
    widened for few speakers and seeds (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.3: expanded
    percentile interval). An interval from one seed says nothing about other seeds.

    Args:
        frame: columns "speaker", "episode", optionally "seed", and ``column``; NaN means failed.
        column: what to average.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    values = _with_seed(frame).dropna(subset=[column])
    failed = len(frame) - len(values)
    if values.empty:
        return Estimate(np.nan, np.nan, np.nan, 0, failed)
    speakers = units_of(values, column)
    mean = float(means_of(speakers).mean())
    count = len(speakers)
    if count < 2:
        return Estimate(mean, np.nan, np.nan, len(values), failed)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(count, size=(resamples, count))
    seeds = drawn_seeds(len(speakers[0]), resamples, generator)
    draws = np.empty(resamples * count)
    # Where each speaker was drawn; small numbers are sorted by their digits.
    order = np.argsort(chosen.astype(np.min_scalar_type(count)), axis=None, kind="stable")
    where = np.split(order, np.cumsum(np.bincount(chosen.ravel(), minlength=count))[:-1])
    for speaker, places in zip(speakers, where, strict=True):
        draws[places] = drawn_means(speaker, seeds[places // count], generator)
    return Estimate(mean, *interval(draws.reshape(resamples, count).mean(1), spread_of(speakers)), len(values), failed)


def _with_seed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if "seed" in frame.columns else frame.assign(seed=0)


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
        trials: for each row of the frame, the score against the right speaker, then the scores against the others; or None.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    kept = [row for row, scores in enumerate(trials) if scores]
    if not kept:
        return Estimate(np.nan, np.nan, np.nan, 0, len(frame))
    rates = WeightedErrorRate(np.array([trials[row] for row in kept], dtype=np.float64))
    speakers = units_of(_with_seed(frame.iloc[kept].assign(row=range(len(kept)))), "row")
    everything = rates.of(np.ones(len(kept), np.int64))
    count = len(speakers)
    if count < 2:
        return Estimate(everything, np.nan, np.nan, len(kept), len(frame) - len(kept))
    generator = np.random.default_rng(seed)
    seeds = drawn_seeds(len(speakers[0]), resamples, generator)
    draws = np.empty(resamples)
    for number in range(resamples):
        drawn = [units for i in generator.integers(count, size=count) for units in drawn_units(speakers[i], seeds[number])]
        every = [unit for units in drawn for unit in units]
        chosen = [every[place] for place in drawn_places([len(units) for units in drawn], generator)]
        rows = np.concatenate(chosen)[drawn_places([len(unit) for unit in chosen], generator)]
        draws[number] = rates.of(np.bincount(rows, minlength=len(kept)))
    spread = Spread(np.nan, count - 1, count / (count - 1))
    return Estimate(everything, *interval(draws, spread), len(kept), len(frame) - len(kept))


@dataclass(frozen=True)
class Comparison:
    """Two algorithms on the same queries.

    Attributes:
        difference: ours minus theirs.
        better: the probability that ours is better on a query, ties counting half, with its interval.
        middle: interquartile mean of the speakers' mean differences, which one odd voice can't move (Agarwal et al., "Deep
            Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021).
        effect: Cohen's d of the speakers' mean differences (their mean over their standard deviation).
        p: of a two-sided sign-flip permutation test over speakers' differences (Good, "Permutation, Parametric and Bootstrap
            Tests of Hypotheses", 2005), exact up to 13 speakers. With several seeds, the larger of this p and that of a t-test
            with speakers and seeds as crossed random effects (Satterthwaite's degrees of freedom), because flipping speakers
            alone ignores that one pretraining affects them all. NaN if the speakers are too few for a p of .05, or if both are
            equal to the digit, as models not yet adapted are.
        detectable: the true difference that such a test shows with probability .8 if it is not corrected for others, by the
            differences' own variance (:func:`benchmark.results.power.detectable`); NaN where p is.
        speakers: how many both have.
        seeds: how many both have.
    """

    difference: Estimate
    better: Estimate
    middle: float
    effect: float
    p: float
    detectable: float
    speakers: int
    seeds: int


def compare(ours: pd.DataFrame, theirs: pd.DataFrame, column: str, higher_is_better: bool) -> Comparison:
    """Pair two runs query by query, and speaker by speaker.

    Args:
        ours, theirs: as for :func:`estimate`, with "utterance"; each query once per (seed, episode). Queries that only one of
            them has, or could score, are left out.
        column: what to compare.
        higher_is_better: of this column.
    """
    keys = [key for key in ("seed", "speaker", "episode", "utterance") if key in ours.columns and key in theirs.columns]
    both = ours[[*keys, column]].merge(theirs[[*keys, column]], on=keys, suffixes=("", "_theirs"))
    both["difference"] = both[column] - both[f"{column}_theirs"]
    sign = np.sign(both["difference"]) if higher_is_better else -np.sign(both["difference"])
    both["better"] = (1 + sign) / 2
    scored = _with_seed(both).dropna(subset=["difference"])
    units = units_of(scored, "difference") if len(scored) else []
    differences = means_of(units)
    count, seeds, effect, p, least = len(differences), scored["seed"].nunique(), np.nan, np.nan, np.nan
    middle = float(stats.trim_mean(differences, 0.25)) if count else np.nan
    if count > 1:
        mean, spread = float(differences.mean()), float(differences.std(ddof=1))
        effect = mean / spread if spread > 0 else np.copysign(np.inf, mean) if mean else 0.0
    if 2.0 ** (1 - count) <= SIGNIFICANT and differences.any():
        test = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=PERMUTATIONS, random_state=0)
        p, crossed = float(test.pvalue), spread_of(units)
        least = detectable(crossed.variance, crossed.freedom)
        if seeds > 1 and crossed.variance > 0:
            p = max(p, float(2 * stats.t.sf(abs(mean) / np.sqrt(crossed.variance), crossed.freedom)))
    return Comparison(estimate(both, "difference"), estimate(both, "better"), middle, effect, p, least, count, seeds)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values ("A Simple Sequentially Rejective Multiple Test Procedure", 1979); NaN stays, and counts as no test."""
    adjusted = [np.nan] * len(p)
    order = sorted((value, place) for place, value in enumerate(p) if not np.isnan(value))
    highest = 0.0
    for rank, (value, place) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def least_p(speakers: int, tests: int) -> float:
    """The smallest corrected p that so many speakers can give in one of so many tests: that of differences which all have one sign."""
    return max(2.0 ** (1 - speakers), 2 / (PERMUTATIONS + 1)) * max(tests, 1)


def area(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Area under each query's adaptation curve, by the trapezoid rule over log(1 + steps), divided by the axis's length.

    It has the column's unit: a mean over the curve in which the first steps count most. A query that was not scored at every
    step has no area.

    Args:
        frame: columns "speaker", "episode", "utterance", "shots", "steps", optionally "seed", and ``column``.

    Returns:
        one row per query and number of shots, without "steps".
    """
    keys = [key for key in ("seed", "speaker", "episode", "utterance", "shots") if key in frame.columns]
    curves = frame.pivot(index=keys, columns="steps", values=column)
    if curves.shape[1] == 1:
        return curves.iloc[:, 0].rename(column).reset_index()
    axis = np.log1p(curves.columns.to_numpy(float))
    area = np.trapezoid(curves.to_numpy(float), axis, axis=1) / (axis[-1] - axis[0])
    return pd.Series(area, curves.index, name=column).reset_index()
