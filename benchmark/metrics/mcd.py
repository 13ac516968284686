"""MCD: mel-cepstral distortion."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.metric import Column, Metric, Sample
from benchmark.scoring.checks import require_speech

DECIBEL = 10.0 * np.sqrt(2.0) / np.log(10.0)


class MCD(Metric):
    """Mel-cepstral distortion between synthesised and real speech in dB, 0 for identical speech.

    Kubichek (1993): (10·√2 / ln 10) · mean ‖c − ĉ‖ over the path of exact dynamic time warping with Euclidean cost
    (steps (1,1), (1,0), (0,1), equal weights; ``librosa.sequence.dtw``). c are mel-cepstra 1 … 24 with α = 0.41 of
    WORLD's envelope every 5 ms (CheapTrick; Morise 2015), which needs the pitch: SwiftF0's, as in ``f0`` (Harvest's until
    version 2). **c0 is dropped**: it holds the loudness.
    Published values differ in order, α, analysis and warping: compare only rows of the same ``version``.
    """

    version = "3"
    columns: ClassVar = {
        "mcd": Column(
            unit="dB",
            meaning="how far the spectral envelope is from the recording's",
            higher_is_better=False, low=0.0, headline=True,
        ),
    }
    needs = ("speech", "reference")

    def score(self, sample: Sample) -> dict[str, float]:
        """The distortion in dB.

        Raises:
            CannotScore: either audio is empty, silent, not finite or shorter than 1/10 s.
        """
        from benchmark.scoring.world import warp

        audio = require_speech(sample.audio, "synthesised audio", seconds=0.1)
        reference = require_speech(sample.reference, "reference", seconds=0.1)
        return {"mcd": float(DECIBEL * warp(reference, audio)[1])}


PLUGIN = MCD
