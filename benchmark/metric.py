"""The interface of metric plugins: one or more numbers about one prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # tables read columns without importing torch
    import numpy as np
    import numpy.typing as npt

    from benchmark.audio import Audio
    from benchmark.utterance import PreparedCorpus, Words


@dataclass(frozen=True)
class Column:
    """What a column of numbers means. Tables and reports read it from source, so pass literals by keyword.

    Attributes:
        unit: "dB", "cosine"; "" if there is none.
        meaning: in plain English, for readers who do not know the metric: "how far ... from the recording's".
        higher_is_better: whether a higher value is a better one.
        low: the lowest possible value; None if unbounded.
        high: the highest possible value; None if unbounded.
        headline: whether tables show it without being asked; a terminal's width has room for few.
        second_opinion_of: the column of another metric that measures the same, in the same unit, by another instrument ("gap_closed");
            "" if there is none. ``compare`` and the report say where the two disagree.
    """

    unit: str
    meaning: str
    higher_is_better: bool
    low: float | None = None
    high: float | None = None
    headline: bool = False
    second_opinion_of: str = ""


@dataclass(frozen=True)
class Sample:
    """One prediction and what it is compared with.

    Attributes:
        audio: the synthesised speech, shape (samples,), float32 in [-1, 1] at 16 kHz; empty if text was predicted.
        reference: the target's real recording of the same sentence, in the same format.
        words: the sentence's phones, word by word, without silences.
        target: the speaker it should sound like (or the language, or the style of a speaker: :mod:`benchmark.task`).
        enrolment: ids of the target's real utterances that are neither support nor query of this episode; only they
            make the target's centroid.
        transcript: the sentence, as the dataset writes it.
        text: the recogniser's output.
        mel: the log-mel that the speech was made from, shape (F, n_mels); None if text was predicted.
        reference_mel: that of the real recording.
    """

    audio: Audio
    reference: Audio
    words: Words
    target: str
    enrolment: tuple[str, ...]
    transcript: str = ""
    text: str = ""
    mel: npt.NDArray[np.float32] | None = None
    reference_mel: npt.NDArray[np.float32] | None = None

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones in order."""
        return tuple(phone for word in self.words for phone in word)


@dataclass(frozen=True)
class MetricContext:
    """What a metric may need before it scores anything.

    Attributes:
        corpus: the prepared corpus, for metrics that train on its training speakers or embed its test targets.
        cache: a folder for what is computed once (a trained recogniser, embeddings); runs share it. The caller keys it by the corpus's
            training speech and, unless the metric is built in, by the corpus's version and the metric's code. So a built-in metric names
            files that rest on held-out speech by the corpus's version.
        targets: the targets that will be scored.
        seed: for all randomness.
        enrolment: the least number of utterances that make a centroid when a sentence is scored
            (:attr:`Sample.enrolment`); 0 if unknown.
    """

    corpus: PreparedCorpus
    cache: Path
    targets: tuple[str, ...]
    seed: int = 0
    enrolment: int = 0


class Metric(ABC):
    """Base of every metric plugin: a file in ``benchmark/metrics/`` that ends in ``PLUGIN = YourClass``.

    Attributes:
        version: raise it whenever a change could move a value; part of every row.
        columns: the values that ``score`` returns, by name; ``prepare`` may leave out, on the instance, what a corpus can't serve.
        rates: rates that the harness pools from ``trials``, by name.
        constants: meanings of the values that ``facts`` returns, by name.
        tolerances: how far constants may differ between machines, relatively, if that is more than 0.001: those of instruments that
            each machine trains. Rows whose constants differ by more are refused beside each other.
        needs: its inputs, of "speech" (synthesised), "aligned" (speech with the reference's durations, without which PESQ
            and STOI mean nothing), "reference" (the real recording), "transcript", "centroid" (of the target's real speech)
            and "text" (recognised), or the name of the only task that it makes sense in ("style"). A metric is left out if the
            problem, the backbone and the task do not provide them all.
    """

    version: ClassVar[str]
    columns: ClassVar[Mapping[str, Column]]
    rates: ClassVar[Mapping[str, Column]] = {}
    constants: ClassVar[Mapping[str, str]] = {}
    tolerances: ClassVar[Mapping[str, float]] = {}
    needs: ClassVar[Sequence[str]]

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @property
    def ranks_with(self) -> str | None:
        """The pretrained speaker encoder that it scores with ("ge2e"), if any.

        An algorithm that ``conditions_on`` the same encoder is refused: it was given what it would be scored by.
        """
        return None

    def require(self) -> None:  # noqa: B027 - most metrics need nothing
        """Check, before a run starts, that everything it needs is installed.

        Raises:
            BenchmarkError: something that a run does not fetch is missing (a package, a pretrained encoder's weights).
        """

    def prepare(self, context: MetricContext) -> None:  # noqa: B027 - most metrics need nothing
        """Do once what every score needs; called in the main process, then in each worker, which finds it in the cache."""

    def state(self) -> dict[str, Any]:
        """What ``prepare`` made and ``score`` needs, by name: tensors, and values that JSON holds.

        Model files keep it (``export``), so that ``say`` can score where there is no corpus. Override it, and :meth:`restore`, in a metric
        that needs nothing but "speech" and "transcript" and learns something in ``prepare``; by default it scores without.
        """
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most metrics keep nothing
        """Get ready to score with what :meth:`state` returned, in place of ``prepare``; tensors may have been rounded to 16 bits."""

    @abstractmethod
    def score(self, sample: Sample) -> dict[str, float]:
        """One value for each of ``columns``.

        Raises:
            CannotScore: there is no valid value; the message is the reason, and the failure is counted.
        """

    def trials(self, sample: Sample) -> dict[str, list[float]]:
        """For metrics that verify speakers: the utterance's trials, under the name of an equal error rate.

        Called right after ``score`` for the same sample. The first number is the score against the right target; the
        others are the scores against every other target. An equal error rate is not a mean over utterances, so the harness
        pools the trials.
        """
        return {}

    def facts(self) -> dict[str, float]:
        """Constants that readers need beside the scores (the recogniser's own error, say); written to the result."""
        return {}
