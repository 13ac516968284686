"""The settings of a run that do not belong to a plugin; presets fill them from ``benchmark/settings/presets/*.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmark.dataset import SPLITS
from benchmark.plugins import fit, registry
from benchmark.settings.config import Plugin, plugin, plugins

MAX_SHOTS, MAX_QUERIES, MAX_EPISODES = 10, 4, 3
"""What a manifest holds for each held-out speaker; runs take the first so many of each."""


def _at_least(least: float, **values: float) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _metrics(chosen: Mapping[str, Sequence[str]], found: registry.Plugins) -> Sequence[str]:
    """Those of the problem that the chosen backbone solves."""
    (backbone,) = chosen["backbone"]
    return fit.own_metrics(backbone, found)


@dataclass(frozen=True)
class PretrainSettings:
    """The multi-speaker pretraining that all algorithms on a dataset, backbone and seed share.

    Attributes:
        steps: optimiser steps.
        batch_size: utterances a step.
        learning_rate: peak rate of AdamW.
    """

    steps: int = 2000
    batch_size: int = 24
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        _at_least(1, steps=self.steps, batch_size=self.batch_size)
        _at_least(1e-9, learning_rate=self.learning_rate)


@dataclass(frozen=True)
class MetaSettings:
    """The training that each algorithm does on top, under one compute budget.

    Attributes:
        tflops: the budget, in 10^12 floating-point operations, forward and backward.
        tasks: speakers a step.
        support: support utterances of a training task.
        query: query utterances of a training task.
        learning_rate: peak rate of the outer optimiser (AdamW).
    """

    tflops: float = 20.0
    tasks: int = 4
    support: int = 5
    query: int = 5
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        _at_least(1, tasks=self.tasks, support=self.support, query=self.query)
        _at_least(1e-9, tflops=self.tflops, learning_rate=self.learning_rate)


@dataclass(frozen=True)
class VocoderSettings:
    """The training of a vocoder that learns; the others pass it over.

    Attributes:
        steps: optimiser steps.
        batch_size: pieces of speech a step.
        frames: mel frames of a piece.
        learning_rate: peak rate of AdamW.
    """

    steps: int = 20000
    batch_size: int = 16
    frames: int = 32
    learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        _at_least(1, steps=self.steps, batch_size=self.batch_size)
        _at_least(2, frames=self.frames)
        _at_least(1e-9, learning_rate=self.learning_rate)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is adapted to and scored.

    Attributes:
        split: "test", or "validation" for choosing hyper-parameters.
        episodes: episodes a speaker, the manifest's first.
        queries: sentences an episode, the manifest's first.
        speakers: at most so many speakers; 0 for all (fewer marks the run as limited).
    """

    split: str = "test"
    episodes: int = 1
    queries: int = 3
    speakers: int = 0

    def __post_init__(self) -> None:
        _at_least(1, episodes=self.episodes, queries=self.queries)
        _at_least(0, speakers=self.speakers)
        if self.split not in SPLITS[1:]:
            raise ValueError(f"split must be test or validation, not {self.split}")


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What a prepared corpus depends on.

    Attributes:
        dataset: dataset plugin.
        vocoder: vocoder plugin, whose mel definition the features follow.
    """

    dataset: Plugin = plugin("dataset")
    vocoder: Plugin = plugin("vocoder", "griffin_lim")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """A run's settings.

    Attributes:
        algo: algorithm plugin.
        dataset: dataset plugin.
        backbone: backbone plugin.
        vocoder: vocoder plugin.
        metrics: metric plugins to score with; the problem's own (for synthesis mcd, f0, duration_error, pesq, stoi,
            speaker_similarity and per) if none is named.
        task: what is adapted to: a speaker, a language, or one style of one speaker.
        preset: smoke, small or paper: values for everything that is not given.
        shots: support sizes to adapt on.
        steps: adaptation steps after which to score.
        seed: the first seed of everything random; further ones count up from it.
        threads: that training computes with, whatever the machine has: another number sums in another order, and so makes
            another run. On fewer cores the same numbers come out, later.
        pretrain: the shared pretraining.
        meta: the algorithm's own training.
        vocoder_training: of a vocoder that learns.
        evaluation: adaptation to held-out targets, and scoring.
    """

    algo: Plugin = plugin("algorithm")
    dataset: Plugin = plugin("dataset")
    backbone: Plugin = plugin("backbone", "fastspeech2")
    vocoder: Plugin = plugin("vocoder", "griffin_lim")
    metrics: tuple[Plugin, ...] = plugins("metric", _metrics)
    task: Literal["speaker", "language", "style"] = "speaker"
    preset: str = "small"
    shots: tuple[int, ...] = (5, 10)
    steps: tuple[int, ...] = (0, 5, 20, 50, 100)
    seed: int = 0
    threads: int = 4
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    meta: MetaSettings = field(default_factory=MetaSettings)
    vocoder_training: VocoderSettings = field(default_factory=VocoderSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        if not self.shots or not self.steps:
            raise ValueError("shots and steps need at least one number each")
        _at_least(1, shots=min(self.shots))
        _at_least(1, threads=self.threads)
        _at_least(0, steps=min(self.steps), seed=self.seed)
        # The order says nothing; another one must not make another run.
        object.__setattr__(self, "shots", tuple(sorted(set(self.shots))))
        object.__setattr__(self, "steps", tuple(sorted(set(self.steps))))
        # An episode's support set holds so many utterances; see benchmark.running.episodes.
        if max(self.shots) > MAX_SHOTS:
            raise ValueError(f"shots must be at most {MAX_SHOTS}, as many as an episode's support set holds, not {max(self.shots)}")
        if self.evaluation.queries > MAX_QUERIES:
            raise ValueError(f"evaluation.queries must be at most {MAX_QUERIES}, not {self.evaluation.queries}")
        if self.evaluation.episodes > MAX_EPISODES:
            raise ValueError(f"evaluation.episodes must be at most {MAX_EPISODES}, not {self.evaluation.episodes}")
