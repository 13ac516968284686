"""The settings of a run that belong to no plugin; presets fill them from ``benchmark/settings/presets/*.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from benchmark.errors import UsageError
from benchmark.plugins import fit, registry
from benchmark.settings.config import Plugin, later, plugin, plugins
from benchmark.settings.ranges import MAX_SEED, Checked, NonNegativeInt, PositiveFloat, PositiveInt, Seed
from benchmark.task import TASK_KINDS

MAX_SHOTS, MAX_QUERIES, MAX_EPISODES = 10, 4, 3
"""What a manifest holds for each held-out speaker; runs use the first ones of each."""


MAX_SIZE, MAX_STEPS, MAX_THREADS = 10_000, 100_000, 1024
Size = Annotated[int, Ge(1), Le(MAX_SIZE)]
"""Of a batch."""


def _metrics(chosen: Mapping[str, Sequence[str]], found: registry.Plugins) -> Sequence[str]:
    """The default metrics of the problem that the chosen backbone solves, and of the task."""
    (backbone,), (task,) = chosen["backbone"], chosen.get("task", ("speaker",))
    return fit.own_metrics(backbone, found, task)


@dataclass(frozen=True)
class PretrainSettings(Checked):
    """The multi-speaker pretraining that all algorithms on a dataset, backbone and seed share.

    Attributes:
        steps: optimiser steps.
        batch_size: utterances per step, at most 10,000.
        learning_rate: peak rate of AdamW.
        dataset: dataset plugins whose training speakers are learned from too, by the pretraining and by the algorithm.
        shipped: instead of training, start from the model that comes with this package, if its corpus, backbone, pretraining and seed
            are the run's (speechocean762, ``small``, seed 0).
    """

    steps: PositiveInt = 2000
    batch_size: Size = 24
    learning_rate: PositiveFloat = 1e-3
    dataset: tuple[Plugin, ...] = plugins("dataset", ())
    shipped: bool = later(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        # The order says nothing; another one must not make another run.
        object.__setattr__(self, "dataset", tuple(sorted(self.dataset, key=lambda chosen: chosen.name)))


@dataclass(frozen=True)
class MetaSettings(Checked):
    """Each algorithm's own training after pretraining, under one compute budget.

    Attributes:
        tflops: the budget, in 10^12 floating-point operations, forward and backward.
        tasks: tasks per step, each of one target, at most 10,000.
        support: support utterances of a training task, at most 10,000.
        query: query utterances of a training task, at most 10,000.
        learning_rate: peak rate of the outer optimiser (AdamW).
    """

    tflops: PositiveFloat = 20.0
    tasks: Size = 4
    support: Size = 5
    query: Size = 5
    learning_rate: PositiveFloat = 3e-4


@dataclass(frozen=True)
class VocoderSettings(Checked):
    """The training of a vocoder that learns; other vocoders ignore it.

    Attributes:
        steps: optimiser steps.
        batch_size: pieces of speech per step, at most 10,000.
        frames: mel frames of a piece, 2 to 10,000.
        learning_rate: peak rate of AdamW.
    """

    steps: PositiveInt = 20000
    batch_size: Size = 16
    frames: Annotated[int, Ge(2), Le(MAX_SIZE)] = 32
    learning_rate: PositiveFloat = 5e-4


@dataclass(frozen=True)
class EvaluationSettings(Checked):
    """The episodes to adapt to and score.

    Attributes:
        split: "test", or "validation" for choosing hyper-parameters.
        episodes: episodes per speaker, the first of the manifest, 1 to 3.
        queries: query sentences per episode, the first of the manifest, 1 to 4.
        speakers: maximum number of speakers; 0 for all (fewer than all marks the run as limited).
    """

    split: Literal["test", "validation"] = "test"
    episodes: Annotated[int, Ge(1), Le(MAX_EPISODES)] = 1
    queries: Annotated[int, Ge(1), Le(MAX_QUERIES)] = 3
    speakers: NonNegativeInt = 0


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What a prepared corpus depends on.

    Attributes:
        dataset: dataset plugin.
        vocoder: vocoder plugin; features follow its mel definition.
    """

    dataset: Plugin = plugin("dataset")
    vocoder: Plugin = plugin("vocoder", "griffin_lim")


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What the data that ``check`` reads depend on.

    Attributes:
        dataset: dataset plugin, the one that is checked.
    """

    dataset: Plugin = plugin("dataset", "folder")


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Checked):
    """Those of a run's settings that its trained model needs to speak or to transcribe; see :class:`RunSettings`.

    Attributes:
        algo: algorithm plugin.
        backbone: backbone plugin.
        vocoder: vocoder plugin.
        metrics: metric plugins that the run was scored with.
        steps: adaptation steps that it was scored after.
        seed: of all randomness.
        vocoder_training: of which only the frames of a piece matter.
        adapt_vocoder: whether the vocoder adapts too.
    """

    algo: Plugin = plugin("algorithm")
    backbone: Plugin = plugin("backbone")
    vocoder: Plugin = plugin("vocoder")
    metrics: tuple[Plugin, ...] = plugins("metric", ())
    steps: tuple[NonNegativeInt, ...]
    seed: Seed
    vocoder_training: VocoderSettings = field(default_factory=VocoderSettings)
    adapt_vocoder: bool = False


@dataclass(frozen=True, kw_only=True)
class RunSettings(Checked):
    """A run's settings.

    Attributes:
        algo: algorithm plugin.
        dataset: dataset plugin.
        backbone: backbone plugin.
        vocoder: vocoder plugin.
        metrics: metric plugins to score with; by default the problem's (for synthesis mcd, mel_error, f0, duration_error,
            pesq, stoi, naturalness, speaker_similarity, per and gop) and the task's (for style style_gap).
        task: what to adapt to: a speaker, a language, or one style of one speaker ("speaker", "language", "style"); or a speaker who
            is heard in one language and asked for another ("cross_lingual").
        preset: smoke, small or paper: values for all settings that are not given.
        shots: support sizes to adapt to, each 1 to 10 (an episode's support set holds 10).
        steps: adaptation steps after which to score, each at most 100,000.
        seed: the first seed of all randomness; further runs count up from it.
        threads: number of threads for training, at most 1,024, whatever the machine has. Another number sums in another order, so it makes
            another run; fewer cores give the same numbers more slowly.
        pretrain: the shared pretraining.
        meta: the algorithm's own training.
        vocoder_training: the training of a vocoder that learns.
        evaluation: adaptation to held-out targets, and scoring.
        adapt_vocoder: make backbone and vocoder one model, so that the algorithm trains and adapts both: the backbone has one more
            parameter group, "vocoder", which "all" includes. For vocoders that train.
    """

    algo: Plugin = plugin("algorithm")
    dataset: Plugin = plugin("dataset")
    backbone: Plugin = plugin("backbone", "fastspeech2")
    vocoder: Plugin = plugin("vocoder", "griffin_lim")
    metrics: tuple[Plugin, ...] = plugins("metric", _metrics)
    task: str = "speaker"
    preset: str = "small"
    shots: Annotated[tuple[Annotated[int, Ge(1), Le(MAX_SHOTS)], ...], MinLen(1)] = (5, 10)
    steps: Annotated[tuple[Annotated[int, Ge(0), Le(MAX_STEPS)], ...], MinLen(1)] = (0, 5, 20, 50, 100)
    seed: Seed = 0
    threads: Annotated[int, Ge(1), Le(MAX_THREADS)] = 4
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    meta: MetaSettings = field(default_factory=MetaSettings)
    vocoder_training: VocoderSettings = field(default_factory=VocoderSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    adapt_vocoder: bool = later(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in TASK_KINDS:
            raise ValueError(f"task must be one of {', '.join(TASK_KINDS)}, not {self.task}")
        # Order must not make another run.
        object.__setattr__(self, "shots", tuple(sorted(set(self.shots))))
        object.__setattr__(self, "steps", tuple(sorted(set(self.steps))))

    def seeded(self, count: int) -> list[RunSettings]:
        """The settings of ``count`` runs that differ in the seed, which counts up.

        Raises:
            UsageError: it would count beyond the largest seed.
        """
        if self.seed + count - 1 > MAX_SEED:
            raise UsageError(f"--seeds {count} counts beyond the largest seed, {MAX_SEED}; start from a smaller --seed.")
        return [replace(self, seed=self.seed + number) for number in range(count)]
