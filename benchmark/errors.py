"""The errors that the command line turns into one sentence and an exit status."""

from __future__ import annotations

from collections.abc import Mapping


class BenchmarkError(Exception):
    """Something failed; the message is one sentence that says what is wrong, where, and what to do (exit 1)."""

    exit_status = 1


class UsageError(BenchmarkError):
    """The caller gave an unknown name or key, or a value that can't be used (exit 2)."""

    exit_status = 2


class ExtraMissing(BenchmarkError):
    """A library of one of the project's extras is not installed.

    Args:
        needed_by: what needs it, as the user wrote it ("--wandb").
        library: its name.
        extra: the extra that brings it.
    """

    def __init__(self, needed_by: str, library: str, extra: str) -> None:
        super().__init__(f"{needed_by} needs {library}, which is not installed: pip install -e '.[{extra}]'.")


class TrainingDiverged(BenchmarkError):
    """The loss or the gradients of a training are no longer finite."""


class CannotScore(Exception):
    """A metric has no value for one sample; the message is the reason, which is recorded and counted.

    Args:
        reason: why.
        values: those of the columns that do have one.
    """

    def __init__(self, reason: str, values: Mapping[str, float] | None = None) -> None:
        super().__init__(reason)
        self.values = dict(values or {})


class AdaptationFailed(Exception):
    """An algorithm could not adapt on one episode (a NaN loss, say); the episode is recorded as failed and counted."""


class PredictionFailed(Exception):
    """A model has no prediction for one query (its durations ran out of bounds, say); recorded for each metric and counted."""


def text_of(error: BaseException) -> str:
    """An error's message; "" if it fails to say one, as a plugin's own error may, in any way."""
    try:
        return str(error)
    except BaseException:
        return ""
