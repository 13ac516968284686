"""A trained algorithm with all that it needs to speak or to transcribe; from a model file or from a finished run, in the same way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, NamedTuple

import torch

from benchmark.algorithm import AdaptedModel, Algorithm, Oracle
from benchmark.batch import Batch
from benchmark.data.aligner import Aligner
from benchmark.data.frontend import Frontend
from benchmark.errors import AdaptationFailed, BenchmarkError, UsageError
from benchmark.metric import Metric
from benchmark.plugins import fit, registry
from benchmark.plumbing.model_file import Bundle
from benchmark.problem import Problem
from benchmark.running.building import fresh_model, fresh_vocoder, restored
from benchmark.scoring.verification import Floats
from benchmark.settings import config
from benchmark.settings.schema import ModelSettings
from benchmark.vocoder import Vocoder, load_speaking_state

ALONE = frozenset({"speech", "transcript"})
"""What metrics may need to score speech that has no recording beside it."""


class Adaptation(NamedTuple):
    """A model adapted to a voice.

    Attributes:
        model: adapted.
        steps: that it took.
        seconds: of wall time that they took.
    """

    model: AdaptedModel
    steps: int
    seconds: float


@dataclass(frozen=True)
class TrainedModel:
    """What :func:`open_model` makes of a bundle.

    Attributes:
        name: of the run.
        settings: that it was trained with.
        frontend: how text and recordings reach it.
        algorithm: trained.
        vocoder: ready to decode; None of a recogniser.
        aligner: of the training corpus; None if the algorithm needs no transcripts, or transcribes.
        strangers: GE2E embeddings of training speakers, one recording each, shape (speakers, 256); None if there are none.
        metrics: ready to score speech that has no recording beside it, by name.
        unscored: why others of that kind can't score, by name.
    """

    name: str
    settings: ModelSettings
    frontend: Frontend
    algorithm: Algorithm
    vocoder: Vocoder | None
    aligner: Aligner | None
    strangers: Floats | None
    metrics: Mapping[str, Metric]
    unscored: Mapping[str, str]

    def steps(self, wanted: int | None) -> int:
        """Adaptation steps to take: as many as wanted and as the algorithm can; None for the most that the run was scored at."""
        steps, most = max(self.settings.steps) if wanted is None else wanted, self.algorithm.max_steps
        return steps if most is None else min(steps, most)

    def adapt(self, support: Batch, steps: int, budget: float | None = None) -> Adaptation:
        """Adapt to a support set.

        Args:
            support: of one voice.
            steps: to take, at most.
            budget: seconds of wall time for them. Every step is timed, and none is begun that would not fit if it took as long as the last
                one; the first is begun if any time is left.

        Raises:
            BenchmarkError: adaptation failed.
        """
        # One thread, as in evaluation: times are then comparable with a leaderboard's, and a busy machine would stall several threads.
        torch.set_num_threads(1)
        if self.algorithm.max_steps != 0:
            # The first optimiser would load it, which takes a second that is none of adaptation.
            import_module("torch._dynamo")
        torch.manual_seed(self.settings.seed)
        started = before = time.perf_counter()
        try:
            for taken, model in self.algorithm.adapt(support, [steps] if budget is None else range(steps + 1)):  # noqa: B007
                now = time.perf_counter()
                last, before = (now - before) * bool(taken), now
                if budget is not None and now - started + last >= budget:
                    break
        except AdaptationFailed as error:
            raise BenchmarkError(
                f"{self.settings.algo.name} could not adapt to this voice: {error}; try fewer --steps or other recordings."
            ) from error
        assert not isinstance(model, Oracle)  # open_run() refuses toplines
        return Adaptation(model, taken, before - started)


def open_model(bundle: Bundle, where: str, problem: Problem, plugins: registry.Plugins) -> TrainedModel:
    """Build a model from a bundle.

    Args:
        bundle: from a model file or a run.
        where: it comes from, for errors.
        problem: that it must solve.
        plugins: ``--plugin`` files.

    Raises:
        UsageError: it solves another problem, or a plugin that it was trained with is not here.
        BenchmarkError: its weights do not fit the plugins here, or it lacks something.
    """
    facts = bundle.facts
    try:
        if facts["problem"] != problem.name:
            raise UsageError(f"{where} is a {facts['problem']} model; choose a {problem.name} model.")
        settings = _settings(facts["config"], where, plugins)
        frontend = Frontend.of(facts["frontend"])
        algorithm_type: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
        algorithm = algorithm_type(fresh_model(settings, frontend.spec, plugins), settings.algo.config)
        load_speaking_state(algorithm, bundle.part("algorithm"))
        vocoder = _vocoder(bundle, settings, plugins) if problem.speaks else None
        aligner = Aligner.from_state({**facts["aligner"], **bundle.part("aligner")}) if "aligner" in facts else None
        metrics, unscored = _metrics(bundle, settings, plugins) if problem.speaks else ({}, {})
        strangers = bundle.tensors.get("strangers/ge2e")
        name = str(facts["run"])
    except BenchmarkError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        wrote = facts.get("versions", {}).get("benchmark", "of another version")
        raise BenchmarkError(
            f"{where} does not fit the plugins here ({error}): export its run again, or use the version that wrote it, {wrote}."
        ) from error
    known = None if strangers is None else strangers.float().numpy()
    return TrainedModel(name, settings, frontend, algorithm.eval(), vocoder, aligner, known, metrics, unscored)


def scores_alone(name: str, plugins: registry.Plugins) -> bool:
    """Whether a metric needs nothing but speech and its text."""
    needs = fit.declared("metric", name, plugins).words("needs")
    return "speech" in needs and ALONE.issuperset(needs)


def _settings(values: Mapping[str, Any], where: str, plugins: registry.Plugins) -> ModelSettings:
    """Those of a run's settings that a model has, without metrics that are not here."""
    kept = {each.name: values[each.name] for each in fields(ModelSettings) if each.name in values}
    kept["metrics"] = {name: options for name, options in values.get("metrics", {}).items() if name in registry.find("metric", plugins)}
    return config.from_dict(ModelSettings, kept, where, plugins)


def _vocoder(bundle: Bundle, settings: ModelSettings, plugins: registry.Plugins) -> Vocoder:
    fresh = fresh_vocoder(settings, plugins)
    if settings.adapt_vocoder:
        return fresh.eval()  # it is not asked: the model has one of its own
    return restored(fresh, bundle.part("vocoder"))


def _metrics(bundle: Bundle, settings: ModelSettings, plugins: registry.Plugins) -> tuple[dict[str, Metric], dict[str, str]]:
    """The metrics that can score without a corpus, and why others can't: they lack a package, or have to be prepared on one."""
    options = {chosen.name: chosen.config for chosen in settings.metrics}
    ready: dict[str, Metric] = {}
    unscored = {}
    for name in sorted(name for name in registry.find("metric", plugins) if scores_alone(name, plugins)):
        kept = {**bundle.facts.get("metrics", {}).get(name, {}), **bundle.part(f"metric {name}")}
        try:
            metric: Metric = registry.load("metric", name, plugins)(options.get(name))
            metric.require()
        except BenchmarkError as error:
            unscored[name] = str(error).rstrip(".")
            continue
        if kept:
            metric.restore(kept)
        elif type(metric).state is not Metric.state:
            unscored[name] = "the model carries none of what it needs: a file that 'export' writes has it, if the run was scored with it"
            continue
        ready[name] = metric
    return ready, unscored
