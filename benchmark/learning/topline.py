"""The base of toplines: the recording itself, or a copy of it, takes the place of synthesis."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor

from benchmark.algorithm import Adapted, Algorithm, Oracle
from benchmark.batch import Batch
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


class Topline(Algorithm):
    """An upper bound: adapts to nobody, and gets the very recording that others are scored against."""

    trains = False
    needs = ("synthesis",)
    uses_support = False
    max_steps = 0
    oracle = True

    @staticmethod
    @abstractmethod
    def heard(recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        """The waveform for a recording, shape (samples,), float32."""

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        for step in steps:
            yield step, _Heard(type(self))

    def adapted_parameters(self) -> dict[str, int]:
        """Nothing is stored."""
        return {}


class _Heard(Oracle):
    def __init__(self, topline: type[Topline]) -> None:
        self.topline = topline

    def heard(self, recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        return self.topline.heard(recording, vocoder)
