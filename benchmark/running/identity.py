"""What a run is: everything that makes its numbers differ from another's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from benchmark.data.corpus import Corpus
from benchmark.errors import UsageError
from benchmark.plugins import fit, registry
from benchmark.plugins.digest import source_digest
from benchmark.plumbing.files import digest_of, digest_of_file
from benchmark.results.result import RunIdentity, git_state
from benchmark.running.episodes import PROTOCOL_VERSION, Manifest
from benchmark.running.hardware import Hardware
from benchmark.settings import config
from benchmark.settings.schema import RunSettings
from benchmark.vocoder import checkpoint_of

# Raise a version when a number could move, not when code does: a new one makes every run and every pretraining new.
# tools/record_versions.py lists the files of each; a test tells who forgets.
TRAINING_VERSION = "2"
"""Of the contracts, batches, sampling, pretraining, training and the inner loop."""
EVALUATION_VERSION = "2"
"""Of the problems, episodes, prediction and the scoring loop."""


def identify(
    settings: RunSettings, corpus: Corpus, manifest: Manifest, plugins: registry.Plugins, hardware: Hardware = Hardware()
) -> RunIdentity:
    """Everything that makes one run's numbers differ from another's.

    Args:
        settings: of the run.
        corpus: prepared.
        manifest: its episodes.
        plugins: ``--plugin`` files.
        hardware: whose device's type and precision count, and whose number of devices does not.
    """
    found = _plugins(settings, plugins)
    evaluation = settings.evaluation
    return RunIdentity(
        dataset=settings.dataset.name,
        algorithm=settings.algo.name,
        backbone=settings.backbone.name,
        vocoder=settings.vocoder.name,
        preset=settings.preset,
        seed=settings.seed,
        config=config.to_dict(settings),
        # A built-in metric counts by its version alone.
        sources={
            name: plugin_digest(info.kind, info.name, tuple(plugins))
            for name, info in found.items()
            if info.kind != "metric" or info.origin != "built-in"
        }
        | weights_digest(settings),
        metric_versions={each.name: registry.load("metric", each.name, plugins).version for each in settings.metrics},
        data_version=corpus.version,
        manifest_hash=manifest.digest,
        protocol_version=PROTOCOL_VERSION,
        synthetic=bool(corpus.meta["card"]["synthetic"]),
        limited=evaluation.split != "test" or 0 < evaluation.speakers < len(manifest.targets["test"]),
        problem=fit.problem_of(settings.backbone.name, plugins).name,
        task=settings.task,
        device=hardware.device,
        precision=hardware.precision,
        training_version=TRAINING_VERSION,
        evaluation_version=EVALUATION_VERSION,
    )


def weights_digest(settings: RunSettings) -> dict[str, str]:
    """Digest of the file of weights that the vocoder's options name, under "vocoder weights"; empty where they name none.

    Raises:
        UsageError: there is no such file.
    """
    path = checkpoint_of(settings.vocoder.config)
    if path is None:
        return {}
    try:
        return {"vocoder weights": digest_of_file(path)}
    except OSError as error:
        raise UsageError(f"vocoder.checkpoint {path} can't be read ({error.strerror}); name a file of the vocoder's weights.") from error


def learned_source(kind: str, name: str, plugins: registry.Plugins) -> str:
    """Digest of what a pretrained backbone or a trained vocoder came from: the plugin's code and the training's version."""
    return digest_of([plugin_digest(kind, name, tuple(plugins)), TRAINING_VERSION])


def outside_plugins(settings: RunSettings, plugins: registry.Plugins) -> list[str]:
    """The plugins, "KIND NAME", that are not the harness's own."""
    return [f"{info.kind} {info.name}" for info in _plugins(settings, plugins).values() if info.origin != "built-in"]


def _plugins(settings: RunSettings, plugins: registry.Plugins) -> dict[str, registry.PluginInfo]:
    """What a run is put together from; metrics under "metric NAME"."""
    chosen = {"algorithm": settings.algo, "dataset": settings.dataset, "backbone": settings.backbone, "vocoder": settings.vocoder}
    found = {kind: registry.get(kind, plugin.name, plugins) for kind, plugin in chosen.items()}
    return found | {f"metric {each.name}": registry.get("metric", each.name, plugins) for each in settings.metrics}


# What runs is the code that this process found first: what is edited or committed while it works on one seed is not what the next one runs.


@cache
def plugin_digest(kind: str, name: str, plugins: tuple[str | Path, ...]) -> str:
    """Of the code of a plugin, and of what it builds on."""
    return source_digest(registry.get(kind, name, plugins))


@cache
def started_from() -> tuple[str | None, bool | None]:
    """The state of the checkout when this process began its first run."""
    return git_state()
