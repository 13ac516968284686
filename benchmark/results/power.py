"""What a design can detect: variance components of paired differences, and the least difference that a test would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd

POWER = 0.8
"""Chance of showing a difference of the detectable size."""
ALPHA = 0.05
"""Chance of showing one where there is none, two-sided."""


@dataclass(frozen=True)
class Design:
    """A balanced experiment.

    Attributes:
        speakers: scored ones.
        seeds: of each method.
        queries: sentences of each speaker, the same under all seeds.
    """

    speakers: int
    seeds: int
    queries: int


@dataclass(frozen=True)
class Components:
    """Variances of the difference between two methods on one sentence, as crossed and nested random effects.

    Attributes:
        speaker: between speakers.
        seed: between seeds, the same for all speakers; 0 if there is one seed.
        interaction: of speaker and seed; part of ``speaker`` if there is one seed.
        sentence: between a speaker's sentences, the same under all seeds; part of ``residual`` if there is one seed.
        residual: what is left.
    """

    speaker: float
    seed: float
    interaction: float
    sentence: float
    residual: float

    def variance(self, design: Design) -> float:
        """Of the mean difference over all sentences of a design."""
        speakers, seeds, queries = design.speakers, design.seeds, design.queries
        return (
            self.speaker / speakers
            + self.seed / seeds
            + self.interaction / (speakers * seeds)
            + self.sentence / (speakers * queries)
            + self.residual / (speakers * seeds * queries)
        )

    def detectable(self, design: Design) -> float:
        """The true difference that a t-test between a design's speakers shows; see :func:`detectable`."""
        return detectable(self.variance(design), design.speakers - 1)


def detectable(variance: float, freedom: float) -> float:
    """The true difference that a t-test shows with probability ``POWER`` at level ``ALPHA``.

    The approximation (t(1 - ALPHA / 2) + t(POWER)) * standard error (Cohen, "Statistical Power Analysis for the Behavioral
    Sciences", 1988, section 2.5).

    Args:
        variance: of the mean difference.
        freedom: its degrees of freedom.
    """
    return float((stats.t.ppf(1 - ALPHA / 2, freedom) + stats.t.ppf(POWER, freedom)) * np.sqrt(variance))


def components(differences: pd.DataFrame) -> tuple[Components, Design]:
    """Estimate the components from a balanced part of the data, by equating mean squares to their expectations; negative ones are 0.

    Args:
        differences: columns "speaker", "seed", "sentence" and "value", one row for each sentence of a speaker under a seed. Sentences
            that a seed lacks are left out, and speakers keep as many sentences as the one with fewest.

    Raises:
        ValueError: fewer than two speakers have two sentences under all seeds.
    """
    table = differences.pivot_table(index=["speaker", "sentence"], columns="seed", values="value").dropna()
    cells = [group.to_numpy().T for _, group in table.groupby(level="speaker") if len(group) > 1]
    if len(cells) < 2:
        raise ValueError("fewer than two speakers have two sentences that all seeds scored")
    queries = min(cell.shape[1] for cell in cells)
    values = np.stack([cell[:, :queries] for cell in cells])  # (speakers, seeds, sentences)
    speakers, seeds, _ = values.shape
    design = Design(speakers, seeds, queries)
    by_speaker, by_seed = values.mean((1, 2)), values.mean((0, 2))
    by_cell, by_sentence = values.mean(2), values.mean(1)

    def mean_square(deviations: np.ndarray, count: int, freedom: int) -> float:
        return float(count * np.square(deviations).sum() / freedom) if freedom else 0.0

    # Mean squares of a design with sentences nested in speakers and both crossed with seeds (Searle, Casella & McCulloch, "Variance
    # Components", 1992, chapter 4).
    nested = speakers * (queries - 1)
    ms_speaker = mean_square(by_speaker - values.mean(), seeds * queries, speakers - 1)
    ms_seed = mean_square(by_seed - values.mean(), speakers * queries, seeds - 1)
    ms_cell = mean_square(by_cell - by_speaker[:, None] - by_seed + values.mean(), queries, (speakers - 1) * (seeds - 1))
    ms_sentence = mean_square(by_sentence - by_speaker[:, None], seeds, nested)
    left = values - by_cell[:, :, None] - by_sentence[:, None] + by_speaker[:, None, None]
    ms_left = mean_square(left, 1, nested * (seeds - 1))
    if seeds == 1:
        found = [(ms_speaker - ms_sentence) / queries, 0.0, 0.0, 0.0, ms_sentence]
    else:
        found = [
            (ms_speaker - ms_cell - ms_sentence + ms_left) / (seeds * queries),
            (ms_seed - ms_cell) / (speakers * queries),
            (ms_cell - ms_left) / queries,
            (ms_sentence - ms_left) / seeds,
            ms_left,
        ]
    return Components(*(max(0.0, value) for value in found)), design


def pooled(found: Sequence[Components]) -> Components:
    """The mean of each variance over several pairs of methods."""
    return Components(*np.mean([(c.speaker, c.seed, c.interaction, c.sentence, c.residual) for c in found], axis=0).tolist())
