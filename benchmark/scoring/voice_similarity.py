"""Shared by metrics of speaker similarity, whatever network embeds the voices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from benchmark.audio import Audio
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import Metric, MetricContext, Sample
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress
from benchmark.scoring.checks import spread
from benchmark.scoring.verification import Floats, centroid, equal_error_rate, normalised, verification_trials
from benchmark.utterance import PreparedCorpus

EMBEDDING_FORMAT = 2
OTHERS = 20
"""Training speakers, at most, with whom a single scored speaker is compared."""
LEAST_SEPARATION = 0.5
"""Least separation of same-speaker from different-speaker cosines, in standard deviations (d'): an equal error rate of about .4."""


class VoiceSimilarity(Metric):
    """Cosine between a synthesis and the target speaker's voice, the share of the gap that it closes, and verification trials.

    similarity = cos(e(x), c), where e is :meth:`embed` and c the centroid: the normalised mean of the embeddings of the
    episode's enrolment utterances, real speech that is neither support nor query.

    gap closed = (similarity − different) / (same − different). ``same`` is the mean cosine of a speaker's real
    utterances to the centroid of the speaker's other utterances (leave one out), ``different`` to the other speakers'
    centroids. Both are taken over all speakers of the scored split; every centroid averages as many utterances as enrolment.
    ``eer_real`` is the equal error rate of the same trials. If the split has a single speaker, 20 training speakers are the others.

    The trials of ``eer`` compare a synthesis with its speaker's enrolment centroid and with every other scored speaker's
    centroid, of equally many utterances. From the same cosines come

    - identified: 1 if the first is the highest (closed-set identification at rank 1), else 0;
    - margin = similarity − the mean of those to other speakers of the same sex, as the utterances' label ``sex`` tells. The column is
      left out if a scored speaker has no such label, or nobody of the same sex beside them.

    The ``Config`` has ``utterances``: how many real utterances per speaker are embedded, spread evenly over all of them.

    Attributes:
        columns: those of the similarity and of the gap closed, then, if it has them, ``margin`` and ``identified`` after the prefix.
        prefix: begins the names of the trials' equal error rate and of the facts.
    """

    needs = ("speech", "centroid")
    prefix: ClassVar[str]

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._embeddings: dict[str, dict[str, Floats]] = {}
        self._centroids: dict[str, Floats] = {}
        self._facts: dict[str, float] = {}
        self._apart = False
        self._alike: dict[str, list[str]] = {}
        self._last: tuple[Audio, list[float]] | None = None

    @property
    @abstractmethod
    def encoder(self) -> str:
        """A key that separates this encoder's embeddings from any other's in the cache."""

    @abstractmethod
    def embed(self, audio: Audio) -> Floats:
        """The embedding of one utterance, shape (dimensions,), of length 1.

        Args:
            audio: shape (samples,), at 16 kHz.

        Raises:
            CannotScore: there is no honest embedding.
        """

    def prepare(self, context: MetricContext) -> None:
        """Embed the real utterances of the scored speakers' split, or read their embeddings from the cache.

        Raises:
            BenchmarkError: fewer than two of the speakers to compare have two usable utterances.
        """
        corpus = context.corpus
        scored = set(context.targets)
        # The whole split, so that the constants are the same if a run is limited to some of its speakers.
        splits = [corpus.targets(split) for split in SPLITS]
        speakers = sorted(speaker for split in splits if scored & set(split) for speaker in split)
        if len(speakers) == 1:
            speakers += spread(splits[0], OTHERS)
        names = {speaker: spread(corpus.utterances_of(speaker), self.config.utterances) for speaker in speakers}
        encoder = self.encoder
        keys = {speaker: digest_of([EMBEDDING_FORMAT, encoder, corpus.exact_version, speaker, names[speaker]], 24) for speaker in speakers}
        paths = {speaker: context.cache / f"speaker-embeddings-{key}.pt" for speaker, key in keys.items()}
        stored = {speaker: _read(path, names[speaker]) for speaker, path in paths.items()}
        self._embeddings = {speaker: found for speaker, found in stored.items() if found is not None}
        if missing := [speaker for speaker in speakers if speaker not in self._embeddings]:
            with progress("Embedding real voices", len(missing)) as show:
                for done, speaker in enumerate(missing, 1):
                    self._embeddings[speaker] = self._embed_all(corpus, names[speaker])
                    _write(paths[speaker], self._embeddings[speaker])
                    show(done)
        known = {speaker: list(self._embeddings[speaker].values()) for speaker in speakers}
        enough = {speaker: np.stack(vectors) for speaker, vectors in known.items() if len(vectors) >= 2}
        if len(enough) < 2:
            raise BenchmarkError(
                f"{next(iter(self.columns))} needs two speakers with two usable utterances each in the scored split of "
                f"{corpus.name}, found {len(enough)}: prepare more speakers, or leave this metric out."
            )
        same, different = verification_trials(enough, context.enrolment)
        self._facts = {
            "same": float(same.mean()),
            "different": float(different.mean()),
            "eer_real": equal_error_rate(same, different),
        }
        # If one voice has two names, say, the mean difference is noise, and a share of it means nothing.
        self._apart = float(same.mean() - different.mean()) > LEAST_SEPARATION * float(np.sqrt((same.var() + different.var()) / 2))
        self._centroids = {speaker: centroid(vectors, context.enrolment) for speaker, vectors in enough.items()}
        self._alike = _of_one_sex(corpus, {speaker: names[speaker] for speaker in enough})
        margin = f"{self.prefix}margin"
        if margin in self.columns and not all(self._alike.get(speaker) for speaker in scored & enough.keys()):
            self.columns = {name: column for name, column in self.columns.items() if name != margin}  # type: ignore[misc]
            print(f"{margin} is left out, because it needs two scored speakers of each sex, and {corpus.name} does not tell so.")

    def score(self, sample: Sample) -> dict[str, float]:
        """Similarity and gap closed, and the margin and identification.

        Raises:
            CannotScore: the audio has no honest embedding, there is no usable enrolment utterance, or (for the gap alone) real
                recordings of the same speaker are hardly more alike than those of different ones.
        """
        voice = self.embed(sample.audio)
        if not self._facts:
            raise RuntimeError("prepare() comes before score()")
        known = self._embeddings.get(sample.target, {})
        enrolled = [known[utterance] for utterance in sample.enrolment if utterance in known]
        if not enrolled:
            raise CannotScore(f"speaker {sample.target} has no usable enrolment utterance")
        similarity = float(voice @ normalised(np.mean(enrolled, axis=0)))
        others = {speaker: float(voice @ other) for speaker, other in self._centroids.items() if speaker != sample.target}
        self._last = sample.audio, [similarity, *others.values()]
        same, different = self._facts["same"], self._facts["different"]
        likeness, closed, *more = self.columns
        if not self._apart:
            reason = "the encoder does not tell real recordings of these speakers apart, so there is no gap"
            raise CannotScore(reason, {likeness: similarity})
        values = {likeness: similarity, closed: (similarity - different) / (same - different)}
        if f"{self.prefix}margin" in more:
            values[f"{self.prefix}margin"] = similarity - float(np.mean([others[speaker] for speaker in self._alike[sample.target]]))
        if f"{self.prefix}identified" in more:
            values[f"{self.prefix}identified"] = float(similarity > max(others.values()))
        return values

    def trials(self, sample: Sample) -> dict[str, list[float]]:
        """Cosines to the speaker's centroid and to the others'; see the class."""
        if self._last is None or self._last[0] is not sample.audio:
            raise RuntimeError("score() of the same sample comes before trials()")
        return {f"{self.prefix}eer": self._last[1]}

    def facts(self) -> dict[str, float]:
        """``same``, ``different`` and ``eer_real`` (a share, 0 … 1) of real speech, after the prefix."""
        return {f"{self.prefix}{name}": value for name, value in self._facts.items()}

    def _embed_all(self, corpus: PreparedCorpus, utterances: Sequence[str]) -> dict[str, Floats]:
        """Embeddings of real utterances; utterances without an honest embedding are left out."""
        embeddings: dict[str, Floats] = {}
        for utterance in utterances:
            with suppress(CannotScore):
                embeddings[utterance] = self.embed(corpus[utterance].waveform)
        return embeddings


def _of_one_sex(corpus: PreparedCorpus, utterances: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """For each speaker whose sex is told, the others of the same sex."""
    told = {speaker: {each.labels.get("sex", "") for each in corpus.many(names)} for speaker, names in utterances.items()}
    sexes = {speaker: next(iter(found)) for speaker, found in told.items() if len(found) == 1 and "" not in found}
    return {one: [other for other, sex in sexes.items() if sex == own and other != one] for one, own in sexes.items()}


def _read(path: Path, utterances: Sequence[str]) -> dict[str, Floats] | None:
    """Embeddings by utterance, or None if the file is absent, damaged or of other utterances (it is then made again)."""

    def use(stored: Any) -> dict[str, Floats]:
        if not set(stored["ids"]) <= set(utterances):
            raise ValueError("the embeddings are of other utterances")
        return dict(zip(stored["ids"], stored["embeddings"].numpy(), strict=True))

    return checkpoint.load(path, use)


def _write(path: Path, embeddings: Mapping[str, Floats]) -> None:
    vectors = np.stack(list(embeddings.values())) if embeddings else np.zeros((0, 0), np.float32)
    checkpoint.save(path, {"ids": list(embeddings), "embeddings": torch.from_numpy(vectors)})
