"""Word error rate of a recogniser's transcript."""

from __future__ import annotations

from typing import ClassVar

import jiwer

from benchmark.metric import Column, Metric, Sample
from benchmark.metrics._error_rate import error_rate


class WER(Metric):
    """(Substitutions + deletions + insertions) / words of the real transcript (Levenshtein 1966), by jiwer; 0 is perfect.

    Insertions can take it over 1.

    Case and punctuation don't count: both texts are compared as :func:`benchmark.utterance.spelled` writes them, in letters, digits,
    apostrophes and single spaces.
    """

    version = "1"
    columns: ClassVar = {
        "wer": Column(unit="fraction", meaning="share of words that the transcript has wrong", higher_is_better=False, low=0.0),
    }
    needs = ("text", "transcript")

    def score(self, sample: Sample) -> dict[str, float]:
        """See :meth:`Metric.score`."""
        return {"wer": error_rate(sample, jiwer.wer)}


PLUGIN = WER
