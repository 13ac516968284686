"""What is predicted: speech from text, or text from speech. A closed set, in ``benchmark/problems/``.

A problem makes an adapted model speak or listen, so algorithms need not know which of the two they learn. It also says
what metrics can be given, what a row needs beside it, and which numbers rank and tune.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from benchmark.algorithm import Adapted
    from benchmark.audio import Audio
    from benchmark.utterance import PreparedUtterance
    from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Prediction:
    """What a model said, or understood.

    Attributes:
        audio: what it said, at 16 kHz; empty where it listens.
        text: what it understood; "" where it speaks.
        seconds: of speech said or heard, the unit of its real-time factor.
    """

    audio: Audio
    text: str
    seconds: float

    @classmethod
    def speech(cls, audio: Audio) -> Prediction:
        """Of a model that speaks."""
        from benchmark.audio import SAMPLE_RATE

        return cls(audio, "", len(audio) / SAMPLE_RATE)

    @classmethod
    def transcript(cls, text: str, seconds: float) -> Prediction:
        """Of a model that listened for so many seconds."""
        import numpy as np

        return cls(np.zeros(0, np.float32), text, seconds)


class Problem(ABC):
    """Base of the two problems.

    Attributes:
        name: "synthesis" or "recognition"; a backbone names the one that it solves.
        metrics: plugins that a run scores with unless it is told otherwise; those that are not there are passed over.
        references: algorithms, toplines and floors, without whose rows a score has no scale.
        objective: the column that tuning goes by, turned by :meth:`gain` into something to maximise.
        gained: what :meth:`gain` is called in tables of trials.
        headline: columns that tables show and rankings go by, most telling first.
    """

    name: ClassVar[str]
    metrics: ClassVar[Sequence[str]]
    references: ClassVar[Sequence[str]]
    objective: ClassVar[str]
    gained: ClassVar[str]
    headline: ClassVar[Sequence[str]]

    @abstractmethod
    def provides(self, supports: Collection[str]) -> frozenset[str]:
        """What a metric may need (``Metric.needs``), given what the backbone supports (``Backbone.supports``)."""

    @abstractmethod
    def gain(self, score: float) -> float:
        """A score in the column ``objective`` as tuning maximises it: 1 where the target is met; a failure counts as 0."""

    @abstractmethod
    def predict(self, model: Adapted, query: PreparedUtterance, aligned: bool, vocoder: Vocoder) -> Prediction:
        """What an adapted model makes of a query.

        Args:
            model: adapted to the query's target.
            query: the real utterance: its text is to be said, or its speech understood.
            aligned: speak with the reference's durations; only asked where the problem provides "aligned".
            vocoder: prepared.

        Raises:
            PredictionFailed: there is none; the reason is recorded for each metric and counted.
        """
