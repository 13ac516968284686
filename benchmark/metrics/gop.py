"""GOP: how well the text explains the speech, a measure of intelligibility beside the phoneme error rate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.plumbing.files import digest_of
from benchmark.scoring.checks import require_speech
from benchmark.scoring.real_speech import mean_on_recordings
from benchmark.utterance import Words

if TYPE_CHECKING:
    from benchmark.data.aligner import Aligner


class GOP(Metric):
    """Goodness of pronunciation, the mean over the sentence's phones of a log-likelihood ratio per frame; at most about 0.

    The likelihood of the speech if it says this text, over that if it says whatever phones explain it best
    (:func:`benchmark.scoring.phone_loop.goodness`; Witt & Young 2000). The Gaussians are those of the built-in aligner, trained on
    the corpus's training speakers: another instrument than the recogniser behind the phoneme error rate; it hears wrong words about
    as well and noise worse. Speech more typical of the training speakers than people are scores above people: read
    values against ``gop_real``, the mean on the scored speakers' own recordings.
    """

    version = "1"
    columns: ClassVar = {
        "gop": Column(
            unit="log-likelihood ratio a frame",
            meaning="how well the sentence's phonemes explain the speech, against whatever phonemes explain it best (0)",
            higher_is_better=True,
        ),
    }
    constants: ClassVar = {
        "gop_real": "goodness of pronunciation of recordings",
    }
    needs = ("speech", "transcript")

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._aligner: Aligner | None = None
        self._facts: dict[str, float] = {}

    def prepare(self, context: MetricContext) -> None:
        """Train the aligner, or read it from the cache, and measure real speech of the scored speakers.

        Raises:
            BenchmarkError: the aligner can't be trained, or no recording can be aligned.
        """
        from benchmark.data.corpus_aligner import corpus_aligner

        corpus = context.corpus
        self._aligner = corpus_aligner(corpus, context.cache)
        gaussians = hashlib.sha256(self._aligner.mean.tobytes() + self._aligner.variance.tobytes()).hexdigest()
        path = context.cache / f"gop-{digest_of([self.version, gaussians, corpus.exact_version, sorted(context.targets)], 16)}.json"
        mean = mean_on_recordings(context, path, "gop_real", lambda each: self._goodness(each.waveform, each.words))
        self._facts = {"gop_real": mean}

    def state(self) -> dict[str, Any]:
        """See :meth:`Metric.state`: the aligner."""
        if self._aligner is None:
            raise RuntimeError("prepare() comes before state()")
        return {"facts": self._facts, **self._aligner.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Metric.restore`."""
        from benchmark.data.aligner import Aligner

        phones = {str(phone): int(index) for phone, index in state["phones"].items()}
        self._facts = {str(name): float(value) for name, value in state["facts"].items()}
        gaussians = {name: state[name].float() for name in ("mean", "variance", "stay")}
        self._aligner = Aligner.from_state({"phones": phones, **gaussians})

    def score(self, sample: Sample) -> dict[str, float]:
        """The goodness of one sentence.

        Raises:
            CannotScore: the audio holds no speech or is too short for its phones; or there are no phones, or one that the aligner does
                not know.
        """
        if not sample.phones:
            raise CannotScore("the sentence has no phones")
        return {"gop": self._goodness(require_speech(sample.audio, "synthesised audio", seconds=0.1), sample.words)}

    def facts(self) -> dict[str, float]:
        """``gop_real``: the mean on the scored speakers' own recordings."""
        return dict(self._facts)

    def _goodness(self, audio: Audio, words: Words) -> float:
        from benchmark.data.aligner import AlignmentItem, CannotAlign, mfcc
        from benchmark.scoring.phone_loop import goodness

        if self._aligner is None:
            raise RuntimeError("prepare() comes before score()")
        if not any(words):
            raise CannotScore("the sentence has no phones")
        if unknown := sorted({phone for word in words for phone in word} - self._aligner.phones.keys()):
            raise CannotScore(f"the aligner does not know the phone {unknown[0]!r}")
        try:
            return float(goodness(self._aligner, AlignmentItem("", mfcc(audio, SAMPLE_RATE), words)).mean())
        except CannotAlign as error:
            raise CannotScore(f"the audio is {error}") from error


PLUGIN = GOP
