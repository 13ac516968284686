"""Floor: the pretrained backbone speaking as somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm
from benchmark.backbone import SynthesisBackbone
from benchmark.batch import Batch


class WrongSpeaker(Algorithm):
    """The shared pretraining alone, with one training speaker's vector, drawn for each episode."""

    backbone: SynthesisBackbone
    trains = False
    needs = ("speaker_vector",)
    uses_support = False
    max_steps = 0

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        vectors = self.backbone.speaker_vectors().detach()
        vector = vectors[int(torch.randint(len(vectors), ()))]
        for step in steps:
            yield step, AdaptedModel(self.backbone, speaker=vector)

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = WrongSpeaker
