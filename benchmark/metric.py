"""What a metric plugin is: a number, or several, about one prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # tables read columns, and need no torch for it
    from benchmark.audio import Audio
    from benchmark.utterance import PreparedCorpus, Words


@dataclass(frozen=True)
class Column:
    """What a column of numbers means; read from source by tables, reports and documents, so give literals by name.

    Attributes:
        unit: "dB", "cosine"; "" where there is none.
        meaning: in plain English, for somebody who does not know the metric: "how far ... from the recording's".
        higher_is_better: its sense.
        low: the least possible value; None where there is none.
        high: the highest possible value; None where there is none.
    """

    unit: str
    meaning: str
    higher_is_better: bool
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Sample:
    """One prediction and what it is compared with.

    Attributes:
        audio: the synthesised speech, shape (samples,), float32 in [-1, 1] at 16 kHz; empty where a text was predicted.
        reference: the target's real recording of the same sentence, likewise.
        words: the sentence's phones, word by word, without silences.
        target: whose voice it should be (or which language, which style of a speaker: :mod:`benchmark.task`).
        enrolment: ids of the target's real utterances that are neither support nor query of this episode; the
            target's centroid is made from them alone.
        transcript: what is said, as the dataset writes it.
        text: what a recogniser understood.
    """

    audio: Audio
    reference: Audio
    words: Words
    target: str
    enrolment: tuple[str, ...]
    transcript: str = ""
    text: str = ""

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones in order."""
        return tuple(phone for word in self.words for phone in word)


@dataclass(frozen=True)
class MetricContext:
    """What a metric may need once, before it scores anything.

    Attributes:
        corpus: the prepared corpus, for metrics that train on its training speakers or embed its test targets.
        cache: a folder for what was computed once (a trained recogniser, embeddings); keyed by the caller to the
            corpus's version, shared by runs.
        targets: those that will be scored.
        seed: for whatever is random.
        enrolment: how many utterances a centroid is made from when a sentence is scored (:attr:`Sample.enrolment`), at
            least; 0 where it is not known.
    """

    corpus: PreparedCorpus
    cache: Path
    targets: tuple[str, ...]
    seed: int = 0
    enrolment: int = 0


class Metric(ABC):
    """Base of every metric plugin; a file in ``benchmark/metrics/`` that ends in ``PLUGIN = YourClass``.

    Attributes:
        version: raised whenever a change could move a value; part of every row.
        columns: the values that ``score`` returns, by name.
        rates: rates that the harness pools from ``trials``, by name.
        constants: what ``facts`` returns, by name, each with its meaning.
        needs: what it is given, of "speech" (synthesised), "aligned" (speech with the reference's durations: PESQ and STOI
            mean nothing otherwise), "reference" (the real recording), "transcript", "centroid" (real speech of the target's)
            and "text" (recognised). What the problem and the backbone do not provide leaves the metric out.
    """

    version: ClassVar[str]
    columns: ClassVar[Mapping[str, Column]]
    rates: ClassVar[Mapping[str, Column]] = {}
    constants: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[Sequence[str]]

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @property
    def ranks_with(self) -> str | None:
        """The pretrained speaker encoder that it judges by ("ge2e"), if any.

        An algorithm that ``conditions_on`` the same one is refused: it would be scored by what it was told.
        """
        return None

    def require(self) -> None:  # noqa: B027 - most metrics need nothing
        """Asked before a run starts.

        Raises:
            BenchmarkError: what a run does not fetch (a package, a pretrained encoder's weights) is not there.
        """

    def prepare(self, context: MetricContext) -> None:  # noqa: B027 - most metrics need nothing
        """Do once what every score needs; called in the main process and again, finding the cache, in each worker."""

    @abstractmethod
    def score(self, sample: Sample) -> dict[str, float]:
        """One value for each of ``columns``.

        Raises:
            CannotScore: there is no honest value; the message is the reason, and the failure is counted.
        """

    def trials(self, sample: Sample) -> dict[str, list[float]]:
        """For metrics that verify speakers: under the name of an equal error rate, the utterance's trials.

        Asked right after ``score`` for the same sample. The first number is the score against the target it should be,
        the others those against each other target. No mean over utterances gives such a rate, so the harness pools them.
        """
        return {}

    def facts(self) -> dict[str, float]:
        """Constants that a reader needs beside the scores (a recogniser's own error, say); written to the result."""
        return {}
