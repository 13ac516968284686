"""Start from the model that comes with this package instead of pretraining for hours, where it had the same pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.backbone import Backbone
from benchmark.data import shipped
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError
from benchmark.learning.inner_loop import joint_step
from benchmark.plugins import registry
from benchmark.plumbing import model_file
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress
from benchmark.running import ranks
from benchmark.running.building import build, spec_of
from benchmark.running.hardware import Hardware
from benchmark.running.pretraining import WAITING, BatchSampler
from benchmark.settings import config
from benchmark.settings.schema import RunSettings

START = "backbone."
"""How the names of an algorithm's weights start that are its backbone's."""
MOMENT_STEPS = 50
"""Batches whose squared gradients are averaged; the optimiser's beta2 of .98 averages over as many steps."""


@dataclass(frozen=True)
class ShippedPretraining:
    """The shipped model's backbone.

    Attributes:
        weights: its ``state_dict``, in 16 bits.
        run: the name of the run that made the model.
        digest: of the model's weights.
    """

    weights: dict[str, Tensor]
    run: str
    digest: str

    def backbone(self, settings: RunSettings, corpus: Corpus, plugins: registry.Plugins) -> Backbone:
        """The backbone with these weights, in 32 bits.

        Raises:
            BenchmarkError: its code has changed, so that they don't fit.
        """
        model = build(registry.load("backbone", settings.backbone.name, plugins), settings.backbone.config, spec_of(corpus), settings.seed)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise BenchmarkError(
                f"The shipped model's weights are not of the backbone {settings.backbone.name} as it is here; add --pretrain.shipped False."
            ) from error
        return model


def shipped_pretraining(settings: RunSettings, corpus: Corpus) -> ShippedPretraining | None:
    """What a run starts from instead of pretraining, if its corpus, backbone, pretraining and seed are the shipped model's; else None.

    After the pretraining the model had its algorithm's own training: more of the same, if that does not meta-learn.

    Raises:
        BenchmarkError: the file is damaged.
    """
    bundle = shipped.learned_from(corpus) if settings.pretrain.shipped else None
    if bundle is None:
        return None
    if _start(bundle.facts["config"]) != _start(config.to_dict(settings)):
        return None
    weights = {name.removeprefix(START): value for name, value in bundle.part("algorithm").items() if name.startswith(START)}
    return ShippedPretraining(weights, bundle.facts["run"], model_file.digest_of_tensors(weights))


def _start(values: Mapping[str, Any]) -> list[Any]:
    """What two runs' configurations share if they have the same pretraining."""
    length = {name: value for name, value in values["pretrain"].items() if name != "shipped"}
    return [values["backbone"], length, values["seed"]]


def measured_moments(
    start: ShippedPretraining, source: str, corpus: Corpus, settings: RunSettings, plugins: registry.Plugins, cache: Path,
    hardware: Hardware,
) -> dict[str, Tensor]:  # fmt: skip
    """An estimate of the optimiser's second moments, which the model's file does not hold.

    That is the mean square of each parameter's gradient, clipped as in training, over ``MOMENT_STEPS`` batches of a pretraining that
    goes on; shaped like the parameter, and zero for one that never has a gradient. The cache keeps it.

    Args:
        start: the shipped model's.
        source: digest of the code behind a pretrained backbone.
        corpus: that it learned from.
        settings: of the run.
        plugins: ``--plugin`` files.
        cache: of all runs.
        hardware: of the run.
    """
    parts = [start.digest, source, MOMENT_STEPS, settings.pretrain.batch_size, settings.seed, torch.get_num_threads()]
    key = digest_of([*parts, *hardware.identity], 16)
    found: dict[str, Tensor] = {}

    def measure() -> dict[str, Tensor]:
        backbone = start.backbone(settings, corpus, plugins)
        make = BatchSampler(corpus, settings.pretrain.batch_size, settings.seed)
        sums = {name: torch.zeros_like(each) for name, each in backbone.named_parameters()}
        with progress("Measuring gradients", MOMENT_STEPS) as show:
            for step in range(MOMENT_STEPS):
                backbone.zero_grad()
                joint_step(backbone, [make(step)], [settings.seed + step])
                torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
                for name, each in backbone.named_parameters():
                    if each.grad is not None:
                        sums[name] += each.grad.square() / MOMENT_STEPS
                show(step + 1)
        return sums

    ranks.made_once(cache / "pretrained" / f"{corpus.name}-shipped-{key}.moments", WAITING, measure, found.update, hardware.rank)
    return found
