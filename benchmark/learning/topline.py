"""The base of toplines: what is heard when the recording itself, or a copy of it, takes the place of synthesis."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from benchmark.algorithm import Algorithm, Sentence, Voice
from benchmark.batch import Batch
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


class Topline(Algorithm):
    """An upper bound: adapts to nobody, and is shown the recording that others are scored against."""

    trains = False
    uses_support = False
    max_steps = 0
    oracle = True

    @staticmethod
    @abstractmethod
    def heard(recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        """The waveform for a recording, shape (samples,), float32."""

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Voice]]:
        """See :meth:`Algorithm.adapt`."""
        for step in steps:
            yield step, _Heard(type(self))

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


@dataclass(frozen=True)
class _Heard(Voice):
    topline: type[Topline]
    stored: Mapping[str, Tensor] = field(default_factory=dict)

    def speak(self, sentence: Sentence, vocoder: Vocoder) -> Tensor:
        assert sentence.recording is not None, "the harness shows oracles the recording"
        return self.topline.heard(sentence.recording, vocoder)
