"""What adaptation costs: the cost columns of leaderboards."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.metric import Column

COSTS: Mapping[str, Column] = {
    "seconds_to_adapt": Column(
        unit="s", meaning="wall time to adapt to one speaker, on the row's device (of a CPU: one core)", higher_is_better=False, low=0
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


def brief(value: float) -> str:
    """A cost with three digits: "0.0318", "15.5", "2.99M", "1.8T"."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
