"""From a dataset's name to its prepared corpus and its episodes: data roots, caches, manifests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmark.data.corpus import Corpus
from benchmark.data.enough import Sizes
from benchmark.data.prepare import prepare
from benchmark.dataset import Dataset
from benchmark.errors import UsageError
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.running.episodes import FULL, Manifest, check_manifest, draw_manifest


def cache_folder(given: Path | None) -> Path:
    """``--cache``, or $BENCHMARK_CACHE, or a folder in the user's cache."""
    return given or Path(os.environ.get("BENCHMARK_CACHE") or Path.home() / ".cache" / "few-shot-tts-benchmark")


def metrics_folder(cache: Path, corpus: Corpus) -> Path:
    """What metrics compute once for a corpus is kept here (``MetricContext.cache``)."""
    return cache / "metrics" / f"{corpus.name}-{corpus.version}"


def open_dataset(name: str, config: Any, data_root: Path | None, plugins: registry.Plugins, download: bool = False) -> Dataset:
    """The dataset plugin on its data root: ``--data-root``, or $BENCHMARK_DATA/NAME.

    Raises:
        UsageError: it needs a root and none was given, or a wrong one; it needs none and one was given.
        BenchmarkError: what lies in the root is damaged.
    """
    plugin: type[Dataset] = registry.load("dataset", name, plugins)
    base = os.environ.get("BENCHMARK_DATA")
    root = data_root or (Path(base) / name if base else None)
    if not plugin.needs_root:
        if data_root is not None or download:
            option = "--data-root" if data_root is not None else "--download"
            raise UsageError(f"Dataset {name} takes no {option}: {plugin.card.how_to_get}")
        return plugin(None, config)
    if root is None:
        raise UsageError(f"Dataset {name} needs --data-root DIR (or $BENCHMARK_DATA with a folder {name} in it). {plugin.card.how_to_get}")
    if download:
        plugin.download(plugin.__new__(plugin), root)
    try:
        return plugin(root, config)
    except UsageError as error:
        if (root / name).is_dir():
            raise UsageError(f"{error} Did you mean {root / name}?") from error
        raise


def open_corpus(
    name: str, config: Any, data_root: Path | None, cache: Path, workers: int, plugins: registry.Plugins, download: bool = False,
    mel: MelSpec | None = None, task: str = "speaker",
) -> Corpus:  # fmt: skip
    """The prepared corpus of a dataset.

    Args:
        name, config: of the dataset plugin.
        data_root, cache, workers, plugins: as of a run.
        download: fetch it first.
        mel: the vocoder's mel definition; the default one if None.
        task: what its utterances are grouped by.
    """
    dataset = open_dataset(name, config, data_root, plugins, download)
    return prepare(name, dataset, cache / "corpora", workers, [str(path) for path in plugins], mel, task=task)


def manifest_path(name: str, plugins: registry.Plugins, task: str = "speaker") -> Path | None:
    """The committed manifest beside the dataset's file, if there is one."""
    path = registry.get("dataset", name, plugins).path
    suffix = "" if task == "speaker" else f"-{task}"
    found = path.parent / "manifests" / f"{name}{suffix}.json" if path else None
    return found if found is not None and found.is_file() else None


def open_manifest(corpus: Corpus, plugins: registry.Plugins, sizes: Sizes = FULL, split: str = "test") -> Manifest:
    """The dataset's committed manifest if it has what is asked for, else one drawn from the corpus; either way checked for leaks.

    Args:
        corpus: prepared.
        plugins: ``--plugin`` files.
        sizes: what the run asks of each held-out target.
        split: that it evaluates.

    Raises:
        BenchmarkError: it leaks, or the corpus can't serve it.
    """
    path = manifest_path(corpus.name, plugins, corpus.task.name)
    manifest = Manifest.load(path) if path else None
    if manifest is None or not manifest.holds(sizes, split):
        manifest = draw_manifest(corpus, sizes)
    check_manifest(manifest, corpus)
    return manifest
