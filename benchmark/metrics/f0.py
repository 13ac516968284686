"""Errors of the fundamental frequency: how far the melody is off, and how often voicing is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.scoring.checks import require_speech


class F0(Metric):
    """F0 error in cents and voicing error in percent, between frames that dynamic time warping pairs; 0 is perfect.

    ``f0_rmse`` = √(mean (1200 · log₂(f̂ / f))²) over the pairs that are voiced in both. ``vuv_error`` = 100 × the share
    of pairs of which one is voiced and the other is not. F0 and voicing are those of SwiftF0 (Nieradzik, "SwiftF0: Fast and
    Accurate Monophonic Pitch Detection", 2025, arXiv:2508.18440), a network with weights in its wheel, from 48 to 800 Hz,
    interpolated from its 16 ms to 5 ms; the pairs are those of the path that ``mcd`` is computed on. Versions 1 and 2 took
    Harvest (Morise, Interspeech 2017) with D4C's LoveTrain, which cost some 20 times more and erred by octaves more often.
    """

    version = "3"
    columns: ClassVar = {
        "f0_rmse": Column(
            unit="cents",
            meaning="how far the pitch is from the recording's",
            higher_is_better=False, low=0.0,
        ),
        "vuv_error": Column(
            unit="%",
            meaning="how often voicing differs from the recording's",
            higher_is_better=False, low=0.0, high=100.0,
        ),
    }
    needs = ("speech", "reference")

    def score(self, sample: Sample) -> dict[str, float]:
        """Cents and percent.

        Raises:
            CannotScore: either audio is empty, silent, not finite or shorter than 1/10 s, or no pair is voiced in both.
        """
        from benchmark.scoring.world import analyse, warp

        audio = require_speech(sample.audio, "synthesised audio", seconds=0.1)
        reference = require_speech(sample.reference, "reference", seconds=0.1)
        pairs, _ = warp(reference, audio)
        wanted, said = analyse(reference).pitch[pairs[:, 0]], analyse(audio).pitch[pairs[:, 1]]
        both = (wanted > 0) & (said > 0)
        if not both.any():
            raise CannotScore("no frame is voiced in both the synthesised audio and the reference")
        cents = 1200.0 * np.log2(said[both] / wanted[both])
        return {
            "f0_rmse": float(np.sqrt(np.mean(np.square(cents)))),
            "vuv_error": float(100.0 * np.mean((wanted > 0) != (said > 0))),
        }


PLUGIN = F0
