"""A run, stage by stage: corpus, episodes, pretraining, the algorithm's own training, evaluation, result."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import cast

import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger

from benchmark.algorithm import Algorithm
from benchmark.audio import SAMPLE_RATE
from benchmark.backbone import RecognitionBackbone
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, UsageError
from benchmark.metric import Metric, MetricContext
from benchmark.plugins import fit, registry
from benchmark.plugins.digest import source_digest
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import TEMPORARY, is_file, remove_left_over, write_text
from benchmark.plumbing.locks import locked
from benchmark.plumbing.progress import progress
from benchmark.plumbing.words import listed
from benchmark.results import kept_speech
from benchmark.results.episode_log import EpisodeLog
from benchmark.results.leaderboard_rules import is_uncommitted
from benchmark.results.result import run_id, write_result
from benchmark.running import engines, ranks, vocoding
from benchmark.running import loggers as run_logs
from benchmark.running.building import (
    ALGORITHM_FILE,
    METRIC_THREADS,
    VOCODER_FILE,
    build_vocoder,
    fresh_model,
    fresh_vocoder,
    keeps_vocoder,
    spec_of,
    threads,
)
from benchmark.running.checks import check_fit, check_options, check_shares, with_metrics
from benchmark.running.embedding_space import embedding_space
from benchmark.running.episodes import Manifest, TaskSampler, first, sizes_of
from benchmark.running.evaluation import Evaluator, evaluate
from benchmark.running.hardware import Hardware
from benchmark.running.identity import identify, learned_source, outside_plugins, started_from
from benchmark.running.joint import with_vocoder
from benchmark.running.preparation import Sources, metrics_folder, open_corpora, open_manifest
from benchmark.running.pretraining import pretrained, second_moments, speaker_index
from benchmark.running.resume import drop_damaged_training, has_damaged_weights, has_features, is_sound, keep_to_features
from benchmark.running.shipped_pretraining import measured_moments, shipped_pretraining
from benchmark.running.training import Budget
from benchmark.running.training import fit as train
from benchmark.running.validation import AdaptedLoss, Validation
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.settings.trial import fast_dev_run
from benchmark.settings.tuned_values import tuned_values
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Places:
    """Where a run reads, writes and computes, and with how many processes.

    Attributes:
        output: holds a folder for each run.
        cache: prepared corpora, pretrained backbones, trained recognisers.
        data_root: of the dataset; None for $BENCHMARK_DATA.
        workers: processes.
        plugins: ``--plugin`` files.
        logs: live logs to write, of ``run_logs.KINDS``.
        engine: where evaluation jobs run, "local" or "ray" (:mod:`benchmark.running.engines`).
        hardware: to compute on. Its device type, precision and number of processes do change numbers, and are part of the run's identity.
        pretrain_roots: data roots of the datasets in ``pretrain.dataset``, by name ("" for a single one); else $BENCHMARK_DATA.
        callbacks: of Lightning, for the algorithm's own training. The run's result names them, as it names plugins from elsewhere.
    """

    output: Path
    cache: Path
    data_root: Path | None
    workers: int
    plugins: tuple[Path, ...] = ()
    logs: tuple[str, ...] = ()
    engine: str = "local"
    hardware: Hardware = field(default_factory=Hardware)
    pretrain_roots: Mapping[str, Path] = field(default_factory=dict)
    callbacks: tuple[Callback, ...] = ()

    def require(self) -> None:
        """Refuse loggers and an engine that are not installed, and callbacks that can't be used.

        Raises:
            ExtraMissing: a logger or the engine is not installed.
            UsageError: $WANDB_MODE has no such value, or a callback is none of Lightning's, or one that keeps checkpoints.
        """
        run_logs.check(self.logs)
        engines.check(self.engine)
        for each in self.callbacks:
            if not isinstance(each, Callback):
                raise UsageError(f"callbacks must be pytorch_lightning.Callback objects, not {type(each).__name__}.")
            if isinstance(each, Checkpoint):
                raise UsageError(f"{type(each).__name__} can't be used: a run keeps its own checkpoint, checkpoints/training.ckpt.")


def run_seeds(settings: RunSettings, count: int, places: Places, overwrite: str = "missing", trial: bool = False) -> list[Path]:
    """Do a run for each of ``count`` consecutive seeds, and return their folders.

    Args:
        settings: of the first run; metrics that its plugins can't have are left out, which is printed.
        count: number of runs.
        places: where.
        overwrite: as for :func:`run`.
        trial: cut every run down to a quick trial.

    Raises:
        BenchmarkError: see :func:`run`; or the hardware is not here.
    """
    places.hardware.require()
    settings, left_out = with_metrics(settings, tuple(map(str, places.plugins)))
    if left_out:
        print(left_out, flush=True)
    if trial:
        settings = fast_dev_run(settings, places.hardware.processes)
    return [run(each, places, overwrite) for each in settings.seeded(count)]


def run(settings: RunSettings, places: Places, overwrite: str = "missing", training: Path | None = None) -> Path:
    """Do the stages of the run that are not done yet, and return its folder.

    Args:
        settings: the run.
        places: where.
        overwrite: "never" refuses a run that has a result, "missing" does what is missing, "always" starts over.
        training: checkpoint of the algorithm's training, for runs that share one; None for the run's own.

    Raises:
        UsageError: algorithm, backbone, task, dataset and metrics don't fit together (:mod:`benchmark.plugins.fit`).
        BenchmarkError: bad data, leaking episodes, a diverging training, a folder that can't be written to.
    """
    plugins = tuple(str(path) for path in places.plugins)
    check_fit(settings, plugins)
    check_shares(settings, places.hardware, plugins)
    ranks.join(places.hardware)
    started = time.monotonic()
    corpus = corpus_of(settings, places)
    manifest = open_manifest(corpus.own, plugins, sizes_of(settings, plugins), settings.evaluation.split)
    identity = identify(settings, corpus, manifest, plugins, places.hardware)
    for sentence in check_options(settings, corpus, manifest, plugins):
        say_once(sentence)
    folder = places.output / run_id(identity)
    if places.hardware.rank:
        # Rank 0 holds the locks, and says whether there is something to train.
        if ranks.agreed(True):
            _learned(settings, places, corpus, folder, training, ())
        return folder
    with locked(places.output / f".{folder.name}.lock", f"Waiting for another process with the same run, {folder}."):
        complete = (folder / "result.json").is_file()
        if complete and overwrite == "never":
            raise BenchmarkError(f"{folder} is complete; leave out --overwrite never to see its result.")
        if overwrite == "always" and folder.exists():
            shutil.rmtree(folder)
        elif complete and is_sound(folder):
            _write_settings(folder, settings)
            if has_damaged_weights(folder):
                if not has_features(folder, corpus.exact_version):
                    why = "its features were computed by another machine"
                    raise BenchmarkError(f"The weights in {folder} are damaged and can't be made again here, because {why}; repeat it with "
                                         "--overwrite always.")  # fmt: skip
                ranks.agreed(True)
                _learned(settings, places, corpus, folder, training, ())
                return folder
            drop_damaged_training(folder)
            idle = [*(f"--{kind}" for kind in places.logs), *(["callbacks"] if places.callbacks else [])]
            repeat = f" {listed(idle)} would see nothing: add --overwrite always to repeat it." if idle else ""
            print(f"{folder} is already complete.{repeat}")
            ranks.agreed(False)
            return folder
        keep_to_features(folder, corpus.exact_version)
        ranks.agreed(True)
        remove_left_over([*folder.rglob(f"{TEMPORARY}*"), *places.output.glob(f"{TEMPORARY}*"), *places.cache.rglob(f"{TEMPORARY}*")])
        before = started_from()
        outside = [*outside_plugins(settings, plugins), *(f"callback {type(each).__name__}" for each in places.callbacks)]
        _write_settings(folder, settings)
        uncommitted = is_uncommitted({"git_dirty": before[1], "outside_plugins": outside})
        with run_logs.opened(places.logs, identity, folder, before[0], uncommitted) as loggers:
            facts, spent, cost = _stages(settings, places, corpus, manifest, folder, training, loggers)
            out = sorted({*corpus.targets(settings.evaluation.split)}.difference(manifest.adapted_to(settings.evaluation.split)))
            seconds = time.monotonic() - started
            write_result(folder, identity, facts, spent, seconds, tuned_values(settings, plugins), before, outside, out, asdict(cost))
            run_logs.log_results(loggers, folder)
    return folder


def _write_settings(folder: Path, settings: RunSettings) -> None:
    """Let ``config.yaml`` hold the settings; one that does, perhaps where nothing can be written, is left alone."""
    path, text = folder / "config.yaml", config.to_yaml(settings)
    if not (is_file(path) and path.read_bytes() == text.encode()):
        write_text(path, text)


@cache
def say_once(sentence: str) -> None:
    """Print what holds for all runs that this process does."""
    print(sentence, flush=True)


def _stages(
    settings: RunSettings, places: Places, corpus: Corpus, manifest: Manifest, folder: Path, training: Path | None,
    loggers: Sequence[Logger],
) -> tuple[dict[str, float], dict[str, float], vocoding.VocoderCost]:  # fmt: skip
    """Pretraining to evaluation; returns the metrics' constants, what training spent, and the vocoder's cost."""
    plugins = tuple(str(path) for path in places.plugins)
    algorithm, spent, vocoder, cost = _learned(settings, places, corpus, folder, training, loggers)
    with threads(METRIC_THREADS):
        metrics = prepared_metrics(settings, corpus, manifest, places)
    evaluator = Evaluator(
        algorithm.eval(), fit.problem_of(settings.backbone.name, plugins), vocoder, metrics,
        corpus, settings.steps, settings.evaluation.queries, settings.seed, folder / kept_speech.FOLDER, places.hardware.device,
    )  # fmt: skip
    chosen = settings.evaluation
    jobs = evaluator.jobs(first(manifest.episodes[chosen.split], chosen.episodes, chosen.speakers), settings.shots)
    log = EpisodeLog(folder, evaluator.columns, [job.block for job in jobs], kept_speech.damaged(folder))
    todo = [job for job in jobs if job.block not in log.done]
    with progress("Adapting and scoring", len(jobs)) as show:
        show(len(log.done))
        for done, block in enumerate(evaluate(evaluator, todo, places.workers, plugins, places.engine), len(jobs) - len(todo) + 1):
            if row := next((row for row in block.rows if row.episode == 0), None):
                kept_speech.note(folder, kept_speech.files_of(row.speaker, {(each.shots, each.steps) for each in block.rows}))
            log.append(block.rows, block.costs)
            show(done)
    facts = {name: value for metric in metrics for name, value in metric.facts().items()}
    if algorithm.embeds:
        facts |= embedding_space(algorithm.embed, corpus, manifest.adapted_to(chosen.split), folder)
    return facts, spent, cost


def _learned(
    settings: RunSettings, places: Places, corpus: Corpus, folder: Path, training: Path | None, loggers: Sequence[Logger]
) -> tuple[Algorithm, dict[str, float], Vocoder, vocoding.VocoderCost]:
    """Everything that processes train together: the algorithm, what its training spent, the vocoder and its cost."""
    with threads(settings.threads):
        # First, because what is wrong with it would else be told only after hours of training. Each stage seeds itself.
        vocoder, cost = prepared_vocoder(settings, corpus, places, loggers)
        if keeps_vocoder(vocoder) and not places.hardware.rank:
            checkpoint.save(folder / VOCODER_FILE, vocoder.weights())
        return *trained(settings, corpus, places, vocoder, folder, training, loggers), vocoder, cost


def trained(
    settings: RunSettings, corpus: Corpus, places: Places, vocoder: Vocoder, folder: Path, training: Path | None = None,
    loggers: Sequence[Logger] = (),
) -> tuple[Algorithm, dict[str, float]]:  # fmt: skip
    """The algorithm after pretraining and its own training, and what the latter spent; see :func:`run`."""
    plugins = tuple(str(path) for path in places.plugins)
    plugin: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    pretraining = (
        registry.load("backbone", settings.backbone.name, plugins), settings.backbone.config,
        learned_source("backbone", settings.backbone.name, plugins), corpus, settings.pretrain, settings.seed, places.cache, loggers,
        places.hardware,
    )  # fmt: skip
    shipped = shipped_pretraining(settings, corpus)
    if plugin.oracle:  # it plays recordings, so no model speaks
        backbone = fresh_model(settings, spec_of(corpus), plugins)
    else:
        if shipped:
            say_once(f"Starting from {shipped.run}, which comes with this package; --pretrain.shipped False pretrains a model instead.")
            backbone = shipped.backbone(settings, corpus, plugins)
        else:
            backbone, _ = pretrained(*pretraining)
        if settings.adapt_vocoder:
            backbone = with_vocoder(backbone, copy.deepcopy(vocoder), settings.vocoder_training.frames)
    torch.manual_seed(settings.seed)
    algorithm = plugin(backbone, settings.algo.config)
    if algorithm.wants_moments:
        algorithm.take_moments(
            measured_moments(shipped, pretraining[2], corpus, settings, plugins, places.cache, places.hardware)
            if shipped else second_moments(*pretraining)
        )
    kept = folder / ALGORITHM_FILE
    if not plugin.trains:
        if plugin.uses_support and not places.hardware.rank:
            checkpoint.save(kept, algorithm.state_dict())
        return algorithm, {"steps": 0, "flops": 0.0, "seconds": 0.0, "budget_flops": 0.0}
    budget = settings.meta.tflops * 1e12
    make = TaskSampler(corpus, speaker_index(corpus), settings.meta, settings.seed)
    path = training or folder / "checkpoints" / "training.ckpt"
    callbacks = list(places.callbacks)
    if loggers:
        callbacks.append(Validation(AdaptedLoss(corpus, min(settings.shots), sorted({0, *settings.steps})[:2][-1])))
    lock = locked(path.with_name(f".{path.name}.lock"), f"Waiting for another run with the same training of {settings.algo.name}.")
    with lock, progress(f"Training {settings.algo.name}", 1.0) as show:
        spent = train(
            algorithm, make, settings.meta.learning_rate, Budget(flops=budget), settings.seed, path, lambda fraction, _: show(fraction),
            loggers=loggers, hardware=places.hardware, callbacks=callbacks,
        )  # fmt: skip
    if not places.hardware.rank:
        checkpoint.save(kept, algorithm.state_dict())
    return algorithm, {**spent, "budget_flops": budget}


def corpus_of(settings: RunSettings, places: Places) -> Corpus:
    """The prepared corpus of a run, with the vocoder's mel definition."""
    plugins = tuple(str(path) for path in places.plugins)
    vocoder = build_vocoder(settings.vocoder.name, settings.vocoder.config, plugins)
    if vocoder.mel.sample_rate != SAMPLE_RATE:
        raise UsageError(f"The vocoder {settings.vocoder.name} is for {vocoder.mel.sample_rate} Hz; speech here is at {SAMPLE_RATE} Hz.")
    sources = Sources(settings.dataset, settings.pretrain.dataset, places.data_root, places.pretrain_roots)
    corpus = open_corpora(sources, settings.evaluation.split, places.cache, places.workers, plugins, vocoder.mel, settings.task)
    if fit.problem_of(settings.backbone.name, plugins).speaks:
        return corpus
    return corpus.learning_from(cast(RecognitionBackbone, fresh_model(settings, spec_of(corpus), plugins)).learnable)


def prepared_vocoder(
    settings: RunSettings, corpus: Corpus, places: Places, loggers: Sequence[Logger] = ()
) -> tuple[Vocoder, vocoding.VocoderCost]:
    """The vocoder, trained or loaded, and its cost."""
    plugins, chosen = tuple(str(path) for path in places.plugins), settings.vocoder
    source = learned_source("vocoder", chosen.name, plugins)
    return vocoding.prepared(
        fresh_vocoder(settings, plugins), chosen.name, source, corpus, settings.vocoder_training, settings.seed, places.cache,
        places.hardware, loggers,
    )  # fmt: skip


def prepared_metrics(settings: RunSettings, corpus: Corpus, manifest: Manifest, places: Places) -> tuple[Metric, ...]:
    """The metrics, prepared: what they compute once per corpus is done."""
    plugins = tuple(str(path) for path in places.plugins)
    targets = tuple(manifest.adapted_to(settings.evaluation.split))
    enrolment = min(len(episode.enrolment(corpus)) for episode in manifest.episodes[settings.evaluation.split])
    shared = metrics_folder(places.cache, corpus)
    metrics = []
    for chosen in settings.metrics:
        info = registry.get("metric", chosen.name, plugins)
        metric: Metric = registry.load_info(info)(chosen.config)
        # Built-in metrics name their files by what these rest on; what other code computed, its next edit must not find.
        cache = shared if info.origin == "built-in" else shared / f"{chosen.name}-{source_digest(info)}-{corpus.exact_version}"
        lock = shared.with_name(f".{shared.name}-{chosen.name}.lock")
        with locked(lock, f"Waiting for another run that prepares {chosen.name}."):
            metric.prepare(MetricContext(corpus, cache, targets, enrolment=enrolment))
        metrics.append(metric)
    return tuple(metrics)
