"""Synthetic speech, and backbones that run in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch.nn.functional import pad

from benchmark.algorithm import Labels
from benchmark.backbone import Backbone, BackboneSpec
from benchmark.batch import Batch
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.utterance import Statistics

CHARACTERS = "abc"


def tiny_batch(speaker: int, utterances: int = 2, seed: int = 0, tokens: int = 6) -> Batch:
    """Synthetic utterances of ``tokens`` tokens, four frames each."""
    generator = torch.Generator().manual_seed(seed)
    frames = 4 * tokens

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    durations = torch.full((utterances, tokens), frames // tokens)
    return Batch(
        torch.randint(1, 10, (utterances, tokens), generator=generator), torch.full((utterances,), tokens), durations,
        normal(utterances, frames, MelSpec().n_mels) - 5, torch.full((utterances,), frames), normal(utterances, tokens),
        normal(utterances, tokens), torch.full((utterances,), speaker),
        torch.tensor([[ord(each) for each in CHARACTERS]] * utterances),
        (3000 * normal(utterances, (frames - 1) * MelSpec().hop_length)).short(),
        torch.full((utterances,), (frames - 1) * MelSpec().hop_length),
    )  # fmt: skip


def longer(batch: Batch, tokens: int = 3, frames: int = 7) -> Batch:
    """The same utterances, padded further."""
    more = {name: pad(getattr(batch, name), (0, tokens)) for name in ("tokens", "durations", "pitch", "energy", "characters")}
    return replace(batch, **more, mels=pad(batch.mels, (0, 0, 0, frames)), audio=pad(batch.audio, (0, frames * MelSpec().hop_length)))


def tiny_spec() -> BackboneSpec:
    """The specification for the synthetic speech, with four training speakers."""
    mels = MelSpec().n_mels
    return BackboneSpec(10, 4, MelSpec(), Statistics((-5.0,) * mels, (1.0,) * mels, 5.0, 0.3, -3.0, 1.0), tuple(CHARACTERS))


def tiny_labels(names: Sequence[str]) -> Labels:
    """What is told of a grown woman, and of training speakers who are women and men of 8 to 40."""
    people = [{"sex": "fm"[row % 2], "age": str((30, 40, 8, 9)[row % 4])} for row in range(tiny_spec().train_speakers)]
    told = [{name: person.get(name, "1") for name in names} for person in people]
    return Labels(told[0], told)


def tiny_backbone(plugin: type[Backbone] | None = None, config: Any = None, seed: int = 0) -> Backbone:
    """A small backbone for the synthetic speech: ``plugin``, or the default backbone of runs, with the config of ``Backbone.tiny``."""
    if plugin is None:
        from benchmark.settings.schema import RunSettings

        chosen = next(each.default for each in fields(RunSettings) if each.name == "backbone")
        plugin = registry.load("backbone", chosen.name)  # type: ignore[union-attr]
    torch.manual_seed(seed)
    return plugin(tiny_spec(), config if config is not None else plugin.tiny())
