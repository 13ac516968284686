"""A run's model and vocoder, built from its settings and what is known of its corpus.

Light to import: what speaks with a trained model needs this too, and nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from benchmark.backbone import Backbone, BackboneSpec
from benchmark.data.corpus import Corpus
from benchmark.data.frontend import Frontend
from benchmark.plugins import registry
from benchmark.plumbing import model_file
from benchmark.plumbing.room import within_memory
from benchmark.running.joint import with_vocoder
from benchmark.settings.schema import ModelSettings, RunSettings
from benchmark.vocoder import Vocoder, VocoderContext, checkpoint_of, load_speaking_state

ALGORITHM_FILE, VOCODER_FILE = "checkpoints/algorithm.pt", "checkpoints/vocoder.pt"
"""In a run's folder, the weights that it keeps; the latter only of some vocoders (:func:`keeps_vocoder`)."""
METRIC_THREADS = 1
"""Threads for preparing metrics and vocoders; runs share what they train, whatever their ``threads``."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside the context."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def spec_of(corpus: Corpus) -> BackboneSpec:
    """What a backbone needs to know of a corpus."""
    return BackboneSpec(len(corpus.symbols), len(corpus.speakers("train")), corpus.mel, corpus.statistics, corpus.characters)


def frontend_of(corpus: Corpus) -> Frontend:
    """How text and recordings reach a model of a corpus."""
    return Frontend(corpus.name, str(corpus.meta["card"]["language"]), corpus.symbols, spec_of(corpus))


def build(backbone: type[Backbone], config: Any, spec: BackboneSpec, seed: int) -> Backbone:
    """A fresh backbone for a corpus, its weights drawn from ``seed``.

    Raises:
        BenchmarkError: the memory does not suffice for it.
    """
    torch.manual_seed(seed)
    with within_memory("the backbone"):
        return backbone(spec, config)


def build_vocoder(name: str, config: Any, plugins: registry.Plugins) -> Vocoder:
    """A vocoder with fresh weights.

    Raises:
        BenchmarkError: the memory does not suffice for it.
    """
    kind: type[Vocoder] = registry.load("vocoder", name, plugins)
    with within_memory(f"the vocoder {name}"):
        return kind(config)


def fresh_model(settings: RunSettings | ModelSettings, spec: BackboneSpec, plugins: registry.Plugins) -> Backbone:
    """The model that a run's algorithm gets, with fresh weights."""
    backbone = build(registry.load("backbone", settings.backbone.name, plugins), settings.backbone.config, spec, settings.seed)
    if not settings.adapt_vocoder:
        return backbone
    vocoder = build_vocoder(settings.vocoder.name, settings.vocoder.config, plugins)
    return with_vocoder(backbone, vocoder, settings.vocoder_training.frames)


def fresh_vocoder(settings: RunSettings | ModelSettings, plugins: registry.Plugins) -> Vocoder:
    """The vocoder, its weights drawn from the seed."""
    chosen = settings.vocoder
    torch.manual_seed(settings.seed)
    # What its constructor computes (a pseudo-inverse, say) must not depend on the number of cores.
    with threads(METRIC_THREADS):
        return build_vocoder(chosen.name, chosen.config, plugins)


def keeps_vocoder(vocoder: Vocoder) -> bool:
    """Whether a run keeps the vocoder's weights: those that were trained or given, not those that come with this package."""
    return vocoder.trains and checkpoint_of(vocoder.config) != model_file.SHIPPED


def restored(vocoder: Vocoder, state: Mapping[str, Any]) -> Vocoder:
    """The vocoder, ready to decode with the weights that a run kept. It neither trains nor reads the file that its options name.

    Raises:
        ValueError: they don't fit.
    """
    if checkpoint_of(vocoder.config):
        vocoder.config = replace(vocoder.config, checkpoint="")
    vocoder.prepare(VocoderContext(lambda _: None))
    load_speaking_state(vocoder, state)
    return vocoder.eval()
