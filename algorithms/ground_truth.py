"""Topline: the real recording itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchmark.algorithm import Algorithm, Sentence, Voice
from benchmark.batch import Batch
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class _Recording(Voice):
    stored: Mapping[str, Tensor] = field(default_factory=dict)

    def speak(self, sentence: Sentence, vocoder: Vocoder) -> Tensor:
        assert sentence.recording is not None, "the harness shows oracles the recording"
        return torch.tensor(sentence.recording.waveform)


class GroundTruth(Algorithm):
    """The reference, unprocessed: what every metric gives for real speech."""

    trains = False
    uses_support = False
    max_steps = 0
    oracle = True

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Voice]]:
        """See :meth:`Algorithm.adapt`."""
        for step in steps:
            yield step, _Recording()

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


PLUGIN = GroundTruth
