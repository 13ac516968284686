"""Duration error: how far the rhythm is off."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.scoring.checks import require_speech
from benchmark.utterance import Words

if TYPE_CHECKING:
    from benchmark.data.aligner import Aligner


class DurationError(Metric):
    """Mean absolute difference between the phones' durations in synthesised and real speech, in ms; 0 is the same rhythm.

    The built-in aligner (:mod:`benchmark.data.aligner`, trained on the corpus's training speakers) measures both. So a model
    need not report its durations, but the aligner's error on synthesis counts: read the value against ``copy_synthesis``.
    Pauses between words are left out.
    """

    version = "1"
    columns: ClassVar = {
        "duration_error": Column(
            unit="ms",
            meaning="how far the phonemes' durations are from the recording's",
            higher_is_better=False, low=0.0,
        ),
    }
    needs = ("speech", "reference", "transcript")

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._aligner: Aligner | None = None

    def prepare(self, context: MetricContext) -> None:
        """Train the aligner, or read it from the cache.

        Raises:
            BenchmarkError: it can't be trained.
        """
        from benchmark.data.corpus_aligner import corpus_aligner

        self._aligner = corpus_aligner(context.corpus, context.cache)

    def score(self, sample: Sample) -> dict[str, float]:
        """The mean difference in ms.

        Raises:
            CannotScore: either audio is empty, silent, not finite, or too short for its phones; or there are no phones.
        """
        audio = require_speech(sample.audio, "synthesised audio", seconds=0.1)
        reference = require_speech(sample.reference, "reference", seconds=0.1)
        if not sample.phones:
            raise CannotScore("the sentence has no phones")
        if self._aligner is None:
            raise RuntimeError("prepare() comes before score()")
        difference = _durations(self._aligner, audio.tobytes(), sample.words) - _durations(self._aligner, reference.tobytes(), sample.words)
        return {"duration_error": float(1000 * np.abs(difference).mean())}


# One recording is compared with many syntheses of it.
@lru_cache(maxsize=64)
def _durations(aligner: Aligner, samples: bytes, words: Words) -> npt.NDArray[np.float64]:
    """Seconds of each phone."""
    from benchmark.data.aligner import AlignmentItem, CannotAlign, mfcc

    audio: Audio = np.frombuffer(samples, dtype=np.float32)
    try:
        segments = aligner.align(AlignmentItem("", mfcc(audio, SAMPLE_RATE), words))
    except CannotAlign as error:
        raise CannotScore(f"the audio is {error}") from error
    return np.array([segment.end - segment.start for word in segments for segment in word])


PLUGIN = DurationError
