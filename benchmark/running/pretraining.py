"""The multi-speaker pretraining that every algorithm starts from, done once per corpus, backbone and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.loggers import Logger

from benchmark.backbone import Backbone
from benchmark.batch import Batch, collate
from benchmark.data.corpus import Corpus
from benchmark.learning.inner_loop import joint_step
from benchmark.parameters import ParameterGroup
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress
from benchmark.running import ranks
from benchmark.running.building import build, spec_of
from benchmark.running.hardware import Hardware
from benchmark.running.training import Budget, fit
from benchmark.running.validation import PretrainedLoss, Validation
from benchmark.settings.schema import PretrainSettings

WAITING = "Waiting for another run's pretraining."


class Pretraining(torch.nn.Module):
    """A learner that trains the backbone conventionally."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters, at one rate."""
        return [ParameterGroup(list(self.parameters()))]

    def meta_step(self, batch: Batch) -> dict[str, float]:
        """See :func:`benchmark.learning.inner_loop.joint_step`."""
        return joint_step(self.backbone, [batch])


class BatchSampler:
    """Batches of training utterances of similar length (little padding); they depend only on seed and step."""

    def __init__(self, corpus: Corpus, size: int, seed: int) -> None:
        self.corpus, self.size, self.seed = corpus, size, seed

    @cached_property
    def _sorted(self) -> list[str]:
        names = [name for speaker in self.corpus.speakers("train") for name in self.corpus.utterance_ids(speaker)]
        return sorted(names, key=lambda name: (self.corpus.frames(name), name))

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        names = self._sorted
        generator = np.random.default_rng([self.seed, 0, step])
        window = min(len(names), 4 * self.size)
        start = int(generator.integers(0, len(names) - window + 1))
        picked = generator.choice(window, min(self.size, window), replace=False)
        return collate(self.corpus.many(names[start + i] for i in sorted(picked)), self.corpus.statistics, speaker_index(self.corpus))


def speaker_index(corpus: Corpus) -> dict[str, int]:
    """The training speakers' rows in the backbone's table."""
    return {speaker: row for row, speaker in enumerate(corpus.speakers("train"))}


def pretrained(
    backbone: type[Backbone], config: Any, source: str, corpus: Corpus, settings: PretrainSettings, seed: int, cache: Path,
    loggers: Sequence[Logger] = (), hardware: Hardware = Hardware(),
) -> tuple[Backbone, str]:  # fmt: skip
    """The pretrained backbone, from the cache if it is there and whole, and the digest that names it.

    Args:
        backbone: the plugin.
        config: its configuration.
        source: digest of its code and of the training's, so that changed code is trained again.
        corpus: prepared.
        settings: of the pretraining.
        seed: of weights and batches.
        cache: where pretrained backbones and unfinished pretrainings are kept.
        loggers: for its curves, if it trains now.
        hardware: to train on.
    """
    model, done, key = _named(backbone, config, source, corpus, settings, seed, cache, hardware)

    def train() -> dict[str, torch.Tensor]:
        return _train(model, done.with_suffix(".training"), corpus, settings, seed, loggers, hardware)

    ranks.made_once(done, WAITING, train, checkpoint.into(model), hardware.rank)
    return model, key


def second_moments(
    backbone: type[Backbone], config: Any, source: str, corpus: Corpus, settings: PretrainSettings, seed: int, cache: Path,
    loggers: Sequence[Logger] = (), hardware: Hardware = Hardware(),
) -> dict[str, torch.Tensor]:  # fmt: skip
    """How large each parameter's gradient was at the end of the pretraining: Adam's second moment, without its bias.

    That is v / (1 - beta2^t), shaped like the parameter; zero for one that never had a gradient. A pretraining keeps it beside its
    weights; one that was cached without it is done again. Arguments as for :func:`pretrained`.
    """
    model, done, _ = _named(backbone, config, source, corpus, settings, seed, cache, hardware)
    kept = _moments_file(done)
    found: dict[str, torch.Tensor] = {}

    def take(state: Mapping[str, torch.Tensor]) -> None:
        if {name: each.shape for name, each in state.items()} != {name: each.shape for name, each in model.named_parameters()}:
            raise ValueError("moments of another model")
        found.update(state)

    def again() -> dict[str, torch.Tensor]:
        if not hardware.rank:
            print(f"{done.name} was cached without its optimiser's state, which this algorithm starts from; it is pretrained again.")
        _train(model, done.with_suffix(".training"), corpus, settings, seed, loggers, hardware)
        return ranks.agreed(checkpoint.load(kept)) or {}

    ranks.made_once(kept, WAITING, again, take, hardware.rank)
    return found


def _named(
    backbone: type[Backbone], config: Any, source: str, corpus: Corpus, settings: PretrainSettings, seed: int, cache: Path,
    hardware: Hardware,
) -> tuple[Backbone, Path, str]:  # fmt: skip
    """The fresh backbone, the file of its pretrained weights, and the digest in its name."""
    model = build(backbone, config, spec_of(corpus), seed)
    # The corpus's digest stands for the datasets, and what is trained here is not shipped.
    length = {name: value for name, value in asdict(settings).items() if name not in ("dataset", "shipped")}
    shape = asdict(config) | {name: getattr(type(config)(), name) for name in backbone.decoding_only}
    parts = [corpus.training_digest, corpus.preparation, source, shape, length, seed, torch.get_num_threads()]
    key = digest_of([*parts, *hardware.identity], 16)
    return model, cache / "pretrained" / f"{corpus.name}-{backbone.__name__.lower()}-s{seed}-{key}.pt", key


def _moments_file(training: Path) -> Path:
    """Where the second moments stand, beside the weights or the unfinished training."""
    return training.with_suffix(".moments")


def _train(
    model: Backbone, unfinished: Path, corpus: Corpus, settings: PretrainSettings, seed: int, loggers: Sequence[Logger],
    hardware: Hardware,
) -> dict[str, torch.Tensor]:
    """The weights after pretraining; keeps the second moments beside them."""
    with progress("Pretraining", settings.steps) as show:
        budget = Budget(steps=settings.steps)
        make = BatchSampler(corpus, settings.batch_size, seed)
        learner = Pretraining(model)
        fit(
            learner, make, settings.learning_rate, budget, seed, unfinished, lambda part, _: show(part * settings.steps),
            loggers=loggers, stage="pretraining", hardware=hardware, callbacks=[Validation(PretrainedLoss(corpus))] if loggers else [],
        )  # fmt: skip
    if not hardware.rank:
        checkpoint.save(_moments_file(unfinished), _moments(model, checkpoint.load(unfinished)))
    return model.state_dict()


def _moments(model: Backbone, state: Any) -> dict[str, torch.Tensor]:
    """The second moments of a finished training, by name; see :func:`second_moments`."""
    optimizer = state["optimizer_states"][0]
    _, beta = optimizer["param_groups"][0]["betas"]
    found = {name: torch.zeros_like(each) for name, each in model.named_parameters()}
    for name, number in zip(found, optimizer["param_groups"][0]["params"], strict=True):
        if own := optimizer["state"].get(number):
            found[name] = own["exp_avg_sq"] / (1 - beta ** float(own["step"]))
    return found
