"""PER: phoneme error rate, a measure of intelligibility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchmark.audio import Audio
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress
from benchmark.scoring.checks import require_speech, spread
from benchmark.scoring.real_speech import mean_on_recordings
from benchmark.settings.ranges import Checked, PositiveFloat, PositiveInt
from benchmark.utterance import SPECIAL_SYMBOLS, PreparedCorpus, PreparedUtterance

if TYPE_CHECKING:
    from benchmark.plumbing.model_file import Bundle
    from benchmark.scoring.recogniser import Example, Recogniser

RECOGNISER_FORMAT = 1
"""Raise it when the recogniser or its training changes, so that no older one in the cache is used."""


class PER(Metric):
    """Phoneme error rate of the benchmark's own recogniser on free-running speech; 0 … 1, or more with insertions.

    (substitutions + deletions + insertions) / phones in the sentence (Levenshtein 1966), comparing what
    :mod:`benchmark.scoring.recogniser` hears with the phones of the text. The recogniser is trained once per
    prepared corpus, on its training speakers' real speech (that of speechocean762 comes with this package), and writes
    down what it hears: no lexicon or language model repairs what was mumbled. It errs on real speech too: read values
    against ``per_real``, its mean error on the scored speakers' own recordings. ``compare`` refuses runs whose
    recognisers differ in it.
    """

    version = "1"
    columns: ClassVar = {
        "per": Column(
            unit="fraction",
            meaning="share of phonemes that a recogniser, which errs on recordings too, gets wrong",
            higher_is_better=False, low=0.0, headline=True,
        ),
    }
    constants: ClassVar = {
        "per_real": "recogniser's phoneme error rate on recordings",
    }
    # The same training on two processors gave .500 and .492.
    tolerances: ClassVar = {"per_real": 0.03}
    needs = ("speech", "transcript")

    @dataclass(frozen=True)
    class Config(Checked):
        """The recogniser's size and training.

        Attributes:
            channels: width of its convolutions.
            blocks: residual convolutions.
            hidden: width of each direction of its recurrent layer.
            epochs: passes over the training split.
            max_steps: most batches in all, however large the corpus.
            batch: utterances per batch.
            learning_rate: AdamW's peak rate.
        """

        channels: PositiveInt = 192
        blocks: PositiveInt = 4
        hidden: PositiveInt = 160
        epochs: PositiveInt = 40
        max_steps: PositiveInt = 6000
        batch: PositiveInt = 16
        learning_rate: PositiveFloat = 3e-3

    config: Config

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._model: Recogniser | None = None
        self._phones: dict[str, int] = {}
        self._facts: dict[str, float] = {}

    def prepare(self, context: MetricContext) -> None:
        """Take the shipped recogniser, or one from the cache, or train it; and measure it on real speech of the scored speakers."""
        from benchmark.data.shipped import learned_from

        corpus = context.corpus
        symbols = [symbol for symbol in corpus.symbols if symbol not in SPECIAL_SYMBOLS]
        self._phones = {symbol: index for index, symbol in enumerate(symbols)}
        bundle = learned_from(corpus)
        if bundle and self._shipped_in(bundle):
            key = digest_of([RECOGNISER_FORMAT, bundle.facts["tensors"]], 24)
            self._model = self._restored(bundle.part("metric per"))
        else:
            key = digest_of([RECOGNISER_FORMAT, corpus.training_digest, asdict(self.config), context.seed], 24)
            self._model = self._recogniser(corpus, context.cache / f"recogniser-{key}.pt", context.seed)
        self._facts = {"per_real": self._error_on_real_speech(context, key)}

    def state(self) -> dict[str, Any]:
        """See :meth:`Metric.state`: the recogniser."""
        if self._model is None:
            raise RuntimeError("prepare() comes before state()")
        return {"phones": list(self._phones), "facts": self._facts, "format": RECOGNISER_FORMAT, **self._model.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Metric.restore`."""
        self._phones = {str(phone): index for index, phone in enumerate(state["phones"])}
        self._facts = {str(name): float(value) for name, value in state["facts"].items()}
        self._model = self._restored({name: value for name, value in state.items() if name not in ("phones", "facts", "format")})

    def score(self, sample: Sample) -> dict[str, float]:
        """The phoneme error rate of one sentence.

        Raises:
            CannotScore: the audio holds no speech, or the sentence no phones or one that the recogniser does not know.
        """
        return {"per": self._error(sample.audio, sample.phones)}

    def facts(self) -> dict[str, float]:
        """``per_real``: mean error on the scored speakers' own recordings."""
        return dict(self._facts)

    def transcribe(self, audio: Audio) -> list[str]:
        """The phones heard in 16 kHz audio of shape (samples,)."""
        import torch

        from benchmark.mel import log_mel
        from benchmark.scoring.recogniser import MEL, transcribe

        if self._model is None:
            raise RuntimeError("prepare() comes before score()")
        names = list(self._phones)
        return [names[index] for index in transcribe(self._model, log_mel(torch.from_numpy(audio), MEL))]

    def _error(self, audio: Audio, phones: Sequence[str]) -> float:
        from torchaudio.functional import edit_distance

        if not phones:
            raise CannotScore("the sentence has no phones")
        if unknown := sorted(set(phones) - set(self._phones)):
            raise CannotScore(f"the recogniser does not know the phone {unknown[0]!r}")
        heard = self.transcribe(require_speech(audio, "synthesised audio", seconds=0.1))
        return float(edit_distance(heard, list(phones))) / len(phones)

    def _sizes(self) -> dict[str, int]:
        """Arguments of the recogniser."""
        from benchmark.scoring.recogniser import MEL

        sizes = {"channels": self.config.channels, "blocks": self.config.blocks, "hidden": self.config.hidden}
        return {**sizes, "n_mels": MEL.n_mels, "phones": len(self._phones)}

    def _shipped_in(self, bundle: Bundle) -> bool:
        """Whether a model file holds the recogniser that these settings would train."""
        kept = bundle.facts.get("metrics", {}).get("per", {})
        theirs = [bundle.facts["config"]["metrics"].get("per"), kept.get("phones"), kept.get("format")]
        return theirs == [asdict(self.config), list(self._phones), RECOGNISER_FORMAT]

    def _restored(self, weights: Mapping[str, Any]) -> Recogniser:
        from benchmark.plumbing.checkpoint import into
        from benchmark.scoring.recogniser import Recogniser

        model = Recogniser(**self._sizes())
        into(model)(weights)
        return model.eval()

    def _recogniser(self, corpus: PreparedCorpus, path: Path, seed: int) -> Recogniser:
        from benchmark.plumbing.checkpoint import load, save
        from benchmark.scoring.recogniser import TrainingPlan, train

        config, sizes = self.config, self._sizes()
        if (kept := load(path, self._restored)) is not None:
            return kept
        training = TrainingPlan(config.epochs, config.max_steps, config.batch, config.learning_rate, seed=seed)
        examples = _examples(corpus, self._phones, training.max_steps * training.batch // config.epochs)
        checkpoint = path.with_suffix(".checkpoint")
        with progress("Training the phoneme recogniser", training.steps(len(examples))) as show:
            model = train(sizes, examples, training, checkpoint, lambda step, steps, loss: show(step))
        save(path, model.state_dict())
        checkpoint.unlink(missing_ok=True)
        return model

    def _error_on_real_speech(self, context: MetricContext, key: str) -> float:
        path = context.cache / f"recogniser-{key}-{digest_of([context.corpus.exact_version, sorted(context.targets)], 12)}.json"
        return mean_on_recordings(context, path, "per_real", lambda each: self._error(each.waveform, each.phones))


def _examples(corpus: PreparedCorpus, phones: dict[str, int], count: int) -> list[Example]:
    """About ``count`` utterances of the training split, as evenly spread over its speakers as possible."""
    speakers = corpus.speakers("train")
    share = max(1, count // len(speakers))
    names = [name for speaker in speakers for name in spread(corpus.utterance_ids(speaker), share)]
    return [example_of(utterance, corpus, phones) for utterance in corpus.many(names) if utterance.phones]


def example_of(utterance: PreparedUtterance, corpus: PreparedCorpus, phones: dict[str, int]) -> Example:
    """What the recogniser learns from one utterance: its log-mel, its phones and each frame's phone."""
    import torch

    from benchmark.mel import log_mel
    from benchmark.scoring.recogniser import MEL, Example

    mel = log_mel(torch.from_numpy(utterance.waveform), MEL).numpy()
    classes = np.array([1 + phones.get(symbol, -1) for symbol in corpus.symbols])
    labels = np.repeat(classes[utterance.tokens], utterance.durations)
    # The corpus's frames and the recogniser's differ in length.
    places = np.rint(np.arange(len(mel)) * MEL.seconds_per_frame / corpus.mel.seconds_per_frame).astype(np.int64)
    return Example(mel, tuple(phones[phone] for phone in utterance.phones), labels[places.clip(max=len(labels) - 1)])


PLUGIN = PER
