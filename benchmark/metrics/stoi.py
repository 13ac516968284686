"""STOI: short-time objective intelligibility."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

from benchmark.errors import CannotScore
from benchmark.metric import SAMPLE_RATE, Metric, Sample
from benchmark.metrics import aligned_pair


class STOI(Metric):
    """Correlation of the short-time band envelopes with the real recording's, about 0 (noise) … 1 (identical).

    Taal, Hendriks, Heusdens, Jensen (IEEE TASLP 2011), eq. 5 and 6: at 10 kHz, 15 one-third-octave bands from 150 Hz,
    segments of 384 ms; the synthesised envelope is scaled to the reference's energy, clipped at −15 dB
    signal-to-distortion, and its correlation with the reference's averaged over bands and segments. Frames more than
    40 dB below the reference's loudest are left out. Package ``pystoi``. Speech made with other durations than the
    recording's gets a meaningless value, so the mode is aligned.
    """

    version = "1"
    columns = ("stoi",)
    higher_is_better: ClassVar = {"stoi": True}
    mode = "aligned"

    def score(self, sample: Sample) -> dict[str, float]:
        """The mean correlation.

        Raises:
            CannotScore: the reference has under 384 ms of non-silent speech, or the lengths differ.
        """
        from pystoi import stoi

        reference, audio = aligned_pair(sample, seconds=0.5)
        with warnings.catch_warnings():
            # Where it has too few frames pystoi warns and returns 1e-5, which would be averaged as if measured.
            warnings.simplefilter("error", RuntimeWarning)
            try:
                value = float(stoi(reference, audio, SAMPLE_RATE))
            except RuntimeWarning as warning:
                raise CannotScore(f"STOI gives no value: {warning}") from warning
        if not math.isfinite(value):
            raise CannotScore(f"STOI gave {value}")
        return {"stoi": value}


PLUGIN = STOI
