"""From a dataset's name to its prepared corpus and its episodes: data roots, caches, manifests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.data.corpus import Corpus
from benchmark.data.enough import Sizes, role
from benchmark.data.joined import JoinedCorpus
from benchmark.data.lent import Lent
from benchmark.data.prepare import prepare
from benchmark.dataset import SPLITS, Dataset
from benchmark.errors import UsageError
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.running.episodes import FULL, Manifest, draw_manifest
from benchmark.running.leaks import check_manifest
from benchmark.settings.config import Plugin


def cache_folder(given: Path | None) -> Path:
    """``--cache``, or $BENCHMARK_CACHE, or a folder in the user's cache."""
    return given or Path(os.environ.get("BENCHMARK_CACHE") or Path.home() / ".cache" / "few-shot-tts-benchmark")


def metrics_folder(cache: Path, corpus: Corpus) -> Path:
    """The folder for what built-in metrics keep (``MetricContext.cache``), shared by corpora with the same training speech."""
    return cache / "metrics" / f"{corpus.name}-{corpus.training_digest[:16]}-{corpus.preparation}"


def open_dataset(
    name: str, config: Any, data_root: Path | None, plugins: registry.Plugins, download: bool = False, option: str = "--data-root"
) -> Dataset:
    """The dataset plugin on its data root: ``--data-root`` (or what else the ``option`` is called), or $BENCHMARK_DATA/NAME.

    Raises:
        UsageError: it needs a root and none was given, or a wrong one; it needs none and one was given.
        BenchmarkError: the files in the root are damaged.
    """
    plugin: type[Dataset] = registry.load("dataset", name, plugins)
    base = os.environ.get("BENCHMARK_DATA")
    root = data_root or (Path(base) / name if base else None)
    if not plugin.needs_root:
        if data_root is not None or download:
            option = option if data_root is not None else "--download"
            raise UsageError(f"Dataset {name} takes no {option}: {plugin.card.how_to_get}")
        return plugin(None, config)
    if root is None:
        raise UsageError(f"Dataset {name} needs {option} DIR (or $BENCHMARK_DATA with a folder {name} in it). {plugin.card.how_to_get}")
    if download:
        closed = plugin.__new__(plugin)  # there is nothing to open yet
        closed.root, closed.config = root, config if config is not None else plugin.Config()
        closed.download(root)
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
        data_root, cache, workers, plugins: as for a run.
        download: fetch it first.
        mel: the vocoder's mel definition; the default one if None.
        task: kind of target to group utterances by.
    """
    dataset = open_dataset(name, config, data_root, plugins, download)
    dataset.pose(task)
    return prepare(name, dataset, cache / "corpora", workers, [str(path) for path in plugins], mel, task=task)


@dataclass(frozen=True)
class Sources:
    """What a run learns from and adapts to.

    Attributes:
        dataset: of ``--dataset``, with its options.
        others: of ``--pretrain.dataset``.
        data_root: of the dataset; None for $BENCHMARK_DATA/NAME.
        roots: of the others, by name; "" for that of the only one.
    """

    dataset: Plugin
    others: tuple[Plugin, ...] = ()
    data_root: Path | None = None
    roots: Mapping[str, Path] = field(default_factory=dict)


def open_corpora(
    sources: Sources, split: str, cache: Path, workers: int, plugins: registry.Plugins, mel: MelSpec | None = None, task: str = "speaker"
) -> Corpus:
    """The prepared corpus of a run: of its dataset, joined to the training speech of the others if there are any.

    Args:
        sources: datasets and their data roots.
        split: that the run evaluates.
        cache, workers, plugins: as of a run.
        mel, task: see :func:`open_corpus`.

    Raises:
        UsageError: there is nobody to adapt to, or to learn from; a data root is given for no dataset.
    """
    names = [chosen.name for chosen in sources.others]
    if wrong := sorted(set(sources.roots) - set(names) - ({""} if len(names) == 1 else set())):
        given = f"--pretrain-root {wrong[0]}=DIR" if wrong[0] else "--pretrain-root DIR"
        has = f"which names {', '.join(names)}; write NAME=DIR, with commas between several" if names else "which names nothing"
        raise UsageError(f"{given} does not fit --pretrain.dataset, {has}.")
    datasets = [open_dataset(sources.dataset.name, sources.dataset.config, sources.data_root, plugins)]
    datasets[0].pose(task)
    for chosen in sources.others:
        root = sources.roots.get(chosen.name) or sources.roots.get("")
        other = open_dataset(chosen.name, chosen.config, root, plugins, option="--pretrain-root")
        other.pose(task)
        if other.undivided and other.root and datasets[0].root and other.root.resolve() == datasets[0].root.resolve():
            raise UsageError(f"{other.root} is the only speech of --dataset, so --pretrain.dataset can't have it; name another corpus.")
        datasets.append(Lent(other) if other.undivided else other)
    if task == "language" and datasets[0].undivided and not names:
        raise UsageError(
            f"{sources.dataset.name} has fewer than three languages, too few to learn from some and be tested on others: name more "
            "in a column 'language', or another corpus to learn from (--pretrain.dataset NAME)."
        )
    everyone = [sources.dataset.name, *names]
    # Before hours of preparation; and after it, for audio may be unusable.
    _check_speakers(everyone, [{each: len(dataset.speakers(each)) for each in SPLITS} for dataset in datasets], split)
    files = [str(path) for path in plugins]
    corpora = [
        prepare(name, dataset, cache / "corpora", workers, files, mel, task=task)
        for name, dataset in zip(everyone, datasets, strict=True)
    ]  # fmt: skip
    _check_speakers(everyone, [{each: len(corpus.speakers(each)) for each in SPLITS} for corpus in corpora], split)
    return JoinedCorpus(corpora[0], corpora[1:]) if sources.others else corpora[0]


def _check_speakers(names: Sequence[str], counts: Sequence[Mapping[str, int]], split: str) -> None:
    """Refuse corpora that give nobody to adapt to or to learn from; the first is that of the dataset."""
    own = counts[0]
    for name, count in list(zip(names, counts, strict=True))[1:]:
        if not count["train"]:
            raise UsageError(f"{name} has no training speakers, so --pretrain.dataset can't use it; leave it out.")
    if len(names) == 1 and own["train"] < 2:
        raise UsageError(role(own, names[0]))
    if not own[split]:
        counted = ", ".join(f"{count} {name}" for name, count in own.items())
        sentence = f"{names[0]} has no {split} speakers to adapt to ({counted})"
        raise UsageError(f"{sentence}; choose another dataset or --evaluation.split, or check the data root.")


def manifest_path(name: str, plugins: registry.Plugins, task: str = "speaker") -> Path | None:
    """The committed manifest beside the dataset's file, if there is one."""
    path = registry.get("dataset", name, plugins).path
    suffix = "" if task == "speaker" else f"-{task}"
    found = path.parent / "manifests" / f"{name}{suffix}.json" if path else None
    return found if found is not None and found.is_file() else None


def open_manifest(corpus: Corpus, plugins: registry.Plugins, sizes: Sizes = FULL, split: str = "test") -> Manifest:
    """The dataset's committed manifest if it has what is asked for, else one drawn from the corpus; either way checked for leaks.

    Args:
        corpus: prepared; of the dataset alone, whatever else a run learns from.
        plugins: ``--plugin`` files.
        sizes: what the run asks of each held-out target.
        split: that it evaluates.

    Raises:
        BenchmarkError: it leaks, or does not match the corpus.
    """
    path = manifest_path(corpus.name, plugins, corpus.task.name)
    manifest = Manifest.load(path) if path else None
    if manifest is None or not manifest.holds(sizes, split):
        manifest = draw_manifest(corpus, sizes)
    check_manifest(manifest, corpus, sizes.centroid)
    return manifest
