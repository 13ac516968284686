"""What the error rates of transcripts share."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.errors import CannotScore
from benchmark.metric import Sample
from benchmark.utterance import spelled


def error_rate(sample: Sample, rate: Callable[[str, str], float]) -> float:
    """The rate of errors of a transcript; both texts as :func:`benchmark.utterance.spelled` writes them.

    Args:
        sample: to score.
        rate: of (what was said, what was understood).

    Raises:
        CannotScore: nothing was said.
    """
    said = spelled(sample.transcript)
    if not said:
        raise CannotScore("the transcript is empty")
    return float(rate(said, spelled(sample.text)))
