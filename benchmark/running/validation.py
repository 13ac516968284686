"""The loss on validation speakers, reported a few times during a training that is logged. It changes no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl
import torch

from benchmark.algorithm import AdaptedModel, Algorithm, pinned
from benchmark.batch import Batch, collate
from benchmark.data.corpus import Corpus
from benchmark.errors import AdaptationFailed
from benchmark.running.training import Step, Training

TIMES = 10
"""Reports of a training, evenly spread, after one at its first step."""
SPEAKERS = 4
QUERIES = 2
"""Sentences of each speaker."""


class Validation(pl.Callback):
    """Measures a training's learner and reports it as "validation_loss".

    Args:
        measure: of the learner; must not change it. It may draw random numbers: those of the training are kept apart.
    """

    def __init__(self, measure: Callable[[Any], float]) -> None:
        self.measure, self.reported = measure, -1

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """Report at the first step, and whenever another tenth of the budget is spent."""
        assert isinstance(module, Training)
        progress = min(1.0, module.budget.progress(module.step, module.flops))
        if trainer.global_rank or int(progress * TIMES) <= self.reported:
            return
        self.reported = int(progress * TIMES)
        with torch.random.fork_rng():
            loss = self.measure(module.learner)
        if math.isfinite(loss):
            module.report(Step(module.step, progress, {}, {"validation_loss": loss}))


class PretrainedLoss:
    """The backbone's loss on sentences of validation speakers, whom it takes for a new one."""

    def __init__(self, corpus: Corpus) -> None:
        names = [name for target in corpus.targets("validation")[:SPEAKERS] for name in corpus.utterances_of(target)[:QUERIES]]
        self.batch = collate(corpus.many(names), corpus.statistics, {}) if names else None

    def __call__(self, learner: Any) -> float:
        """The loss; NaN without validation speakers."""
        if self.batch is None:
            return math.nan
        with pinned(learner.backbone, training=False), torch.no_grad():
            return float(learner.backbone.loss(self.batch.to(_device(learner)))["loss"])


class AdaptedLoss:
    """An algorithm's loss on a validation speaker's other sentences after it has adapted to some: what a run is about.

    Args:
        corpus: prepared.
        shots: sentences to adapt to.
        steps: of adaptation.
    """

    def __init__(self, corpus: Corpus, shots: int, steps: int) -> None:
        self.steps = steps
        self.tasks: list[tuple[Batch, list[Batch]]] = []
        for target in corpus.targets("validation"):
            names = corpus.utterances_of(target)[: shots + QUERIES]
            if len(names) == shots + QUERIES and len(self.tasks) < SPEAKERS:
                support, *queries = (
                    collate(corpus.many(some), corpus.statistics, {}) for some in (names[:shots], *([name] for name in names[shots:]))
                )
                self.tasks.append((support, queries))

    def __call__(self, learner: Algorithm) -> float:
        """The mean loss; NaN without validation speakers, and if no adaptation succeeds."""
        steps = self.steps if learner.max_steps is None else min(self.steps, learner.max_steps)
        losses: list[float] = []
        with pinned(learner, training=False):
            for support, queries in self.tasks:
                heard: Any = support.to(_device(learner)) if learner.uses_support else None
                with suppress(AdaptationFailed):
                    for _, model in learner.adapt(heard, [steps]):
                        assert isinstance(model, AdaptedModel)  # toplines don't train
                        losses += _losses(model, queries)
        return sum(losses) / len(losses) if losses else math.nan


def _losses(model: AdaptedModel, queries: Sequence[Batch]) -> list[float]:
    found = []
    for query in (each.to(model.device) for each in queries):
        vector = model.speaker_vector(query.tokens[0])
        found.append(float(model.run("loss", query, **({} if vector is None else {"speaker": vector}))["loss"]))
    return found


def _device(learner: Any) -> torch.device:
    return next(learner.parameters()).device
