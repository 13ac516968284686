"""What a finished run's folder and the cache that it was made with hold of its trained model.

The prepared corpus in the cache holds the symbols, the mel definition, the statistics and the language. The original corpus is not needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

import benchmark
from benchmark import problems
from benchmark.algorithm import Algorithm
from benchmark.data.corpus import Corpus, is_of_version
from benchmark.data.corpus_aligner import ALIGNER_FORMAT, corpus_aligner
from benchmark.data.joined import JoinedCorpus
from benchmark.data.shipped import said_in
from benchmark.errors import BenchmarkError, CannotScore, UsageError
from benchmark.metric import Metric
from benchmark.plugins import registry
from benchmark.plugins.digest import source_digest
from benchmark.plumbing import checkpoint, model_file
from benchmark.plumbing.model_file import Bundle
from benchmark.results.result import LATER, read_result
from benchmark.running.building import (
    ALGORITHM_FILE,
    VOCODER_FILE,
    fresh_model,
    fresh_vocoder,
    frontend_of,
    keeps_vocoder,
    restored,
    spec_of,
)
from benchmark.running.identity import weights_digest
from benchmark.running.preparation import cache_folder, metrics_folder
from benchmark.running.trained_model import TrainedModel, open_model, scores_alone
from benchmark.scoring.checks import spread
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.vocoder import Vocoder, VocoderContext, speaking_state

T = TypeVar("T")
STRANGERS = 30
"""Most training speakers to compare a voice with."""
PROVENANCE = (
    "dataset", "data_version", "preparation_version", "training_version", "preset", "seed", "synthetic", "tuned", "facts", "git_commit",
    "git_dirty", "outside_plugins", "libraries", "python",
)  # fmt: skip
"""Fields of a result that a model file keeps."""


@dataclass(frozen=True)
class FinishedRun:
    """A run's trained algorithm, and what it learned from.

    Attributes:
        folder: of the run.
        result: its ``result.json``.
        settings: of the run.
        corpora: the prepared ones that it was made with, the dataset's own first.
        corpus: all of them as one.
        algorithm: trained.
    """

    folder: Path
    result: dict[str, Any]
    settings: RunSettings
    corpora: Sequence[Corpus]
    corpus: Corpus
    algorithm: Algorithm


def open_run(folder: Path, cache: Path, plugins: registry.Plugins) -> FinishedRun:
    """Rebuild a run's algorithm from its folder and the cache.

    Args:
        folder: of the run.
        cache: that the run was made with.
        plugins: ``--plugin`` files.

    Raises:
        UsageError: there is no such folder, or its model can't speak or transcribe for others.
        BenchmarkError: the run is not complete, its checkpoint is missing or does not fit, or its corpus is not in the cache or damaged.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no run folder {folder}; give one that 'run' wrote, runs/RUN.")
    result = read_result(folder)
    settings = config.from_dict(RunSettings, result["config"], str(folder / "result.json"), plugins)
    algorithm_type: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    speaks = problems.get(result["problem"]).speaks  # an unadapted recogniser is of use; an unadapted voice is nobody's
    if algorithm_type.oracle or (speaks and not algorithm_type.uses_support):
        raise UsageError(f"{settings.algo.name} does not adapt to recordings; choose a run of an algorithm that does.")
    chosen, versions = [settings.dataset, *settings.pretrain.dataset], result["data_version"].split("+")
    named = zip([each.name for each in chosen], versions, strict=True)
    corpora = [_corpus(name, version, result["preparation_version"], cache, folder, settings.task) for name, version in named]
    corpus = JoinedCorpus(corpora[0], corpora[1:]) if len(corpora) > 1 else corpora[0]
    algorithm = algorithm_type(fresh_model(settings, spec_of(corpus), plugins), settings.algo.config)
    _restore(folder / ALGORITHM_FILE, checkpoint.into(algorithm))
    _tell_changes(result, settings, plugins)
    return FinishedRun(folder, result, settings, corpora, corpus, algorithm.eval())


def trained_model(problem: str, model: Path | None, run: Path | None, cache: Path | None, plugins: registry.Plugins = ()) -> TrainedModel:
    """The trained model in a file or of a run; without either, the one that is shipped with this package.

    Args:
        problem: that it must solve.
        model: a file that ``export`` wrote.
        run: folder of a finished run.
        cache: that the run was made with; None for the usual one.
        plugins: ``--plugin`` files.

    Raises:
        UsageError: both are named, or none and none is shipped; or it solves another problem.
        BenchmarkError: it is damaged, or does not fit the plugins here.
    """
    if run is not None and model is not None:
        raise UsageError("--run and --model name a model each; give one of them.")
    solved = problems.get(problem)
    if run is not None:
        cache = cache_folder(cache)
        return open_model(bundle_of(open_run(run, cache, plugins), cache, plugins), run.name, solved, plugins)
    if model is None and (not solved.speaks or not model_file.SHIPPED.is_file()):
        raise UsageError(f"No {problem} model is shipped with this version: name a file that 'export' wrote (--model) or a run (--run).")
    path = model or model_file.SHIPPED
    return open_model(model_file.read(path), str(path), solved, plugins)


def bundle_of(run: FinishedRun, cache: Path, plugins: registry.Plugins, scored: bool = False) -> Bundle:
    """All that a run's trained model needs to speak or to transcribe.

    Args:
        run: from :func:`open_run`.
        cache: that the run was made with.
        plugins: ``--plugin`` files.
        scored: also hold the state of the run's metrics that can score speech alone; it is computed again if the cache has lost it.

    Raises:
        BenchmarkError: the vocoder's weights are missing, or the aligner can't be trained.
    """
    result, settings, corpus = run.result, run.settings, run.corpus
    tensors = {"algorithm": speaking_state(run.algorithm)}
    facts: dict[str, Any] = {
        "run": run.folder.name, "problem": result["problem"], "config": _portable(result["config"]),
        "frontend": frontend_of(corpus).plain(), "corpora": [{**each.meta["card"], "name": each.name} for each in run.corpora],
        "provenance": {name: result.get(name) for name in PROVENANCE},
        "said": said_in(corpus), "versions": {"benchmark": benchmark.__version__, "torch": str(torch.__version__)},
    }  # fmt: skip
    if problems.get(result["problem"]).speaks:
        # What adapts too is part of the algorithm.
        tensors["vocoder"] = {} if settings.adapt_vocoder else _vocoder(run.folder, settings, plugins).decoding_state()
        if "transcripts" in run.algorithm.needs:
            state = corpus_aligner(corpus, metrics_folder(cache, corpus)).state()
            facts["aligner"] = {"phones": state.pop("phones"), "format": ALIGNER_FORMAT}
            tensors["aligner"] = state
        if (embeddings := _strangers(corpus)) is not None:
            tensors["strangers"] = {"ge2e": embeddings}
        for name, metric in _metrics(settings, corpus, cache, plugins) if scored else ():
            state = metric.state()
            tensors[f"metric {name}"] = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
            facts.setdefault("metrics", {})[name] = {key: value for key, value in state.items() if not isinstance(value, torch.Tensor)}
    return Bundle(facts, {f"{part}/{name}": value for part, some in tensors.items() for name, value in some.items()})


def _portable(values: dict[str, Any]) -> dict[str, Any]:
    """A run's settings without the path of a vocoder's weights, which the bundle holds."""
    vocoder = {name: "" if name == "checkpoint" else value for name, value in values["vocoder"].items()}
    return {**values, "vocoder": vocoder}


def _tell_changes(result: dict[str, Any], settings: RunSettings, plugins: registry.Plugins) -> None:
    """Say on standard error what has changed since the run."""
    for kind, name in (("algorithm", settings.algo.name), ("backbone", settings.backbone.name), ("vocoder", settings.vocoder.name)):
        if source_digest(registry.get(kind, name, plugins)) != result["sources"][kind]:
            print(f"Note: the code of {kind} {name} has changed since the run.", file=sys.stderr)
    with suppress(UsageError):  # the file is gone, and the run kept its weights
        for kind, digest in weights_digest(settings).items():
            if digest != result["sources"].get(kind):
                print(f"Note: the file of the {kind} has changed since the run.", file=sys.stderr)


def _vocoder(folder: Path, settings: RunSettings, plugins: registry.Plugins) -> Vocoder:
    """The vocoder that the run spoke with, with the weights that the run kept, if it kept any."""
    vocoder = fresh_vocoder(settings, plugins)
    if keeps_vocoder(vocoder):
        return _restore(folder / VOCODER_FILE, lambda kept: restored(vocoder, kept["state"]))
    vocoder.prepare(VocoderContext(lambda _: None))
    return vocoder


def _strangers(corpus: Corpus) -> torch.Tensor | None:
    """GE2E embeddings of a recording each of training speakers, (speakers, 256); None if there are no speakers."""
    from benchmark.scoring.ge2e import embed

    found = []
    for speaker in spread(corpus.speakers("train"), STRANGERS):
        with suppress(CannotScore):
            names = corpus.utterance_ids(speaker)
            found.append(embed(corpus[names[len(names) // 2]].waveform))
    return torch.from_numpy(np.stack(found)) if found else None


def _metrics(settings: RunSettings, corpus: Corpus, cache: Path, plugins: registry.Plugins) -> list[tuple[str, Metric]]:
    """The run's metrics that score speech alone and have something to keep, prepared."""
    from benchmark.running.episodes import sizes_of
    from benchmark.running.preparation import open_manifest
    from benchmark.running.run import Places, prepared_metrics

    kept = [
        chosen for chosen in settings.metrics
        if scores_alone(chosen.name, plugins) and registry.load("metric", chosen.name, plugins).state is not Metric.state
    ]  # fmt: skip
    if not kept:
        return []
    manifest = open_manifest(corpus.own, plugins, sizes_of(settings, plugins), settings.evaluation.split)
    places = Places(Path(), cache, None, 1, tuple(map(Path, plugins)))
    prepared = prepared_metrics(replace(settings, metrics=tuple(kept)), corpus, manifest, places)
    return [(chosen.name, metric) for chosen, metric in zip(kept, prepared, strict=True)]


def _restore(path: Path, use: Callable[[Any], T]) -> T:
    """What ``use`` makes of the weights that a run left in its folder; see :func:`benchmark.plumbing.checkpoint.load`."""
    if (found := checkpoint.load(path, use, quiet=True)) is None:
        raise BenchmarkError(
            f"{path} is missing, damaged, or from other code; the run's command, given again, rebuilds it, or repeats the run."
        )
    return found


def _corpus(name: str, version: str, preparation: str, cache: Path, run: Path, task: str) -> Corpus:
    """The prepared corpus that a run was made with."""
    known = preparation != LATER["preparation_version"]  # older results don't say which it was
    for folder in sorted((cache / "corpora").glob(f"{name}-*")):
        try:
            corpus = Corpus(folder, task)
        except BenchmarkError:
            continue
        if is_of_version(corpus.meta, version) and (corpus.preparation == preparation or not known):
            corpus.check()
            return corpus
    raise BenchmarkError(
        f"The cache {cache} does not hold the prepared corpus of {run.name} ({name}, version {version}): give the cache that the run was "
        f"made with (--cache), or prepare {name} again."
    )
