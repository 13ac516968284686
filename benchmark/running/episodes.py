"""Episodes: targets with their support and query sets. Manifests fix them, and :mod:`benchmark.running.leaks` refuses leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.batch import collate
from benchmark.data.corpus import Corpus
from benchmark.data.enough import (
    CENTROID,
    Need,
    Said,
    Sizes,
    for_episode,
    for_task,
    lacking,
    left_out,
    none_left,
    normalised,
    shared_sentences,
)  # fmt: skip
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import fit, registry
from benchmark.plumbing.files import digest_of, read_json, write_json
from benchmark.settings.schema import MAX_EPISODES, MAX_QUERIES, MAX_SHOTS, MetaSettings, RunSettings
from benchmark.task import Task

PROTOCOL_VERSION = "2"
FULL = Sizes(MAX_SHOTS, MAX_QUERIES, MAX_EPISODES)
"""Of committed manifests: what any run asks for."""


@dataclass(frozen=True)
class Episode:
    """One adaptation: ``support[:k]`` is its k-shot support set; the queries are the same for every k.

    Attributes:
        target: a speaker, unless the run's task is another (:mod:`benchmark.task`).
        index: of the target's episodes, from 0.
        support: utterances to adapt to.
        query: utterances to speak or to transcribe.
    """

    target: str
    index: int
    support: tuple[str, ...]
    query: tuple[str, ...]

    def enrolment(self, corpus: Corpus) -> tuple[str, ...]:
        """The target's other utterances, from which the centroid is made."""
        used = {*self.support, *self.query}
        return tuple(name for name in corpus.utterances_of(self.target) if name not in used)

    def all_speech(self, corpus: Corpus) -> tuple[str, ...]:
        """The target's utterances that are neither queries nor say what a query says: support and enrolment."""
        asked = {normalised(corpus.text(name)) for name in self.query}
        return tuple(name for name in corpus.utterances_of(self.target) if normalised(corpus.text(name)) not in asked)

    def plain(self) -> dict[str, Any]:
        """The episode as manifests hold it; they call every target "speaker"."""
        return {"speaker": self.target, "index": self.index, "support": list(self.support), "query": list(self.query)}


@dataclass(frozen=True)
class Manifest:
    """A dataset's targets by split and its episodes for "validation" and "test"."""

    dataset: str
    targets: Mapping[str, tuple[str, ...]]
    episodes: Mapping[str, tuple[Episode, ...]]
    task: str = "speaker"

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest_of(self._content())

    def adapted_to(self, split: str) -> list[str]:
        """The targets of a split that have episodes, sorted."""
        return sorted({episode.target for episode in self.episodes[split]})

    def holds(self, sizes: Sizes, split: str) -> bool:
        """Whether its episodes of a split are as large and as many as is asked for."""
        counts = Counter(episode.target for episode in self.episodes[split])
        return min(counts.values(), default=0) >= sizes.episodes and all(
            len(each.support) >= sizes.shots and len(each.query) >= sizes.queries for each in self.episodes[split]
        )

    def _content(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset, "protocol": PROTOCOL_VERSION, **({} if self.task == "speaker" else {"task": self.task}),
            "speakers": {split: list(names) for split, names in self.targets.items()},
            "episodes": {split: [episode.plain() for episode in some] for split, some in self.episodes.items()},
        }  # fmt: skip

    def save(self, path: Path) -> None:
        """Write as JSON with its digest."""
        write_json(path, {**self._content(), "sha256": self.digest})

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises:
            BenchmarkError: it is missing or unreadable, or its content does not match its digest.
        """
        content = read_json(path, "episode manifest")
        try:
            manifest = cls(
                content["dataset"],
                {split: tuple(names) for split, names in content["speakers"].items()},
                {
                    split: tuple(Episode(e["speaker"], e["index"], tuple(e["support"]), tuple(e["query"])) for e in some)
                    for split, some in content["episodes"].items()
                },
                content.get("task", "speaker"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BenchmarkError(f"The episode manifest at {path} lacks or garbles {error}; restore the committed file.") from error
        if content.get("sha256") != manifest.digest:
            raise BenchmarkError(f"The episode manifest at {path} was changed: its hash does not match; restore the committed file.")
        return manifest


def sizes_of(settings: RunSettings, plugins: registry.Plugins) -> Sizes:
    """What a run asks of each held-out target; a problem that compares no voices needs no centroid."""
    centroid = CENTROID if "centroid" in fit.problem_of(settings.backbone.name, plugins).provides(()) else 0
    return Sizes(max(settings.shots), settings.evaluation.queries, settings.evaluation.episodes, centroid)


def draw_manifest(corpus: Corpus, sizes: Sizes) -> Manifest:
    """Episodes for a run: full ones where all held-out targets have enough, so that runs of any size share them; else as asked."""
    full = make_manifest(corpus)
    return full if all(len(full.adapted_to(split)) == len(full.targets[split]) for split in SPLITS[1:]) else make_manifest(corpus, sizes)


def make_manifest(corpus: Corpus, sizes: Sizes = FULL, seed: int = 0) -> Manifest:
    """Draw episodes for every validation and test target that has enough utterances (:mod:`benchmark.data.enough`).

    A sentence that more than half of all targets read is never a query, because models hear it in training.
    """
    texts, need = texts_of(corpus), for_episode(sizes, corpus.task.crosses)
    shared = shared_sentences(texts)
    episodes = {}
    for split in SPLITS[1:]:
        some = []
        for number, (name, said) in enumerate(texts[split].items()):
            if need.fitting(said, shared) < need.utterances:
                continue
            for index in range(sizes.episodes):
                generator = np.random.default_rng([seed, SPLITS.index(split), number, index])
                pools = _across(corpus, name, said, need, shared, generator) if isinstance(said, Mapping) else None
                some.append(_draw(corpus, name, index, shared, sizes, generator, pools))
        episodes[split] = tuple(some)
    targets = {split: tuple(names) for split, names in texts.items()}
    return Manifest(corpus.name, targets, episodes, corpus.task.name)


def texts_of(corpus: Corpus) -> dict[str, dict[str, Said]]:
    """What the targets of each split say, normalised; by language if the task crosses languages."""

    def texts(names: Sequence[str]) -> list[str]:
        return [normalised(corpus.text(name)) for name in names]

    def said(target: str) -> Said:
        if not corpus.task.crosses:
            return texts(corpus.utterances_of(target))
        return {language: texts(names) for language, names in corpus.by_language(target).items()}

    return {split: {target: said(target) for target in corpus.targets(split)} for split in SPLITS}


Pools = tuple[frozenset[str], frozenset[str]]
"""The utterances that may be support, and those that may be queries."""


def _across(
    corpus: Corpus, target: str, said: Mapping[str, Sequence[str]], need: Need, shared: set[str], generator: np.random.Generator
) -> Pools:
    """One language's utterances as support and another's as queries, drawn among the pairs with enough of both."""
    pairs, names = need.pairs(said, shared), corpus.by_language(target)
    heard, asked = pairs[int(generator.integers(len(pairs)))]
    # A sentence that is the same in both languages can't take a query's place.
    support = (name for name in names[heard] if normalised(corpus.text(name)) not in said[asked])
    return frozenset(support), frozenset(names[asked])


def _draw(
    corpus: Corpus, target: str, index: int, shared: set[str], sizes: Sizes, generator: np.random.Generator, pools: Pools | None
) -> Episode:
    names = corpus.utterances_of(target)
    hearable, askable = pools or (frozenset(names), frozenset(names))
    query: list[str] = []
    support: list[str] = []
    taken: set[str] = set()
    for name in (names[i] for i in generator.permutation(len(names))):
        text = normalised(corpus.text(name))
        if text in taken:
            continue
        if len(query) < sizes.queries and text not in shared and name in askable:
            query.append(name)
        elif len(support) < sizes.shots and name in hearable:
            support.append(name)
        else:
            continue
        taken.add(text)
    assert len(query) == sizes.queries and len(support) == sizes.shots, f"{target} was said to have enough"
    return Episode(target, index, tuple(support), tuple(query))


def episode_targets(corpus: Corpus, manifest: Manifest, sizes: Sizes, split: str) -> tuple[list[str], str]:
    """The targets of a split that have episodes, and a sentence about those with too few utterances, "" if there are none.

    Args:
        corpus: prepared.
        manifest: its episodes.
        sizes: that are asked for.
        split: "validation" or "test".

    Raises:
        BenchmarkError: the split has no targets.
        UsageError: none of them has enough utterances.
    """
    texts, kept = texts_of(corpus), manifest.adapted_to(split)
    every, kind, need = texts[split], f"{split} {corpus.task.noun}s", for_episode(sizes, corpus.task.crosses)
    if not every:
        raise BenchmarkError(f"{corpus.name} has no {kind} with usable audio to adapt to; {_hint(corpus)}")
    poor = lacking({name: said for name, said in every.items() if name not in kept}, need, shared_sentences(texts))
    if not kept:
        raise UsageError(none_left(poor, f"{kind} of {corpus.name}", need))
    return kept, left_out(poor, len(every), kind, need)


def _hint(corpus: Corpus) -> str:
    """What to do where a split has no targets."""
    if corpus.left_out():
        least = f"{corpus.task.languages} languages" if corpus.task.crosses else f"{corpus.task.speakers} speakers"
        return f"a {corpus.task.noun} needs at least {least}. {corpus.left_out()}"
    if not any(corpus.targets(split) for split in SPLITS):
        kind = corpus.task.noun
        return f"no utterance names its {kind}: name it (in a folder: the column {kind} of metadata.csv), or choose another --task."
    return "check the data root and the preparation report, or choose another --task."


def task_targets(corpus: Corpus, settings: MetaSettings) -> tuple[list[str], str]:
    """The training targets that have enough utterances for tasks, and a sentence about the others, "" if there are none.

    Raises:
        UsageError: there is no training target, or none has as many utterances as support and query of a task together.
    """
    need = for_task(settings.support, settings.query, corpus.task.crosses)
    every, kind = corpus.targets("train"), f"training {corpus.task.noun}s"
    if not every:
        raise UsageError(f"{corpus.name} has no {kind} to make tasks of; {_hint(corpus)}")
    heard = corpus.by_language if corpus.task.crosses else corpus.utterances_of
    poor = lacking({name: heard(name) for name in every}, need)
    if len(poor) == len(every):
        raise UsageError(none_left(poor, f"{kind} of {corpus.name}", need))
    return [name for name in every if name not in poor], left_out(poor, len(every), kind, need)


@dataclass(frozen=True)
class TaskSampler:
    """The training tasks of a step, the same for every algorithm: they depend only on seed and step."""

    corpus: Corpus
    speaker_index: Mapping[str, int]
    settings: MetaSettings
    seed: int

    def __post_init__(self) -> None:
        # Refuses too large tasks now, before a step draws one.
        _ = self._targets

    @cached_property
    def _targets(self) -> list[str]:
        return task_targets(self.corpus, self.settings)[0]

    def __call__(self, step: int) -> list[Task]:
        """``settings.tasks`` targets, each with distinct support and query utterances."""
        generator = np.random.default_rng([self.seed, 1, step])
        targets = self._targets
        chosen = generator.choice(len(targets), self.settings.tasks, replace=self.settings.tasks > len(targets))
        return [self._task(targets[i], generator, step, index) for index, i in enumerate(chosen)]

    def _task(self, target: str, generator: np.random.Generator, step: int, index: int) -> Task:
        shots, queries = self.settings.support, self.settings.query
        if self.corpus.task.crosses:
            by_language = self.corpus.by_language(target)
            pairs = for_task(shots, queries, crosses=True).pairs(by_language)
            heard, asked = (by_language[each] for each in pairs[int(generator.integers(len(pairs)))])
            support = self.corpus.many(_drawn(heard, shots, generator))
            query = self.corpus.many(_drawn(asked, queries, generator))
        else:
            picked = self.corpus.many(_drawn(self.corpus.utterances_of(target), shots + queries, generator))
            support, query = picked[:shots], picked[shots:]
        statistics = self.corpus.statistics
        seed = int(np.random.default_rng([self.seed, 3, step, index]).integers(2**62))
        return Task(collate(support, statistics, self.speaker_index), collate(query, statistics, self.speaker_index), seed)


def _drawn(names: Sequence[str], count: int, generator: np.random.Generator) -> list[str]:
    return [names[i] for i in generator.permutation(len(names))[:count]]


def first(episodes: Sequence[Episode], count: int, targets: int = 0) -> list[Episode]:
    """The first ``count`` episodes of each target; only of the first ``targets`` targets if that is not 0."""
    names = sorted({episode.target for episode in episodes})
    kept = set(names[:targets] if targets else names)
    return [episode for episode in episodes if episode.index < count and episode.target in kept]
