"""Mel error: how far the predicted spectrogram is from the recording's, before any vocoder."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample


class MelError(Metric):
    """Mean absolute error of the predicted log-mel with the recording's durations, 0 for the recording's own.

    Each mel band is scaled by its standard deviation over the training split, and all frames and bands weigh the same, as in the loss
    that backbones minimise and that meta-learners minimise after adaptation. Pitch and energy are predicted, where the loss is
    given the recording's. No vocoder takes part. A model that blurs what it does not know is rewarded, so this does not measure
    how natural speech is.
    """

    version = "1"
    columns: ClassVar = {
        "mel_error": Column(
            unit="σ",
            meaning="how far the predicted spectrogram is from the recording's, before any vocoder",
            higher_is_better=False, low=0.0,
        ),
    }
    needs = ("aligned", "reference")

    def prepare(self, context: MetricContext) -> None:
        """Take the bands' standard deviations from the corpus."""
        self.deviation = np.array(context.corpus.statistics.mel_std)

    def score(self, sample: Sample) -> dict[str, float]:
        """The error.

        Raises:
            CannotScore: there is no predicted mel, or it has another shape than the recording's.
        """
        if sample.mel is None or sample.reference_mel is None:
            raise CannotScore("there is no mel to compare")
        if sample.mel.shape != sample.reference_mel.shape:
            raise CannotScore(f"the predicted mel has shape {sample.mel.shape}, the recording's {sample.reference_mel.shape}")
        return {"mel_error": float(np.mean(np.abs(sample.mel - sample.reference_mel) / self.deviation))}


PLUGIN = MelError
