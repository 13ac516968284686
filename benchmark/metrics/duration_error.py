"""Duration error: how far the rhythm is off."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.data.corpus import Words
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import SAMPLE_RATE, Audio, Metric, MetricContext, Sample
from benchmark.metrics import require_speech, spread
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress

if TYPE_CHECKING:
    from benchmark.data.aligner import Aligner

ALIGNER_FORMAT = 1
"""Raised when the aligner or its training changes, so that no cached one of before is used."""
UTTERANCES = 1000
"""Of the training split, to train the aligner on."""


class DurationError(Metric):
    """Mean absolute difference between the phones' durations in synthesised and real speech, in ms; 0 is the same rhythm.

    Both are measured in the same way, by the built-in aligner (:mod:`benchmark.data.aligner`, trained on the corpus's training
    speakers), so a voice need not say what durations it meant, and the aligner's own error on synthesis counts:
    read it against ``copy_synthesis``. Pauses between words are left out.
    """

    version = "1"
    columns = ("duration_error",)
    higher_is_better: ClassVar = {"duration_error": False}
    mode = "free"

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._aligner: Aligner | None = None

    def prepare(self, context: MetricContext) -> None:
        """Train the aligner, or read it from the cache.

        Raises:
            BenchmarkError: it can't be trained.
        """
        from benchmark.data.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
        from benchmark.plumbing import checkpoint

        corpus = context.corpus
        names = [name for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)]
        path = context.cache / f"aligner-{digest_of([ALIGNER_FORMAT, corpus.version, UTTERANCES], 24)}.pt"
        if (state := checkpoint.load(path)) is not None:
            self._aligner = Aligner.from_state(state)
            return
        chosen = corpus.many(spread(names, UTTERANCES))
        items = [AlignmentItem(one.id, mfcc(one.waveform, SAMPLE_RATE), one.words) for one in chosen]
        try:
            with progress("Training the aligner of duration_error", 1) as show:
                self._aligner = Aligner.fit(items, progress=lambda done, total: show(done / total))
        except CannotAlign as error:
            raise BenchmarkError(f"duration_error can't be prepared: {error}; leave this metric out.") from error
        checkpoint.save(path, self._aligner.state())

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
