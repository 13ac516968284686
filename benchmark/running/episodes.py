"""Episodes: targets with their support and query sets. Manifests fix them, and checks refuse leaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.batch import collate
from benchmark.data.corpus import Corpus
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plumbing.files import digest_of, read_json, write_json
from benchmark.settings.schema import MAX_EPISODES, MAX_QUERIES, MAX_SHOTS, MetaSettings
from benchmark.task import Task

PROTOCOL_VERSION = "1"


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


def normalised(text: str) -> str:
    """A text's letters and digits, case-folded; two sentences are the same if these are."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def make_manifest(corpus: Corpus, seed: int = 0) -> Manifest:
    """Draw episodes for every validation and test target.

    A sentence that more than half of all targets read is never a query, because models hear it in training.

    Raises:
        BenchmarkError: a split has no speakers, or a speaker has too few utterances.
    """
    targets = {split: tuple(corpus.targets(split)) for split in SPLITS}
    left_out, voices = (f" {corpus.left_out()}", " and at least two speakers") if corpus.task.speakers > 1 else ("", "")
    if not any(targets.values()) and not left_out.strip():
        raise BenchmarkError(
            f"No usable utterance of {corpus.name} names its {corpus.task.name}; name it (in a folder: the column {corpus.task.name} of "
            "metadata.csv), or choose another --task."
        )
    for split, names in targets.items():
        if not names:
            raise BenchmarkError(
                f"{corpus.name} has no {split} {corpus.task.name}s with usable audio{voices}; few-shot evaluation needs several in each "
                f"split, so check the data root and the preparation report.{left_out.rstrip()}"
            )
    readers: dict[str, set[str]] = {}
    for names in targets.values():
        for name in names:
            for utterance in corpus.utterances_of(name):
                readers.setdefault(normalised(corpus.text(utterance)), set()).add(name)
    everyone = sum(map(len, targets.values()))
    shared = {text for text, by in readers.items() if len(by) > everyone / 2}
    episodes = {}
    for split in SPLITS[1:]:
        some = []
        for number, name in enumerate(targets[split]):
            for index in range(MAX_EPISODES):
                generator = np.random.default_rng([seed, SPLITS.index(split), number, index])
                some.append(_draw(corpus, name, index, shared, generator))
        episodes[split] = tuple(some)
    return Manifest(corpus.name, targets, episodes, corpus.task.name)


def _draw(corpus: Corpus, target: str, index: int, shared: set[str], generator: np.random.Generator) -> Episode:
    names = corpus.utterances_of(target)
    order = [names[i] for i in generator.permutation(len(names))]
    query: list[str] = []
    support: list[str] = []
    for name in order:
        text = normalised(corpus.text(name))
        taken = {normalised(corpus.text(other)) for other in (*query, *support)}
        if text in taken:
            continue
        if len(query) < MAX_QUERIES and text not in shared:
            query.append(name)
        elif len(support) < MAX_SHOTS:
            support.append(name)
    if len(query) < MAX_QUERIES or len(support) < MAX_SHOTS or len(names) <= MAX_SHOTS + MAX_QUERIES:
        raise BenchmarkError(
            f"{corpus.task.name.capitalize()} {target} of {corpus.name} has {len(names)} usable utterances; an episode needs {MAX_SHOTS} "
            f"support and {MAX_QUERIES} query sentences that differ, and at least one more for the centroid."
        )
    return Episode(target, index, tuple(support), tuple(query))


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


def check_tasks(corpus: Corpus, settings: MetaSettings) -> None:
    """Refuse tasks that are too large for a training target now, not at the step that draws it.

    Raises:
        UsageError: a training target has fewer utterances than support and query of a task together.
    """
    needed = settings.support + settings.query
    counts = {target: len(corpus.utterances_of(target)) for target in corpus.targets("train")}
    poor = sorted((count, target) for target, count in counts.items() if count < needed)
    if poor:
        raise UsageError(
            f"{len(poor)} of the {len(counts)} training {corpus.task.name}s of {corpus.name} have fewer usable utterances than "
            f"the {needed} of a task (meta.support + meta.query); {poor[0][1]} has only {poor[0][0]}: lower those settings."
        )


@dataclass(frozen=True)
class TaskSampler:
    """The training tasks of a step, the same for every algorithm: they depend only on seed and step."""

    corpus: Corpus
    speaker_index: Mapping[str, int]
    settings: MetaSettings
    seed: int

    def __post_init__(self) -> None:
        check_tasks(self.corpus, self.settings)

    def __call__(self, step: int) -> list[Task]:
        """``settings.tasks`` targets, each with distinct support and query utterances."""
        generator = np.random.default_rng([self.seed, 1, step])
        targets = self.corpus.targets("train")
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
