"""A finished run, opened to use its algorithm on somebody's recordings: to speak (``say``) or to transcribe.

It needs the run's folder and the cache that the run was made with, whose prepared corpus holds the symbols, the mel
definition, the statistics and the language. The original corpus is not needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmark.algorithm import AdaptedModel, Algorithm, Oracle
from benchmark.batch import Batch
from benchmark.data.corpus import Corpus
from benchmark.data.joined import JoinedCorpus
from benchmark.errors import AdaptationFailed, BenchmarkError, UsageError
from benchmark.plugins import fit, registry
from benchmark.plugins.digest import source_digest
from benchmark.plumbing import checkpoint
from benchmark.problem import Problem
from benchmark.results.result import LATER, read_result
from benchmark.running.identity import weights_digest
from benchmark.running.joint import fresh_model
from benchmark.running.run import ALGORITHM_FILE
from benchmark.settings import config
from benchmark.settings.schema import RunSettings

T = TypeVar("T")


@dataclass(frozen=True)
class FinishedRun:
    """A run's trained algorithm, with what it needs to adapt.

    Attributes:
        folder: of the run.
        settings: of the run.
        corpus: the one that it learned from.
        algorithm: trained.
    """

    folder: Path
    settings: RunSettings
    corpus: Corpus
    algorithm: Algorithm

    def steps(self, wanted: int | None) -> int:
        """Adaptation steps to take: as many as wanted and as the algorithm can; None for the most that the run was scored at."""
        steps, most = max(self.settings.steps) if wanted is None else wanted, self.algorithm.max_steps
        return steps if most is None else min(steps, most)

    def adapt(self, support: Batch, steps: int) -> AdaptedModel:
        """The model after so many steps on a support set.

        Raises:
            BenchmarkError: adaptation failed.
        """
        # One thread, as in evaluation: times are then comparable with a leaderboard's, and a busy machine would stall several threads.
        torch.set_num_threads(1)
        torch.manual_seed(self.settings.seed)
        try:
            ((_, model),) = self.algorithm.adapt(support, [steps])
        except AdaptationFailed as error:
            raise BenchmarkError(
                f"{self.settings.algo.name} could not adapt to this voice: {error}; try fewer --steps or other recordings."
            ) from error
        assert not isinstance(model, Oracle)  # open_run() refuses toplines
        return model


def open_run(folder: Path, cache: Path, plugins: registry.Plugins, problem: Problem) -> FinishedRun:
    """Rebuild a run's algorithm from its folder and the cache.

    Args:
        folder: of the run.
        cache: that the run was made with.
        plugins: ``--plugin`` files.
        problem: that its backbone must solve.

    Raises:
        UsageError: there is no such folder, its backbone solves another problem, or the algorithm does not adapt to recordings.
        BenchmarkError: the run is not complete, its checkpoint is missing or does not fit, or its corpus is not in the cache or damaged.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no run folder {folder}; give one that 'run' wrote, runs/RUN.")
    result = read_result(folder)
    settings = config.from_dict(RunSettings, result["config"], str(folder / "result.json"), plugins)
    if (own_problem := fit.problem_of(settings.backbone.name, plugins)).name != problem.name:
        raise UsageError(f"{folder.name} is a {own_problem.name} run; choose a {problem.name} run.")
    algorithm_type: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    if algorithm_type.oracle or not algorithm_type.uses_support:
        raise UsageError(f"{settings.algo.name} does not adapt to recordings; choose a run of an algorithm that does.")
    chosen, versions = [settings.dataset, *settings.pretrain.dataset], result["data_version"].split("+")
    named = zip([each.name for each in chosen], versions, strict=True)
    own, *others = [_corpus(name, version, result["preparation_version"], cache, folder) for name, version in named]
    corpus = JoinedCorpus(own, others) if others else own
    algorithm = algorithm_type(fresh_model(settings, corpus, plugins), settings.algo.config)
    restore(folder / ALGORITHM_FILE, checkpoint.into(algorithm))
    for kind, name in (("algorithm", settings.algo.name), ("backbone", settings.backbone.name), ("vocoder", settings.vocoder.name)):
        if source_digest(registry.get(kind, name, plugins)) != result["sources"][kind]:
            print(f"Note: the code of {kind} {name} has changed since the run.", file=sys.stderr)
    for kind, digest in weights_digest(settings).items():
        if digest != result["sources"].get(kind):
            print(f"Note: the file of the {kind} has changed since the run.", file=sys.stderr)
    return FinishedRun(folder, settings, corpus, algorithm.eval())


def restore(path: Path, use: Callable[[Any], T]) -> T:
    """What ``use`` makes of the weights that a run left in its folder; see :func:`benchmark.plumbing.checkpoint.load`."""
    if (found := checkpoint.load(path, use, quiet=True)) is None:
        raise BenchmarkError(
            f"{path} is missing, damaged, or from other code; the run's command, given again, rebuilds it, or repeats the run."
        )
    return found


def _corpus(name: str, version: str, preparation: str, cache: Path, run: Path) -> Corpus:
    """The prepared corpus that a run was made with."""
    known = preparation != LATER["preparation_version"]  # older results don't say which it was
    for folder in sorted((cache / "corpora").glob(f"{name}-*")):
        try:
            corpus = Corpus(folder)
        except BenchmarkError:
            continue
        if corpus.version == version and (corpus.preparation == preparation or not known):
            corpus.check()
            return corpus
    raise BenchmarkError(
        f"The cache {cache} does not hold the prepared corpus of {run.name} ({name}, version {version}): give the cache that the run was "
        f"made with (--cache), or prepare {name} again."
    )
