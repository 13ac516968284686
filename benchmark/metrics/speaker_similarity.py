"""Speaker similarity: does it sound like the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from benchmark.corpus import Corpus
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, CannotScore, UsageError
from benchmark.files import digest_of, write_atomic
from benchmark.metric import SAMPLE_RATE, Audio, Metric, MetricContext, Sample
from benchmark.metrics import require_speech, spread
from benchmark.progress import progress

Floats = npt.NDArray[np.float32]

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
    utterances to the centroid of the speaker's others (leave one out), ``different`` to the other speakers'
    centroids, both over all speakers of the scored split. 0: as unlike as a stranger. 1: as like as the speaker.
    ``eer`` is the equal error rate of the same trials: how well the encoder tells these speakers apart at all.

    Real and synthesised audio are brought to -26 dBFS and then get the package's own preprocessing, which the encoder
    was trained with: long silences are cut out by WebRTC's voice activity detector. Windows of 1.6 s (1.3 a second)
    are embedded and averaged; a shorter one is padded with zeros.
    """

    version = "1"
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
        self._facts: dict[str, float] = {}

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
        same, different = verification_trials(enough)
        self._facts = {
            "same": float(same.mean()),
            "different": float(different.mean()),
            "eer": equal_error_rate(same, different),
        }

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
        same, different = self._facts["same"], self._facts["different"]
        return {"speaker_similarity": similarity, "gap_closed": (similarity - different) / (same - different)}

    def facts(self) -> dict[str, float]:
        """``same``, ``different`` and ``eer`` (a share, 0 … 1) of real speech."""
        return dict(self._facts)


def normalised(vector: Floats) -> Floats:
    """The vector at length 1."""
    return vector / np.linalg.norm(vector)


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


def verification_trials(embeddings: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Cosines of every utterance to its own speaker's leave-one-out centroid and to the other speakers' centroids.

    Args:
        embeddings: by speaker, shape (utterances ≥ 2, dimensions), rows of length 1; at least two speakers.

    Returns:
        same, shape (all utterances,), and different, shape (all utterances × (speakers − 1),).
    """
    centroids = {speaker: normalised(e.mean(axis=0)) for speaker, e in embeddings.items()}
    same, different = [], []
    for speaker, e in embeddings.items():
        others = e.sum(axis=0) - e
        same.append((e * others).sum(axis=1) / np.linalg.norm(others, axis=1))
        different += [e @ centroid for other, centroid in centroids.items() if other != speaker]
    return np.concatenate(same), np.concatenate(different)


def equal_error_rate(same: Floats, different: Floats) -> float:
    """The rate, 0 … 1, at the threshold where false rejections and false acceptances are equally frequent.

    Where no threshold makes them exactly equal, the mean of the two at the nearest one.
    """
    thresholds = np.sort(np.concatenate([same, different]))
    rejected = np.searchsorted(np.sort(same), thresholds, side="left") / len(same)
    accepted = 1.0 - np.searchsorted(np.sort(different), thresholds, side="left") / len(different)
    nearest = int(np.argmin(np.abs(rejected - accepted)))
    return float(rejected[nearest] + accepted[nearest]) / 2.0


PLUGIN = SpeakerSimilarity
