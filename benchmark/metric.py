"""What a metric plugin is: a number, or several, about one synthesised utterance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from benchmark.audio import Audio
from benchmark.data.corpus import Corpus
from benchmark.utterance import Words


@dataclass(frozen=True)
class Sample:
    """One synthesised utterance and what it is compared with.

    Attributes:
        audio: the synthesised speech, shape (samples,), float32 in [-1, 1] at 16 kHz.
        reference: the speaker's real recording of the same sentence, likewise.
        words: the sentence's phones, word by word, without silences.
        speaker: whose voice it should be.
        enrolment: ids of the speaker's real utterances that are neither support nor query of this episode; the
            speaker's centroid is made from them alone.
    """

    audio: Audio
    reference: Audio
    words: Words
    speaker: str
    enrolment: tuple[str, ...]

    @property
    def phones(self) -> tuple[str, ...]:
        """All phones in order."""
        return tuple(phone for word in self.words for phone in word)


@dataclass(frozen=True)
class MetricContext:
    """What a metric may need once, before it scores anything.

    Attributes:
        corpus: the prepared corpus, for metrics that train on its training speakers or embed its test speakers.
        cache: a folder for what was computed once (a trained recogniser, embeddings); keyed by the caller to the
            corpus's version, shared by runs.
        speakers: the speakers that will be scored.
        seed: for whatever is random.
        enrolment: how many utterances a centroid is made from when a sentence is scored (:attr:`Sample.enrolment`), at
            least; 0 where it is not known.
    """

    corpus: Corpus
    cache: Path
    speakers: tuple[str, ...]
    seed: int = 0
    enrolment: int = 0


class Metric(ABC):
    """Base of every metric plugin; a file in ``benchmark/metrics/`` that ends in ``PLUGIN = YourClass``.

    Attributes:
        version: raised whenever a change could move a value; part of every row.
        columns: the names of the values that ``score`` returns.
        higher_is_better: for each column.
        mode: "aligned" (synthesised with the reference's durations: PESQ and STOI mean nothing otherwise) or "free".
    """

    version: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    higher_is_better: ClassVar[Mapping[str, bool]]
    mode: ClassVar[Literal["aligned", "free"]]

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @property
    def ranks_with(self) -> str | None:
        """The pretrained speaker encoder that it judges by ("ge2e"), if any: its option ``encoder``.

        An algorithm that ``conditions_on`` the same one is refused, for it would be scored by what it was told.
        """
        return getattr(self.config, "encoder", None)

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

        Asked right after ``score`` for the same sample. The first number is the score against the speaker it should be,
        the others those against each other speaker. No mean over utterances gives such a rate, so the harness pools them.
        """
        return {}

    def facts(self) -> dict[str, float]:
        """Constants that a reader needs beside the scores (a recogniser's own error, say); written to the result."""
        return {}
