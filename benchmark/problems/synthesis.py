"""Synthesis: text to speech that sounds like the target."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from benchmark.problem import Prediction, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from benchmark.algorithm import Adapted
    from benchmark.utterance import PreparedUtterance, Statistics
    from benchmark.vocoder import Vocoder

LEAST_ERROR = 1e-3
"""Of a mumble, so that a recording of silence does not divide by zero."""


class Synthesis(Problem):
    """The adapted backbone predicts a mel spectrogram; the vocoder turns it into a waveform."""

    name = "synthesis"
    speaks = True
    metrics = ("mcd", "mel_error", "f0", "duration_error", "pesq", "stoi", "naturalness", "speaker_similarity", "per", "gop")
    task_metrics: ClassVar = {"style": ("style_gap",)}
    references = ("ground_truth", "copy_synthesis", "no_adaptation", "mean_speaker", "wrong_speaker")
    beside: ClassVar = {"ground_truth": "recording", "copy_synthesis": "copy synthesis"}
    objective = "gap_closed"
    tuned_by: ClassVar = {"gap_closed": "gap_closed", "mel_error": "mel_explained"}

    def provides(self, supports: Collection[str]) -> frozenset[str]:
        """See :meth:`Problem.provides`."""
        aligned = {"aligned"} if "durations" in supports else set()
        return frozenset({"speech", "reference", "transcript", "centroid"} | aligned)

    def gain(self, column: str, score: float, query: PreparedUtterance, statistics: Statistics) -> float:
        """See :meth:`Problem.gain`: the share of the gap that is closed, or that of the spectrogram that is explained.

        The latter is 1 - error / error of a mumble in the target's own voice: every frame is the recording's median spectrum, which
        has the least error of all spectra that never change. So whatever says nothing has 0 or less, however much like the target.
        """
        return 1 - score / mumble(query, statistics) if column == "mel_error" else score

    def predict(self, model: Adapted, query: PreparedUtterance, aligned: bool, vocoder: Vocoder) -> Prediction:
        """See :meth:`Problem.predict`."""
        import torch

        from benchmark.algorithm import Oracle

        if isinstance(model, Oracle):
            return Prediction.speech(_array(model.heard(query, vocoder)), query.mel)
        mel = model.mel(torch.tensor(query.tokens), torch.tensor(query.durations) if aligned else None)
        return Prediction.speech(_array(model.run("vocode", mel, vocoder)), _array(mel))


def mumble(query: PreparedUtterance, statistics: Statistics) -> float:
    """The mel error (:mod:`benchmark.metrics.mel_error`) of the spectrum that never changes and comes closest to a recording's."""
    import numpy as np

    away = np.abs(query.mel - np.median(query.mel, axis=0)) / np.array(statistics.mel_std)
    return max(float(away.mean()), LEAST_ERROR)


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = values.detach().cpu().float().numpy()
    return array
