"""The vocoder stage: a vocoder that learns is trained once per corpus and seed, on training speakers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.loggers import Logger
from torch import nn

from benchmark.data.corpus import Corpus
from benchmark.errors import UsageError
from benchmark.parameters import ParameterGroup
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress
from benchmark.running import ranks
from benchmark.running.hardware import Hardware
from benchmark.running.training import Budget, fit
from benchmark.settings.schema import VocoderSettings
from benchmark.vocoder import Segments, Vocoder, VocoderContext, load_speaking_state


@dataclass(frozen=True)
class VocoderCost:
    """What a vocoder is and took, as results record it.

    Attributes:
        parameters: numbers in the weights that it speaks with.
        training: "steps", "flops" and "seconds" that its training took, whichever run did it; 0 where there is nothing to train, and
            None where nobody knows: weights from a file, or trained before costs were kept.
    """

    parameters: int
    training: Mapping[str, float] | None


class VocoderTraining(nn.Module):
    """A learner that trains a vocoder."""

    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def parameter_groups(self) -> list[ParameterGroup]:
        """See :meth:`benchmark.vocoder.Vocoder.parameter_groups`."""
        return self.vocoder.parameter_groups()

    def meta_step(self, segments: Segments) -> dict[str, float]:
        """See :meth:`benchmark.vocoder.Vocoder.training_step`."""
        return self.vocoder.training_step(segments)


class SegmentSampler:
    """Pieces of training utterances; they depend only on seed and step.

    Args:
        corpus: prepared.
        size: pieces per step.
        frames: mel frames of a piece; shorter utterances are skipped.
        steps: of the whole training.
        seed: of the draws.
    """

    def __init__(self, corpus: Corpus, size: int, frames: int, steps: int, seed: int) -> None:
        self.corpus, self.size, self.frames, self.steps, self.seed = corpus, size, frames, steps, seed
        every = [name for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)]
        self.names = [name for name in every if corpus.frames(name) >= frames]
        if not self.names:
            raise UsageError(f"No training utterance of {corpus.name} has {frames} frames; lower vocoder_training.frames.")

    def __call__(self, step: int) -> Segments:
        """The pieces of a step."""
        generator = np.random.default_rng([self.seed, 2, step])
        hop = self.corpus.mel.hop_length
        mels, audio = [], []
        for utterance in self.corpus.many(self.names[i] for i in generator.integers(0, len(self.names), self.size)):
            start = int(generator.integers(0, len(utterance.mel) - self.frames + 1))
            mels.append(torch.tensor(utterance.mel[start : start + self.frames]))
            wave = torch.from_numpy(utterance.waveform[start * hop : (start + self.frames - 1) * hop])
            audio.append(torch.nn.functional.pad(wave, (0, (self.frames - 1) * hop - len(wave))))
        return Segments(torch.stack(mels), torch.stack(audio), step / self.steps)


def prepared(
    vocoder: Vocoder, name: str, source: str, corpus: Corpus, settings: VocoderSettings, seed: int, cache: Path,
    hardware: Hardware = Hardware(), loggers: Sequence[Logger] = (),
) -> tuple[Vocoder, VocoderCost]:  # fmt: skip
    """The vocoder, ready to decode: trained, or loaded from the cache; and its cost.

    Args:
        vocoder: built, with fresh weights.
        name: of the plugin.
        source: digest of its code and of the training's.
        corpus: prepared with the vocoder's mel definition.
        settings: of its training.
        seed: of batches.
        cache: where trained vocoders and unfinished trainings are kept.
        hardware: to train on.
        loggers: for its curves, if it is trained now.
    """
    parameters = sum(each.numel() for each in vocoder.adaptable_parameters().values())
    spent: Mapping[str, float] | None = None if parameters else {"steps": 0, "flops": 0.0, "seconds": 0.0}

    def train(learner: Vocoder) -> None:
        shape = {name: value for name, value in asdict(learner.config).items() if name not in learner.decoding_only}
        spec = [asdict(learner.mel), shape, asdict(settings)]
        parts = [corpus.training_digest, corpus.preparation, source, *spec, seed, torch.get_num_threads()]
        key = digest_of([*parts, *hardware.identity], 16)
        done = cache / "vocoders" / f"{corpus.name}-{name}-s{seed}-{key}.pt"

        def make() -> dict[str, Any]:
            return _train(learner, name, done.with_suffix(".training"), corpus, settings, seed, hardware, loggers)

        waiting = f"Waiting for another run that trains the vocoder {name}."
        def take(weights: Any) -> None:
            nonlocal spent
            load_speaking_state(learner, weights["state"])
            spent = weights.get("spent")

        ranks.made_once(done, waiting, make, take, hardware.rank)

    vocoder.prepare(VocoderContext(train))
    return vocoder.eval(), VocoderCost(parameters, spent)


def _train(
    vocoder: Vocoder, name: str, unfinished: Path, corpus: Corpus, settings: VocoderSettings, seed: int, hardware: Hardware,
    loggers: Sequence[Logger],
) -> dict[str, Any]:  # fmt: skip
    """What the cache keeps: the weights, and what the training spent."""
    make = SegmentSampler(corpus, settings.batch_size, settings.frames, settings.steps, seed)
    with progress(f"Training the vocoder {name}", settings.steps) as show:
        spent = fit(
            VocoderTraining(vocoder), make, settings.learning_rate, Budget(steps=settings.steps), seed, unfinished,
            lambda part, _: show(part * settings.steps), loggers=loggers, stage="vocoder", hardware=hardware,
        )  # fmt: skip
    return {**vocoder.weights(), "spent": spent}
