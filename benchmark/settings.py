"""The settings of a run that do not belong to a plugin; presets fill them from ``benchmark/presets/*.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmark.dataset import SPLITS


def _at_least(least: float, **values: float) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


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
class EvaluationSettings:
    """What is adapted to and scored.

    Attributes:
        split: "test", or "validation" for choosing hyper-parameters.
        episodes: episodes a speaker, the manifest's first.
        queries: sentences an episode, the manifest's first.
        speakers: at most so many speakers; 0 for all (fewer marks the run as limited).
        metrics: metric plugins to score with.
    """

    split: str = "test"
    episodes: int = 1
    queries: int = 3
    speakers: int = 0
    metrics: tuple[str, ...] = ("mcd", "pesq", "stoi", "speaker_similarity", "per")

    def __post_init__(self) -> None:
        _at_least(1, episodes=self.episodes, queries=self.queries)
        _at_least(0, speakers=self.speakers)
        if self.split not in SPLITS[1:]:
            raise ValueError(f"split must be test or validation, not {self.split}")


@dataclass(frozen=True)
class RunSettings:
    """A run's settings.

    Attributes:
        shots: support sizes to adapt on.
        steps: adaptation steps after which to score.
        seed: of everything random.
        pretrain: the shared pretraining.
        meta: the algorithm's own training.
        evaluation: adaptation on held-out speakers, and scoring.
    """

    shots: tuple[int, ...] = (5, 10)
    steps: tuple[int, ...] = (0, 5, 20, 50, 100)
    seed: int = 0
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    meta: MetaSettings = field(default_factory=MetaSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        if not self.shots or not self.steps:
            raise ValueError("shots and steps need at least one number each")
        _at_least(1, shots=min(self.shots))
        _at_least(0, steps=min(self.steps), seed=self.seed)
