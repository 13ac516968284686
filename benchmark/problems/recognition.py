"""Recognition: the target's speech to text."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from benchmark.problem import Prediction, Problem

if TYPE_CHECKING:
    from benchmark.algorithm import Adapted
    from benchmark.utterance import PreparedUtterance, Statistics
    from benchmark.vocoder import Vocoder


class Recognition(Problem):
    """The adapted backbone reads characters off a mel spectrogram."""

    name = "recognition"
    speaks = False
    metrics = ("cer", "wer")
    references = ("all_speech", "no_adaptation", "from_scratch")
    objective = "cer"
    tuned_by: ClassVar = {"cer": "characters_right"}

    def provides(self, supports: Collection[str]) -> frozenset[str]:
        """See :meth:`Problem.provides`."""
        return frozenset({"text", "transcript"})

    def gain(self, column: str, score: float, query: PreparedUtterance, statistics: Statistics) -> float:
        """See :meth:`Problem.gain`: the share of right characters, below 0 if errors outnumber characters."""
        return 1 - score

    def predict(self, model: Adapted, query: PreparedUtterance, aligned: bool, vocoder: Vocoder) -> Prediction:
        """See :meth:`Problem.predict`."""
        import torch

        from benchmark.algorithm import Oracle
        from benchmark.audio import SAMPLE_RATE

        if isinstance(model, Oracle):
            raise TypeError("an oracle is shown recordings to play, and recognition has nothing to play")
        return Prediction.transcript(model.transcript(torch.tensor(query.mel)), len(query.audio) / SAMPLE_RATE)
