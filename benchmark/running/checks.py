"""What is checked before a run trains anything: the corpus serves it, and the backbone serves the algorithm."""

from __future__ import annotations

from benchmark.algorithm import Algorithm
from benchmark.batch import collate
from benchmark.data.corpus import Corpus
from benchmark.data.enough import NAMED
from benchmark.errors import UsageError
from benchmark.plugins import fit, registry
from benchmark.running.episodes import Manifest, episode_targets, sizes_of, task_targets
from benchmark.running.flops import refuse_uncounted
from benchmark.running.pretraining import build
from benchmark.settings.schema import RunSettings


def check_options(settings: RunSettings, corpus: Corpus, manifest: Manifest, plugins: registry.Plugins) -> list[str]:
    """Refuse settings that don't suit the backbone or the corpus now, not after an hour of pretraining.

    Returns:
        sentences about the targets that the run leaves out, and about phonemes that nobody trained on.

    Raises:
        UsageError: the algorithm refuses a fresh backbone, or all targets have fewer utterances than episodes, or tasks, need.
        BenchmarkError: a metric lacks something that a run does not fetch (a pretrained encoder's weights), or the operations of
            one of the backbone's layers can't be counted.
    """
    targets, left_out = episode_targets(corpus.own, manifest, sizes_of(settings), settings.evaluation.split)
    sentences = [left_out]
    strange, share = corpus.unheard(targets)
    if strange and fit.problem_of(settings.backbone.name, plugins).name == "synthesis":
        named = " ".join([*strange[:NAMED], *(["…"] if len(strange) > NAMED else [])])
        sentences.append(f"{share:.1%} of the phonemes to say are in no training speech, so their embeddings are untrained: {named}.")
    for chosen in settings.metrics:
        registry.load("metric", chosen.name, plugins)(chosen.config).require()
    backbone = build(registry.load("backbone", settings.backbone.name, plugins), settings.backbone.config, corpus, settings.seed)
    plugin: type[Algorithm] = registry.load("algorithm", settings.algo.name, plugins)
    algorithm = plugin(backbone, settings.algo.config)
    if reason := fit.misfit(settings.algo.name, settings.backbone.name, plugins, algorithm.needs):
        raise UsageError(reason)
    if plugin.trains:
        _, left_out = task_targets(corpus, settings.meta)
        sentences.append(left_out)
    speaker = corpus.speakers("train")[0]
    batch = collate(corpus.many(corpus.utterance_ids(speaker)[:1]), corpus.statistics, {})
    refuse_uncounted(backbone, lambda: backbone.loss(batch))
    return list(filter(None, sentences))
