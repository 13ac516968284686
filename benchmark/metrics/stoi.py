"""STOI and ESTOI: short-time objective intelligibility."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.scoring.checks import aligned_pair


class STOI(Metric):
    """Correlation of the short-time band envelopes with the real recording's, about 0 (noise) … 1 (identical).

    ``stoi``: Taal, Hendriks, Heusdens, Jensen (IEEE TASLP 2011), eq. 5 and 6: at 10 kHz, 15 one-third-octave bands from 150 Hz,
    segments of 384 ms; the synthesised envelope is scaled to the reference's energy, clipped at −15 dB
    signal-to-distortion and correlated with the reference's, and the correlations are averaged over bands and segments.
    Frames more than 40 dB below the reference's loudest are left out. ``estoi``: Jensen & Taal (IEEE TASLP 2016), eq. 8: the same
    bands and segments, without clipping, correlated over time and then over bands, so that modulations common to
    several bands count. Package ``pystoi``. Speech with other durations than the recording's would get a meaningless
    value, so only aligned speech is scored.
    """

    version = "2"
    columns: ClassVar = {
        "stoi": Column(
            unit="",
            meaning="predicted intelligibility against the recording",
            higher_is_better=True, low=-1.0, high=1.0,
        ),
        "estoi": Column(
            unit="",
            meaning="predicted intelligibility against the recording, rewarding modulation",
            higher_is_better=True, low=-1.0, high=1.0,
        ),
    }
    needs = ("aligned", "reference")

    def score(self, sample: Sample) -> dict[str, float]:
        """The mean correlations.

        Raises:
            CannotScore: the reference has under 384 ms of non-silent speech, or the lengths differ.
        """
        reference, audio = aligned_pair(sample, seconds=0.5)
        return {"stoi": _correlation(reference, audio, False), "estoi": _correlation(reference, audio, True)}


def _correlation(reference: Audio, audio: Audio, extended: bool) -> float:
    from pystoi import stoi

    with warnings.catch_warnings(), _seeded():
        # With too few frames pystoi warns and returns 1e-5, which would be averaged as if measured.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            value = float(stoi(reference, audio, SAMPLE_RATE, extended=extended))
        except RuntimeWarning as warning:
            raise CannotScore(f"STOI gives no value: {warning}") from warning
    if not math.isfinite(value):
        raise CannotScore(f"STOI gave {value}")
    return value


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed NumPy's global generator, from which pystoi adds noise of 1e-16 to the envelopes of ESTOI."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


PLUGIN = STOI
