"""Speaker similarity: does it sound like the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.data.corpus import Corpus
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, CannotScore, UsageError
from benchmark.files import digest_of, write_atomic
from benchmark.metric import SAMPLE_RATE, Audio, Metric, MetricContext, Sample
from benchmark.metrics import require_speech, spread
from benchmark.progress import progress
from benchmark.scoring.verification import Floats, centroid, equal_error_rate, normalised, verification_trials

LEAST_VOICE = 0.5
"""Seconds of voice that must be left when long silences are cut out."""
LEVEL = 10 ** (-26 / 20)
"""Root mean square that all audio is brought to: loudness is not voice, and both encoder and detector notice it."""
EMBEDDING_FORMAT = 2


class SpeakerSimilarity(Metric):
    """Cosine between a synthesis and the target speaker's voice, and the share of the gap that it closes.

    ``speaker_similarity`` = cos(e(x), c), where e is the GE2E d-vector (Wan et al., ICASSP 2018, eq. 4 and 5; the
    weights in the package ``resemblyzer``) and c the centroid: the normalised mean of the embeddings of the episode's
    enrolment utterances, real speech that is neither support nor query.

    ``gap_closed`` = (similarity − different) / (same − different). ``same`` is the mean cosine of a speaker's real
    utterances to the centroid of others of the speaker's (leave one out), ``different`` to the other speakers'
    centroids, both over all speakers of the scored split, all centroids being of as many utterances as enrolment has.
    0: as unlike as a stranger. 1: as like as the speaker.
    ``eer_real`` is the equal error rate of the same trials: how well the encoder tells these speakers apart at all.

    ``eer``, pooled over a row, verifies the syntheses: each against its speaker's centroid, made from enrolment, and
    against every other scored speaker's, of as many utterances. 0.5: nobody could tell whose voice it should be.

    Real and synthesised audio are brought to -26 dBFS and then get the package's own preprocessing, which the encoder
    was trained with: long silences are cut out by WebRTC's voice activity detector. Windows of 1.6 s (1.3 a second)
    are embedded and averaged; a shorter one is padded with zeros.
    """

    version = "2"
    columns = ("speaker_similarity", "gap_closed")
    higher_is_better: ClassVar = {"speaker_similarity": True, "gap_closed": True}
    mode = "free"

    @dataclass(frozen=True)
    class Config:
        """How voices are compared.

        Attributes:
            encoder: "ge2e" (Resemblyzer, offline).
            utterances: how many real utterances of a speaker are embedded, spread evenly over all of them (at least
                2); enrolment beyond these is left out of the centroid.
        """

        encoder: Literal["ge2e"] = "ge2e"
        utterances: int = 100

        def __post_init__(self) -> None:
            if self.encoder != "ge2e":
                raise UsageError(f'encoder must be "ge2e", not "{self.encoder}".')
            if self.utterances < 2:
                raise UsageError(f"utterances must be at least 2, not {self.utterances}.")

    config: Config

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._embeddings: dict[str, dict[str, Floats]] = {}
        self._centroids: dict[str, Floats] = {}
        self._facts: dict[str, float] = {}
        self._last: tuple[Audio, list[float]] | None = None

    def prepare(self, context: MetricContext) -> None:
        """Embed the real utterances of the scored speakers' split, or read their embeddings from the cache.

        Raises:
            BenchmarkError: fewer than two of the split's speakers have two utterances with a voice in them.
        """
        corpus = context.corpus
        scored = set(context.speakers)
        # The whole split, so that the constants do not depend on how many of its speakers a run is limited to.
        splits = [corpus.speakers(split) for split in SPLITS]
        speakers = sorted(speaker for split in splits if scored & set(split) for speaker in split)
        names = {speaker: spread(corpus.utterance_ids(speaker), self.config.utterances) for speaker in speakers}
        paths = {speaker: _cache_file(corpus, speaker, names[speaker], context.cache) for speaker in speakers}
        stored = {speaker: _read(path) for speaker, path in paths.items()}
        self._embeddings = {speaker: found for speaker, found in stored.items() if found is not None}
        if missing := [speaker for speaker in speakers if speaker not in self._embeddings]:
            with progress("Embedding real voices", len(missing)) as show:
                for done, speaker in enumerate(missing, 1):
                    self._embeddings[speaker] = _embed_all(corpus, names[speaker])
                    _write(paths[speaker], self._embeddings[speaker])
                    show(done)
        known = {speaker: list(self._embeddings[speaker].values()) for speaker in speakers}
        enough = {speaker: np.stack(vectors) for speaker, vectors in known.items() if len(vectors) >= 2}
        if len(enough) < 2:
            raise BenchmarkError(
                f"speaker_similarity needs two speakers with two usable utterances each in the scored split of "
                f"{corpus.name}, found {len(enough)}: prepare more speakers, or leave this metric out."
            )
        same, different = verification_trials(enough, context.enrolment)
        self._facts = {
            "same": float(same.mean()),
            "different": float(different.mean()),
            "eer_real": equal_error_rate(same, different),
        }
        self._centroids = {speaker: centroid(vectors, context.enrolment) for speaker, vectors in enough.items()}

    def score(self, sample: Sample) -> dict[str, float]:
        """Similarity and gap closed.

        Raises:
            CannotScore: less than ``LEAST_VOICE`` of voice in the audio, or no usable enrolment utterance.
        """
        voice = embed(sample.audio)
        if not self._facts:
            raise RuntimeError("prepare() comes before score()")
        known = self._embeddings.get(sample.speaker, {})
        enrolled = [known[utterance] for utterance in sample.enrolment if utterance in known]
        if not enrolled:
            raise CannotScore(f"speaker {sample.speaker} has no usable enrolment utterance")
        similarity = float(voice @ normalised(np.mean(enrolled, axis=0)))
        impostors = [float(voice @ centroid) for speaker, centroid in self._centroids.items() if speaker != sample.speaker]
        self._last = sample.audio, [similarity, *impostors]
        same, different = self._facts["same"], self._facts["different"]
        return {"speaker_similarity": similarity, "gap_closed": (similarity - different) / (same - different)}

    def trials(self, sample: Sample) -> dict[str, list[float]]:
        """Cosines to the speaker's centroid and to the others'; see the class."""
        if self._last is None or self._last[0] is not sample.audio:
            raise RuntimeError("score() of the same sample comes before trials()")
        return {"eer": self._last[1]}

    def facts(self) -> dict[str, float]:
        """``same``, ``different`` and ``eer_real`` (a share, 0 … 1) of real speech."""
        return dict(self._facts)


@cache
def _encoder() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's and pkg_resources' deprecations: not the user's to mend
        from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False).eval()


def embed(audio: Audio) -> Floats:
    """The d-vector of one utterance.

    Args:
        audio: shape (samples,), at 16 kHz.

    Returns:
        shape (256,), of length 1, no value negative.

    Raises:
        CannotScore: it is not finite, silent, or has less than ``LEAST_VOICE`` of voice in it.
    """
    encoder = _encoder()
    from resemblyzer import preprocess_wav

    audio = require_speech(audio, "audio", LEAST_VOICE)
    audio = audio * np.float32(LEVEL / np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    # The package packs 16-bit integers without a check and wraps what exceeds them.
    voice = preprocess_wav(np.clip(audio, -1.0, 1.0))
    if len(voice) < LEAST_VOICE * SAMPLE_RATE:
        raise CannotScore(f"{len(voice) / SAMPLE_RATE:.2f} s of voice found, at least {LEAST_VOICE} s needed")
    embedding: Floats = encoder.embed_utterance(voice)
    if not np.isfinite(embedding).all():
        raise CannotScore("the speaker encoder gives no finite embedding")
    return embedding


def _cache_file(corpus: Corpus, speaker: str, utterances: Sequence[str], folder: Path) -> Path:
    key = digest_of([EMBEDDING_FORMAT, "ge2e", corpus.version, speaker, list(utterances)], 24)
    return folder / f"speaker-embeddings-{key}.npz"


def _read(path: Path) -> dict[str, Floats] | None:
    """Embeddings by utterance, or None where the file is absent or damaged (it is then made anew)."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(zip(stored["ids"].tolist(), stored["embeddings"], strict=True))
    except Exception:  # numpy and zipfile raise many kinds on a damaged archive
        return None


def _write(path: Path, embeddings: Mapping[str, Floats]) -> None:
    vectors = np.stack(list(embeddings.values())) if embeddings else np.zeros((0, 256), np.float32)
    write_atomic(path, lambda file: np.savez(file, ids=np.array(list(embeddings), dtype=np.str_), embeddings=vectors))


def _embed_all(corpus: Corpus, utterances: Sequence[str]) -> dict[str, Floats]:
    """Embeddings of real utterances; those without enough voice are left out."""
    embeddings: dict[str, Floats] = {}
    for utterance in utterances:
        with suppress(CannotScore):
            embeddings[utterance] = embed(corpus[utterance].waveform)
    return embeddings


PLUGIN = SpeakerSimilarity
