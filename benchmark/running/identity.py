"""The identity of a run: everything that can change its numbers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from benchmark.data.corpus import Corpus
from benchmark.data.shipped import instruments
from benchmark.errors import UsageError
from benchmark.plugins import fit, registry
from benchmark.plugins.digest import source_digest
from benchmark.plumbing.files import digest_of
from benchmark.results.result import RunIdentity, git_state
from benchmark.running.episodes import PROTOCOL_VERSION, Manifest
from benchmark.running.hardware import Hardware
from benchmark.running.shipped_pretraining import shipped_pretraining
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.vocoder import checkpoint_of, digest_of_weights

# Raise a version only if a number could move: a new version invalidates every run (TRAINING_VERSION every pretraining, too).
# tools/record_versions.py lists the files of each version; a test fails if one changed without a decision.
TRAINING_VERSION = "3"
"""Version of the plugin interfaces, batches, sampling, pretraining, training and the inner loop."""
EVALUATION_VERSION = "3"
"""Version of the problems, episodes, prediction and the scoring loop."""


def identify(
    settings: RunSettings, corpus: Corpus, manifest: Manifest, plugins: registry.Plugins, hardware: Hardware = Hardware()
) -> RunIdentity:
    """Everything that can change a run's numbers.

    Args:
        settings: of the run.
        corpus: prepared.
        manifest: its episodes.
        plugins: ``--plugin`` files.
        hardware: its device type, precision and number of processes count: each process averages over its own share of a batch.
    """
    found = _plugins(settings, plugins)
    evaluation, start = settings.evaluation, shipped_pretraining(settings, corpus)
    return RunIdentity(
        dataset="_".join(filter(None, (settings.dataset.name, corpus.own.meta["card"].get("label")))),
        algorithm=settings.algo.name,
        backbone=settings.backbone.name,
        vocoder=settings.vocoder.name,
        preset=settings.preset,
        seed=settings.seed,
        config=config.to_dict(settings),
        # For a built-in metric only the version counts.
        sources={
            name: plugin_digest(info.kind, info.name, tuple(plugins))
            for name, info in found.items()
            if info.kind != "metric" or info.origin != "built-in"
        }
        | weights_digest(settings)
        | (instruments(corpus) if fit.problem_of(settings.backbone.name, plugins).speaks else {}),
        metric_versions={each.name: registry.load("metric", each.name, plugins).version for each in settings.metrics},
        data_version=corpus.version,
        manifest_hash=manifest.digest,
        protocol_version=PROTOCOL_VERSION,
        synthetic=bool(corpus.meta["card"]["synthetic"]),
        limited=evaluation.split != "test" or 0 < evaluation.speakers < len(manifest.adapted_to("test")),
        problem=fit.problem_of(settings.backbone.name, plugins).name,
        task=settings.task,
        device=hardware.device,
        precision=hardware.precision,
        training_version=TRAINING_VERSION,
        evaluation_version=EVALUATION_VERSION,
        preparation_version=corpus.preparation,
        processes=hardware.processes,
        pretrained=start.digest if start else "",
    )


def weights_digest(settings: RunSettings) -> dict[str, str]:
    """Digest of the weights that the vocoder's options name, under "vocoder weights"; empty where they name none.

    Raises:
        UsageError: there is no such file.
    """
    path = checkpoint_of(settings.vocoder.config)
    if path is None:
        return {}
    try:
        return {"vocoder weights": digest_of_weights(path)}
    except OSError as error:
        raise UsageError(f"vocoder.checkpoint {path} can't be read ({error.strerror}); name a file of the vocoder's weights.") from error


def learned_source(kind: str, name: str, plugins: registry.Plugins) -> str:
    """Digest of the code behind a pretrained backbone or a trained vocoder: the plugin's, and the training version."""
    return digest_of([plugin_digest(kind, name, tuple(plugins)), TRAINING_VERSION])


def outside_plugins(settings: RunSettings, plugins: registry.Plugins) -> list[str]:
    """The plugins that are not built in, as "KIND NAME"."""
    return [f"{info.kind} {info.name}" for info in _plugins(settings, plugins).values() if info.origin != "built-in"]


def _plugins(settings: RunSettings, plugins: registry.Plugins) -> dict[str, registry.PluginInfo]:
    """A run's plugins by kind; metrics under "metric NAME", datasets of ``pretrain.dataset`` under "pretraining dataset NAME"."""
    chosen = {"algorithm": settings.algo, "dataset": settings.dataset, "backbone": settings.backbone, "vocoder": settings.vocoder}
    found = {kind: registry.get(kind, plugin.name, plugins) for kind, plugin in chosen.items()}
    found |= {f"pretraining dataset {each.name}": registry.get("dataset", each.name, plugins) for each in settings.pretrain.dataset}
    return found | {f"metric {each.name}": registry.get("metric", each.name, plugins) for each in settings.metrics}


# A process runs the code that it imported first, even if files are edited or committed before its next seed. So these are cached.


@cache
def plugin_digest(kind: str, name: str, plugins: tuple[str | Path, ...]) -> str:
    """Digest of a plugin's code and of the shared code that it imports."""
    return source_digest(registry.get(kind, name, plugins))


@cache
def started_from() -> tuple[str | None, bool | None]:
    """The state of the checkout when this process began its first run."""
    return git_state()
