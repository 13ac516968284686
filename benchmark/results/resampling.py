"""The parts of hierarchical bootstraps: values by speaker, seed and episode, draws from them, and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Units = list[list[list[npt.NDArray[Any]]]]
"""Values: for each speaker, under each seed, one array per episode; nothing where a speaker has no score."""


def units_of(values: pd.DataFrame, column: str) -> Units:
    """A column's values, by speaker, seed and episode, each in rising order.

    Args:
        values: columns "speaker", "seed", "episode" and ``column``, at least one row, no NaN.
        column: whose values to group.
    """
    # Pandas' groupby would take most of the time of an estimate.
    codes, uniques = zip(*(pd.factorize(values[name], sort=True) for name in ("speaker", "seed", "episode")), strict=True)
    speakers, seeds, episodes = map(len, uniques)
    cells = (codes[0] * seeds + codes[1]) * episodes + codes[2]
    order = np.argsort(cells, kind="stable")
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    found: Units = [[[] for _ in range(seeds)] for _ in range(speakers)]
    for first, unit in zip(order[starts], np.split(values[column].to_numpy()[order], starts[1:]), strict=True):
        found[codes[0][first]][codes[1][first]].append(unit)
    return found


def means_of(units: Units) -> npt.NDArray[np.float64]:
    """Each speaker's mean over (seed, episode) of the means over utterances, shape (speakers,)."""
    return np.array([np.mean([unit.mean() for episodes in speaker for unit in episodes]) for speaker in units])


@dataclass(frozen=True)
class Spread:
    """The variance of a mean, and how far a bootstrap over few speakers underestimates it.

    Attributes:
        variance: of the mean, with speakers and seeds as crossed random effects.
        freedom: its degrees of freedom, by Satterthwaite.
        short: its ratio to the bootstrap's variance, which counts (n - 1) / n of the share of n speakers.
    """

    variance: float
    freedom: float
    short: float


def spread_of(units: Units) -> Spread:
    """The spread of the mean of at least two speakers."""
    cells = np.array([[np.mean([unit.mean() for unit in each]) if each else np.nan for each in speaker] for speaker in units])
    speakers, seeds = cells.shape
    by_speaker = float(np.nanmean(cells, axis=1).var(ddof=1)) / speakers
    by_seed = float(np.nanmean(cells, axis=0).var(ddof=1)) / seeds if seeds > 1 else 0.0
    total = by_speaker + by_seed
    if not total > 0:
        return Spread(total, speakers - 1, speakers / (speakers - 1))
    freedom = total**2 / (by_speaker**2 / (speakers - 1) + (by_seed**2 / (seeds - 1) if seeds > 1 else 0.0))
    return Spread(total, freedom, total / (by_speaker * (speakers - 1) / speakers + by_seed))


def interval(draws: npt.NDArray[np.float64], spread: Spread) -> tuple[float, float]:
    """The expanded percentile interval."""
    alpha = stats.norm.cdf(np.sqrt(spread.short) * stats.t.ppf(0.025, spread.freedom))
    low, high = np.quantile(draws, [alpha, 1 - alpha])
    return float(low), float(high)


def drawn_seeds(count: int, resamples: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Places of the seeds drawn for each resample, shape (resamples, seeds drawn)."""
    if count == 1:
        return np.zeros((resamples, 1), np.int64)
    return generator.integers(count, size=(resamples, count - 1))


def drawn_means(
    by_seed: list[list[npt.NDArray[np.float64]]], seeds: npt.NDArray[np.int64], generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draws of a speaker's mean, one per row of ``seeds``: under each seed, draws episodes, then utterances, with replacement."""
    if len(by_seed) == 1 and len(by_seed[0]) == 1:  # as below, without choosing between one
        (unit,) = by_seed[0]
        drawn: npt.NDArray[np.float64] = unit[generator.integers(len(unit), size=(len(seeds), len(unit)))].mean(1)
        return drawn
    means = np.full(seeds.shape, np.nan)
    for place, units in enumerate(by_seed):
        here = seeds == place
        if units and here.any():
            picked = generator.integers(len(units), size=(int(here.sum()), len(units)))
            found = np.empty(picked.shape)
            for number, unit in enumerate(units):
                where = picked == number
                found[where] = unit[generator.integers(len(unit), size=(int(where.sum()), len(unit)))].mean(1)
            means[here] = found.mean(1)
    # A speaker without a score under any drawn seed counts with the mean of all its scores.
    whole = np.mean([unit.mean() for units in by_seed for unit in units])
    scored = ~np.isnan(means)
    return np.where(scored.any(1), np.where(scored, means, 0).sum(1) / np.maximum(scored.sum(1), 1), whole)


def drawn_units(by_seed: list[list[npt.NDArray[Any]]], seeds: npt.NDArray[np.int64]) -> list[list[npt.NDArray[Any]]]:
    """A speaker's episodes under each drawn seed; under all seeds if none of those has a score, as in :func:`drawn_means`."""
    return [by_seed[place] for place in seeds if by_seed[place]] or [units for units in by_seed if units]


def drawn_places(sizes: Sequence[int], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """From within each of several lists as many places as it has, with replacement; as places in all of them, one after the other."""
    # Lists of one size at once: a draw costs next to nothing, a call a lot.
    drawn = [generator.integers(size, size=(len(list(same)), size)).ravel() for size, same in groupby(sizes)]
    starts = np.cumsum(sizes) - sizes
    return np.concatenate(drawn) + np.repeat(starts, sizes)
