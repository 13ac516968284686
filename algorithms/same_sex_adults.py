"""Floor: the pretrained backbone speaking as the mean of the adults of the target's sex."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm, Labels
from benchmark.backbone import SynthesisBackbone
from benchmark.errors import AdaptationFailed

ADULT = 18


class SameSexAdults(Algorithm):
    """The shared pretraining alone, with the mean vector of the training speakers of 18 years or more and of the target's sex.

    Next to ``mean_speaker``, it tells how much of a score is due to age and sex, where test speakers are adults and many training
    speakers are children. The labels ``sex`` and ``age`` tell them; nothing is heard of the target.
    """

    backbone: SynthesisBackbone
    trains = False
    needs = ("speaker_vector",)
    uses_support = False
    labels = ("sex", "age")
    max_steps = 0

    def adapt(self, support: Labels, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:  # type: ignore[override]
        """See :meth:`Algorithm.adapt`."""
        sex, people = support.target["sex"], enumerate(support.training)
        alike = [row for row, labels in people if labels["sex"] == sex and float(labels["age"]) >= ADULT]
        if not alike:
            raise AdaptationFailed(f"no training speaker of {ADULT} or more has the sex {sex}")
        vector = self.backbone.speaker_vectors().detach()[alike].mean(0)
        for step in steps:
            yield step, AdaptedModel(self.backbone, speaker=vector)

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = SameSexAdults
