"""What adaptation costs: the cost columns of leaderboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchmark.metric import Column

if TYPE_CHECKING:
    import pandas as pd

COSTS: Mapping[str, Column] = {
    "seconds_to_adapt": Column(
        unit="s", meaning="wall time to adapt to one speaker, on the row's device (of a CPU: on one core)", higher_is_better=False, low=0
    ),
    "peak_memory_mb": Column(unit="MB", meaning="peak memory of adaptation beyond the loaded model", higher_is_better=False, low=0),
    "real_time_factor": Column(
        unit="× real time", meaning="computing time per second of speech, vocoder included", higher_is_better=False, low=0
    ),
    "flops_to_adapt": Column(unit="operations", meaning="floating-point operations of adaptation, counted", higher_is_better=False, low=0),
    "stored_parameters": Column(
        unit="numbers", meaning="numbers to keep for each speaker beside the shared model", higher_is_better=False, low=0
    ),
    "training_tflops": Column(
        unit="TFLOP", meaning="compute of the algorithm's own training, without the shared pretraining", higher_is_better=False, low=0
    ),
}  # fmt: skip
"""Cost columns in a leaderboard's order; of all, less is better."""


WALL_TIME = ("seconds_to_adapt", "real_time_factor")
"""Costs that depend on the machine, and on what else it does."""
PER_RUN = ("training_tflops",)
"""Costs of which a run has one number, not one for each speaker."""


def with_costs(episodes: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Scores with what adaptation cost in their episode, in the columns of ``COSTS`` that are ``not PER_RUN``.

    Failed adaptations have no costs. Where runs of one seed measured an episode twice, their mean counts.

    Args:
        episodes: rows of ``episodes.csv`` with "seed".
        costs: rows of ``costs.csv`` with "seed", of the same runs.
    """
    from benchmark.results.episode_tables import COST_COLUMNS, adapted

    keys = ["seed", "speaker", "episode", "shots", "steps"]
    measured = costs.groupby(keys, as_index=False)[list(COST_COLUMNS)].mean()
    measured = measured.assign(peak_memory_mb=measured.pop("peak_memory_bytes") / 1e6)
    counted = adapted(episodes)[["flops", "stored_parameters"]].astype(float).rename(columns={"flops": "flops_to_adapt"})
    return episodes.drop(columns="stored_parameters").join(counted).merge(measured, on=keys, how="left", validate="many_to_one")


def brief(value: float) -> str:
    """A cost with three digits: "0.0318", "15.5", "2.99M", "1.8T"."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
