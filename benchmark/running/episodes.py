"""Episodes: targets with their support and query sets. Manifests fix them, and checks refuse leaks."""

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
from benchmark.data.enough import Sizes, for_episode, for_task, lacking, left_out, none_left, normalised, shared_sentences
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plumbing.files import digest_of, read_json, write_json
from benchmark.settings.schema import MAX_EPISODES, MAX_QUERIES, MAX_SHOTS, MetaSettings, RunSettings
from benchmark.task import Task

PROTOCOL_VERSION = "1"
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


def sizes_of(settings: RunSettings) -> Sizes:
    """What a run asks of each held-out target."""
    return Sizes(max(settings.shots), settings.evaluation.queries, settings.evaluation.episodes)


def draw_manifest(corpus: Corpus, sizes: Sizes) -> Manifest:
    """Episodes for a run: full ones where all held-out targets have enough, so that runs of any size share them; else as asked."""
    full = make_manifest(corpus)
    return full if all(len(full.adapted_to(split)) == len(full.targets[split]) for split in SPLITS[1:]) else make_manifest(corpus, sizes)


def make_manifest(corpus: Corpus, sizes: Sizes = FULL, seed: int = 0) -> Manifest:
    """Draw episodes for every validation and test target that has enough utterances (:mod:`benchmark.data.enough`).

    A sentence that more than half of all targets read is never a query, because models hear it in training.
    """
    texts, need = texts_of(corpus), for_episode(sizes)
    shared = shared_sentences(texts)
    episodes = {}
    for split in SPLITS[1:]:
        some = []
        for number, (name, said) in enumerate(texts[split].items()):
            if need.fitting(said, shared) < need.utterances:
                continue
            for index in range(sizes.episodes):
                generator = np.random.default_rng([seed, SPLITS.index(split), number, index])
                some.append(_draw(corpus, name, index, shared, sizes, generator))
        episodes[split] = tuple(some)
    targets = {split: tuple(names) for split, names in texts.items()}
    return Manifest(corpus.name, targets, episodes, corpus.task.name)


def texts_of(corpus: Corpus) -> dict[str, dict[str, list[str]]]:
    """What the targets of each split say, normalised."""
    return {
        split: {name: [normalised(corpus.text(each)) for each in corpus.utterances_of(name)] for name in corpus.targets(split)}
        for split in SPLITS
    }


def _draw(corpus: Corpus, target: str, index: int, shared: set[str], sizes: Sizes, generator: np.random.Generator) -> Episode:
    names = corpus.utterances_of(target)
    query: list[str] = []
    support: list[str] = []
    taken: set[str] = set()
    for name in (names[i] for i in generator.permutation(len(names))):
        text = normalised(corpus.text(name))
        if text in taken:
            continue
        if len(query) < sizes.queries and text not in shared:
            query.append(name)
        elif len(support) < sizes.shots:
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
    every, kind, need = texts[split], f"{split} {corpus.task.name}s", for_episode(sizes)
    if not every:
        raise BenchmarkError(f"{corpus.name} has no {kind} with usable audio to adapt to; check the data root and the preparation report.")
    poor = lacking({name: said for name, said in every.items() if name not in kept}, need, shared_sentences(texts))
    if not kept:
        raise UsageError(none_left(poor, f"{kind} of {corpus.name}", need))
    return kept, left_out(poor, len(every), kind, need)


def check_manifest(manifest: Manifest, corpus: Corpus) -> None:
    """Refuse a manifest that leaks or does not match the corpus.

    Raises:
        BenchmarkError: a speaker is in two splits, or in another split of the corpus than the manifest says; support
            and query share an utterance or a text; an utterance is missing or is someone else's.
    """
    owner: dict[str, str] = {}
    for split, names in manifest.targets.items():
        for name in names:
            if owner.setdefault(name, split) != split:
                kind = corpus.task.name.capitalize()
                raise BenchmarkError(f"{kind} leak: {name} is in both the {owner[name]} and the {split} split of {manifest.dataset}.")
    for split in SPLITS:
        strangers = set(corpus.targets(split)) - set(manifest.targets.get(split, ()))
        if strangers:
            raise BenchmarkError(
                f"The corpus puts {corpus.task.name} {min(strangers)} into {split}, but the manifest does not: they are of different "
                f"releases of {manifest.dataset}; use the release that `describe` names, or restore the file."
            )
    for split, episodes in manifest.episodes.items():
        for episode in episodes:
            _check_episode(episode, split, owner, corpus)


def _check_episode(episode: Episode, split: str, owner: Mapping[str, str], corpus: Corpus) -> None:
    kind = corpus.task.name
    where = f"episode {episode.index} of {kind} {episode.target}"
    if owner.get(episode.target) != split:
        belongs = owner.get(episode.target)
        raise BenchmarkError(f"{kind.capitalize()} leak: {where} is listed under {split}, the {kind} belongs to {belongs}.")
    for name in (*episode.support, *episode.query):
        if name not in corpus:
            raise BenchmarkError(
                f"Utterance {name}, which {where} needs, is not in the prepared corpus (missing, or skipped: see the "
                "preparation report); complete the data, because scores without it can't be compared."
            )
    if not {*episode.support, *episode.query} <= set(corpus.utterances_of(episode.target)):
        raise BenchmarkError(f"{kind.capitalize()} leak: {where} holds an utterance of another.")
    if set(episode.support) & set(episode.query):
        raise BenchmarkError(f"Utterance leak: in {where} support and query share {min(set(episode.support) & set(episode.query))}.")
    texts = {normalised(corpus.text(name)) for name in episode.support}
    for name in episode.query:
        if normalised(corpus.text(name)) in texts:
            raise BenchmarkError(f"Text leak: in {where} the query {name} has the text of a support utterance.")
    if not episode.enrolment(corpus):
        raise BenchmarkError(f"{where.capitalize()} leaves no utterance for the centroid.")


def task_targets(corpus: Corpus, settings: MetaSettings) -> tuple[list[str], str]:
    """The training targets that have enough utterances for tasks, and a sentence about the others, "" if there are none.

    Raises:
        UsageError: there is no training target, or none has as many utterances as support and query of a task together.
    """
    need = for_task(settings.support, settings.query)
    every, kind = corpus.targets("train"), f"training {corpus.task.name}s"
    if not every:
        raise UsageError(f"{corpus.name} has no {kind} to make tasks of; choose another --task or dataset.")
    poor = lacking({name: corpus.utterances_of(name) for name in every}, need)
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
        names = self.corpus.utterances_of(target)
        needed = self.settings.support + self.settings.query
        picked = self.corpus.many(names[i] for i in generator.permutation(len(names))[:needed])
        support, query = picked[: self.settings.support], picked[self.settings.support :]
        statistics = self.corpus.statistics
        seed = int(np.random.default_rng([self.seed, 3, step, index]).integers(2**62))
        return Task(collate(support, statistics, self.speaker_index), collate(query, statistics, self.speaker_index), seed)


def first(episodes: Sequence[Episode], count: int, targets: int = 0) -> list[Episode]:
    """The first ``count`` episodes of each target; only of the first ``targets`` targets if that is not 0."""
    names = sorted({episode.target for episode in episodes})
    kept = set(names[:targets] if targets else names)
    return [episode for episode in episodes if episode.index < count and episode.target in kept]
