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
    from benchmark.utterance import PreparedUtterance
    from benchmark.vocoder import Vocoder


class Synthesis(Problem):
    """The adapted backbone predicts a mel spectrogram; the vocoder turns it into a waveform."""

    name = "synthesis"
    metrics = ("mcd", "mel_error", "f0", "duration_error", "pesq", "stoi", "naturalness", "speaker_similarity", "per")
    task_metrics: ClassVar = {"style": ("style_gap",)}
    references = ("ground_truth", "copy_synthesis", "no_adaptation", "mean_speaker", "wrong_speaker")
    beside: ClassVar = {"ground_truth": "recording", "copy_synthesis": "copy synthesis"}
    objective = "gap_closed"
    gained = "gap_closed"

    def provides(self, supports: Collection[str]) -> frozenset[str]:
        """See :meth:`Problem.provides`."""
        aligned = {"aligned"} if "durations" in supports else set()
        return frozenset({"speech", "reference", "transcript", "centroid"} | aligned)

    def gain(self, score: float) -> float:
        """See :meth:`Problem.gain`: the share of the gap that is closed."""
        return score

    def predict(self, model: Adapted, query: PreparedUtterance, aligned: bool, vocoder: Vocoder) -> Prediction:
        """See :meth:`Problem.predict`."""
        import torch

        from benchmark.algorithm import Oracle

        if isinstance(model, Oracle):
            return Prediction.speech(_array(model.heard(query, vocoder)), query.mel)
        mel = model.mel(torch.tensor(query.tokens), torch.tensor(query.durations) if aligned else None)
        return Prediction.speech(_array(model.run("vocode", mel, vocoder)), _array(mel))


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = values.detach().cpu().float().numpy()
    return array
