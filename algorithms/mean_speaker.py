"""Floor: the pretrained backbone speaking as the mean of the training speakers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm
from benchmark.backbone import SynthesisBackbone
from benchmark.batch import Batch


class MeanSpeaker(Algorithm):
    """The shared pretraining alone, with the mean training-speaker vector; the same voice for everybody."""

    backbone: SynthesisBackbone
    trains = False
    needs = ("speaker_vector",)
    uses_support = False
    max_steps = 0

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        for step in steps:
            yield step, AdaptedModel(self.backbone, speaker=self.backbone.speaker_vectors().detach().mean(0))

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = MeanSpeaker
