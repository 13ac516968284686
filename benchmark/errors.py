"""The errors that the command line turns into one sentence and an exit status."""

from __future__ import annotations

from collections.abc import Mapping


class BenchmarkError(Exception):
    """Something failed; the message says in one sentence what is wrong, where, and what to do (exit 1)."""

    exit_status = 1


class UsageError(BenchmarkError):
    """The caller asked for something that cannot be: an unknown name, key or value (exit 2)."""

    exit_status = 2


class TrainingDiverged(BenchmarkError):
    """A training's loss or gradients are no longer finite."""


class CannotScore(Exception):
    """A metric has no value for one sample; the message is the reason, which is recorded and counted.

    Args:
        reason: why.
        values: of the columns that do have one.
    """

    def __init__(self, reason: str, values: Mapping[str, float] | None = None) -> None:
        super().__init__(reason)
        self.values = dict(values or {})


class AdaptationFailed(Exception):
    """An algorithm could not adapt on one episode (a NaN loss, say); the episode is recorded as failed and counted."""


class PredictionFailed(Exception):
    """A model has no answer to one query (its durations grew out of all bounds, say); recorded for each metric and counted."""


SpeechFailed = PredictionFailed
"""Its name in the first edition, for plugins that raise it."""
