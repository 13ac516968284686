"""What is checked before a run trains anything: its plugins fit together, and the corpus and the machine serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmark.algorithm import Algorithm
from benchmark.backbone import RecognitionBackbone
from benchmark.batch import collate
from benchmark.data.corpus import UNLEARNABLE, Corpus
from benchmark.data.enough import NAMED, first_few
from benchmark.errors import UsageError
from benchmark.metric import Metric
from benchmark.plugins import fit, registry
from benchmark.plumbing.room import within_memory
from benchmark.running.building import build_vocoder, fresh_model, spec_of
from benchmark.running.episodes import Manifest, episode_targets, sizes_of, task_targets
from benchmark.running.flops import refuse_uncounted
from benchmark.running.hardware import Hardware
from benchmark.settings.schema import RunSettings
from benchmark.utterance import spelled
from benchmark.vocoder import Vocoder, checkpoint_of


def with_metrics(settings: RunSettings, plugins: registry.Plugins) -> tuple[RunSettings, str]:
    """The settings with the metrics that fit, and a sentence about those left out, or "".

    Raises:
        UsageError: no metric is left.
    """
    names = [each.name for each in settings.metrics]
    kept, left = fit.fitting_metrics(names, settings.backbone.name, plugins, settings.task)
    if not kept:
        raise UsageError("There is no metric to score with; name some with --metrics.")
    return replace(settings, metrics=tuple(each for each in settings.metrics if each.name in kept)), left


def check_fit(settings: RunSettings, plugins: registry.Plugins) -> None:
    """Refuse settings whose plugins do not fit together, and a vocoder's checkpoint that does not fit.

    Raises:
        UsageError: names the plugins and the reason.
        BenchmarkError: the checkpoint is damaged.
    """
    if path := checkpoint_of(settings.vocoder.config):
        build_vocoder(settings.vocoder.name, settings.vocoder.config, plugins).load_weights(path)
    fit.check_task(settings.task, settings.dataset.name, plugins)
    if reason := fit.misfit(settings.algo.name, settings.backbone.name, plugins):
        raise UsageError(reason)
    if settings.adapt_vocoder:
        _check_vocoder_adapts(settings, plugins)
    names = [metric.name for metric in settings.metrics]
    kept, left = fit.fitting_metrics(names, settings.backbone.name, plugins, settings.task)
    if kept != names:
        raise UsageError(left)
    ranked = {each.name: registry.load("metric", each.name, plugins)(each.config).ranks_with for each in settings.metrics}
    fit.check_encoders(settings.algo.name, fit.declared("algorithm", settings.algo.name, plugins).facts.get("conditions_on"), ranked)


def _check_vocoder_adapts(settings: RunSettings, plugins: registry.Plugins) -> None:
    vocoder: type[Vocoder] = registry.load("vocoder", settings.vocoder.name, plugins)
    algorithm: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    reason = ""
    if not (problem := fit.problem_of(settings.backbone.name, plugins)).speaks:
        reason = f"{settings.backbone.name} does {problem.name}, which takes no vocoder; leave it out"
    elif not vocoder.trains:
        reason = f"{settings.vocoder.name} learns nothing, so it can't adapt; choose a vocoder that trains"
    elif vocoder.loss is Vocoder.loss:
        reason = f"{settings.vocoder.name} has no loss() to adapt it by; choose another vocoder"
    elif not (algorithm.trains or algorithm.uses_support):
        reason = f"{settings.algo.name} neither trains nor adapts; leave it out"
    if reason:
        raise UsageError(f"adapt_vocoder does not fit: {reason}.")


def check_shares(settings: RunSettings, hardware: Hardware, plugins: registry.Plugins) -> None:
    """Refuse steps that the training processes can't share, or not evenly.

    Raises:
        UsageError: names the setting, or the algorithm.
    """
    hardware.check_share(settings.pretrain.batch_size, "pretrain.batch_size")
    algorithm: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    if algorithm.trains:
        if algorithm.pools_tasks and hardware.processes > 1:
            raise UsageError(
                f"{settings.algo.name} learns from all tasks of a step together, so {hardware.processes} processes "
                "with tasks of their own would train something else; train it with one (--devices 1)."
            )
        hardware.check_share(settings.meta.tasks, "meta.tasks")
    if registry.load("vocoder", settings.vocoder.name, plugins).trains:
        hardware.check_share(settings.vocoder_training.batch_size, "vocoder_training.batch_size")


def check_options(settings: RunSettings, corpus: Corpus, manifest: Manifest, plugins: registry.Plugins) -> list[str]:
    """Refuse settings that don't suit the backbone or the corpus now, not after an hour of pretraining.

    Returns:
        sentences about the targets that the run leaves out, and about phonemes or characters that nobody trained on.

    Raises:
        UsageError: the algorithm refuses a fresh backbone, needs labels that the corpus does not tell, or conditions on the encoder that
            a metric ranks with, or all targets have fewer utterances than episodes, or tasks, need.
        BenchmarkError: the memory does not suffice for the backbone or the algorithm, a metric lacks something that a run does not
            fetch (a pretrained encoder's weights), or the operations of one of the backbone's layers can't be counted.
    """
    targets, left_out = episode_targets(corpus.own, manifest, sizes_of(settings, plugins), settings.evaluation.split)
    sentences = [corpus.left_out(), left_out]
    if fit.problem_of(settings.backbone.name, plugins).speaks:
        (strange, share), what = corpus.unheard(targets), "phonemes to say are in no training speech, so their embeddings are untrained"
    else:
        (strange, share), what = corpus.unseen(targets), "characters to write are in no training transcript, so no model can write them"
    if strange:
        named = " ".join([*strange[:NAMED], *(["…"] if len(strange) > NAMED else [])])
        sentences.append(f"{share:.1%} of the {what}: {named}.")
    ranked = {}
    for chosen in settings.metrics:
        metric: Metric = registry.load("metric", chosen.name, plugins)(chosen.config)
        metric.require()
        ranked[chosen.name] = metric.ranks_with
    backbone = fresh_model(settings, spec_of(corpus), plugins)
    plugin: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    with within_memory(settings.algo.name):
        algorithm = plugin(backbone, settings.algo.config)
    if reason := fit.misfit(settings.algo.name, settings.backbone.name, plugins, algorithm.needs):
        raise UsageError(reason)
    fit.check_encoders(settings.algo.name, algorithm.conditions_on, ranked)
    _check_labels(settings, plugin, corpus, targets)
    if plugin.trains:
        _, left_out = task_targets(corpus, settings.meta)
        sentences.append(left_out)
    if isinstance(backbone, RecognitionBackbone):
        sentences.append(_unlearnable(backbone, corpus, manifest, settings.evaluation.split))
    batch = collate(corpus.many(corpus.utterance_ids(corpus.speakers("train")[0])[:1]), corpus.statistics, {})
    refuse_uncounted(backbone, lambda: backbone.loss(batch))
    return list(filter(None, sentences))


def _unlearnable(backbone: RecognitionBackbone, corpus: Corpus, manifest: Manifest, split: str) -> str:
    """A sentence about the support recordings that no adaptation can learn from; "" if there are none."""
    support = {name for episode in manifest.episodes[split] for name in episode.support}
    lost = sorted(name for name in support if not backbone.learnable(corpus.frames(name), spelled(corpus.text(name))))
    return f"{len(lost)} of {len(support)} support recordings teach nothing, because {UNLEARNABLE}: {first_few(lost)}." if lost else ""


def _check_labels(settings: RunSettings, plugin: type[Algorithm], corpus: Corpus, targets: Sequence[str]) -> None:
    if not plugin.labels:
        return
    if settings.task != "speaker":
        raise UsageError(f"{settings.algo.name} needs to know a speaker's {plugin.labels[0]}; leave it out of tasks by {settings.task}.")
    for speaker in (*corpus.speakers("train"), *targets):
        if lacking := [name for name in plugin.labels if name not in corpus.labels(speaker)]:
            what = f"{settings.algo.name} needs the label {lacking[0]} of all speakers, and {corpus.name} tells none of {speaker}"
            raise UsageError(f"{what}; leave {settings.algo.name} out, or choose a dataset that does.")
