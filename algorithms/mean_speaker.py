"""Floor: the pretrained backbone speaking as the mean of the training speakers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.algorithm import AdaptedVoice, Algorithm, Voice
from benchmark.batch import Batch


class MeanSpeaker(Algorithm):
    """The shared pretraining alone, with the mean training-speaker vector; the same voice for everybody."""

    trains = False
    uses_support = False
    max_steps = 0

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Voice]]:
        """See :meth:`Algorithm.adapt`."""
        for step in steps:
            yield step, AdaptedVoice(self.backbone, speaker=self.backbone.speaker_vectors().detach().mean(0))

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = MeanSpeaker
