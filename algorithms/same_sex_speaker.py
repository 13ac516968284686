"""Floor: the pretrained backbone speaking as somebody else of the target's sex."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, Labels
from benchmark.backbone import SynthesisBackbone
from benchmark.errors import AdaptationFailed


class SameSexSpeaker(Algorithm):
    """The shared pretraining alone, with the vector of one training speaker of the target's sex, drawn for each episode.

    Next to ``wrong_speaker``, it tells how much of a score is due to the sex. The label ``sex`` tells it; nothing is heard of the target.
    """

    backbone: SynthesisBackbone
    trains = False
    needs = ("speaker_vector",)
    uses_support = False
    labels = ("sex",)
    max_steps = 0

    def adapt(self, support: Labels, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:  # type: ignore[override]
        """See :meth:`Algorithm.adapt`."""
        alike = [row for row, labels in enumerate(support.training) if labels["sex"] == support.target["sex"]]
        if not alike:
            raise AdaptationFailed(f"no training speaker has the sex {support.target['sex']}")
        vector = self.backbone.speaker_vectors().detach()[alike[int(torch.randint(len(alike), ()))]]
        for step in steps:
            yield step, AdaptedModel(self.backbone, speaker=vector)

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = SameSexSpeaker
