"""Problems: what is predicted, speech from text or text from speech. A closed set, in ``benchmark/problems/``.

A problem makes an adapted model speak or transcribe, so algorithms need not know which of the two they learn. It also
declares what metrics can use, which reference rows a table needs, and which columns ranking and tuning go by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from benchmark.algorithm import Adapted
    from benchmark.audio import Audio
    from benchmark.utterance import PreparedUtterance, Statistics
    from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Prediction:
    """What a model spoke or transcribed.

    Attributes:
        audio: its speech, at 16 kHz; empty if it transcribes.
        text: its transcript; "" if it speaks.
        seconds: of speech spoken or transcribed, the base of its real-time factor.
        mel: the log-mel that its speech was made from, shape (F, n_mels); None if it transcribes.
    """

    audio: Audio
    text: str
    seconds: float
    mel: npt.NDArray[np.float32] | None = None

    @classmethod
    def speech(cls, audio: Audio, mel: npt.NDArray[np.float32]) -> Prediction:
        """The prediction of a model that speaks."""
        from benchmark.audio import SAMPLE_RATE

        return cls(audio, "", len(audio) / SAMPLE_RATE, mel)

    @classmethod
    def transcript(cls, text: str, seconds: float) -> Prediction:
        """The prediction of a model that transcribed ``seconds`` of speech."""
        import numpy as np

        return cls(np.zeros(0, np.float32), text, seconds)


class Problem(ABC):
    """Base of the two problems.

    Attributes:
        name: "synthesis" or "recognition"; a backbone names the one that it solves.
        speaks: whether models make speech, with a vocoder; otherwise they transcribe it.
        metrics: plugins that a run scores with by default; missing ones are skipped.
        task_metrics: further ones, by the task that they are for.
        references: the toplines and floors whose rows give scores a scale.
        beside: the toplines that a report shows beside every prediction, in this order, and what they are in words.
        objective: the column that rankings go by.
        tuned_by: the columns that tuning goes by, each with the name of its :meth:`gain` in tables of trials. With several, it maximises
            the geometric mean of the gains, so that none makes up for the lack of another.
    """

    name: ClassVar[str]
    speaks: ClassVar[bool]
    metrics: ClassVar[Sequence[str]]
    task_metrics: ClassVar[Mapping[str, Sequence[str]]] = {}
    references: ClassVar[Sequence[str]]
    beside: ClassVar[Mapping[str, str]] = {}
    objective: ClassVar[str]
    tuned_by: ClassVar[Mapping[str, str]]

    @abstractmethod
    def provides(self, supports: Collection[str]) -> frozenset[str]:
        """What metrics can use (``Metric.needs``) with a backbone that supports these features (``Backbone.supports``)."""

    @abstractmethod
    def gain(self, column: str, score: float, query: PreparedUtterance, statistics: Statistics) -> float:
        """What tuning maximises, computed from a score: 1 is the goal, 0 is what needs no learning.

        Args:
            column: one of ``tuned_by``.
            score: the query's in that column.
            query: the real utterance.
            statistics: of the training split.
        """

    @abstractmethod
    def predict(self, model: Adapted, query: PreparedUtterance, aligned: bool, vocoder: Vocoder) -> Prediction:
        """An adapted model's prediction for a query.

        Args:
            model: adapted to the query's target.
            query: the real utterance, whose text is to be spoken or whose speech is to be transcribed.
            aligned: speak with the reference's durations; True only if the problem provides "aligned".
            vocoder: prepared.

        Raises:
            PredictionFailed: there is no prediction; the reason is recorded for each metric and counted.
        """
