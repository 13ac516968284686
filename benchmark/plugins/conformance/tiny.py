"""Made-up speech and a backbone small enough to try anything on in milliseconds."""

from __future__ import annotations

from typing import Any

import torch

from benchmark.backbone import Backbone, BackboneSpec
from benchmark.batch import Batch
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.utterance import Statistics


def tiny_batch(speaker: int, utterances: int = 2, seed: int = 0, tokens: int = 6) -> Batch:
    """Made-up utterances of so many tokens, each of four frames."""
    generator = torch.Generator().manual_seed(seed)
    frames = 4 * tokens

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    durations = torch.full((utterances, tokens), frames // tokens)
    return Batch(
        torch.randint(1, 10, (utterances, tokens), generator=generator), torch.full((utterances,), tokens), durations,
        normal(utterances, frames, MelSpec().n_mels) - 5, torch.full((utterances,), frames), normal(utterances, tokens),
        normal(utterances, tokens), torch.full((utterances,), speaker),
    )  # fmt: skip


def tiny_backbone(plugin: type[Backbone] | None = None, config: Any = None, seed: int = 0) -> Backbone:
    """A small backbone for made-up speech of four training speakers; the default plugin, shrunk, if none is given."""
    if plugin is None:
        plugin = registry.load("backbone", "fastspeech2")
        config = plugin.Config(  # type: ignore[call-arg]
            hidden=8, encoder_blocks=1, decoder_blocks=1, encoder_kernel=3, decoder_kernel=3, predictor_hidden=4, speaker_dim=4
        )
    torch.manual_seed(seed)
    mels = MelSpec().n_mels
    return plugin(BackboneSpec(10, 4, MelSpec(), Statistics((-5.0,) * mels, (1.0,) * mels, 5.0, 0.3, -3.0, 1.0)), config)
