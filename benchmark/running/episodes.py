"""Episodes: who is adapted to, on what, and what they are asked to say. Manifests fix them; checks keep them leak-proof."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.algorithm import Task
from benchmark.batch import collate
from benchmark.data.corpus import Corpus
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plumbing.files import digest_of, read_json, write_json
from benchmark.settings.schema import MAX_EPISODES, MAX_QUERIES, MAX_SHOTS, MetaSettings

PROTOCOL_VERSION = "1"


@dataclass(frozen=True)
class Episode:
    """One adaptation: ``support[:k]`` is its k-shot support set; the queries are the same for every k."""

    speaker: str
    index: int
    support: tuple[str, ...]
    query: tuple[str, ...]

    def enrolment(self, corpus: Corpus) -> tuple[str, ...]:
        """The speaker's other utterances, from which the centroid is made."""
        used = {*self.support, *self.query}
        return tuple(name for name in corpus.utterance_ids(self.speaker) if name not in used)


@dataclass(frozen=True)
class Manifest:
    """A dataset's speakers by split and its episodes for "validation" and "test"."""

    dataset: str
    speakers: Mapping[str, tuple[str, ...]]
    episodes: Mapping[str, tuple[Episode, ...]]

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest_of(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset, "protocol": PROTOCOL_VERSION,
            "speakers": {split: list(names) for split, names in self.speakers.items()},
            "episodes": {split: [asdict(episode) for episode in some] for split, some in self.episodes.items()},
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
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BenchmarkError(f"The episode manifest at {path} lacks or garbles {error}; restore the committed file.") from error
        if content.get("sha256") != manifest.digest:
            raise BenchmarkError(f"The episode manifest at {path} was changed: its hash does not match; restore the committed file.")
        return manifest


def normalised(text: str) -> str:
    """Letters and digits of a text, case folded: what makes two sentences the same."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def make_manifest(corpus: Corpus, seed: int = 0) -> Manifest:
    """Draw episodes for every validation and test speaker.

    A sentence that more than half of all speakers read is never a query: everyone's model has heard it.

    Raises:
        BenchmarkError: a split has no speakers, or a speaker has too few utterances.
    """
    speakers = {split: tuple(corpus.speakers(split)) for split in SPLITS}
    for split, names in speakers.items():
        if not names:
            raise BenchmarkError(
                f"{corpus.name} has no {split} speakers with usable audio; few-shot evaluation needs several people in each "
                "split, so check the data root and the preparation report."
            )
    readers: dict[str, set[str]] = {}
    for names in speakers.values():
        for name in names:
            for utterance in corpus.utterance_ids(name):
                readers.setdefault(normalised(corpus.text(utterance)), set()).add(name)
    everyone = sum(map(len, speakers.values()))
    shared = {text for text, by in readers.items() if len(by) > everyone / 2}
    episodes = {}
    for split in SPLITS[1:]:
        some = []
        for number, name in enumerate(speakers[split]):
            for index in range(MAX_EPISODES):
                generator = np.random.default_rng([seed, SPLITS.index(split), number, index])
                some.append(_draw(corpus, name, index, shared, generator))
        episodes[split] = tuple(some)
    return Manifest(corpus.name, speakers, episodes)


def _draw(corpus: Corpus, speaker: str, index: int, shared: set[str], generator: np.random.Generator) -> Episode:
    names = corpus.utterance_ids(speaker)
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
            f"Speaker {speaker} of {corpus.name} has {len(names)} usable utterances; an episode needs {MAX_SHOTS} support and "
            f"{MAX_QUERIES} query sentences that differ, and at least one more for the speaker's centroid."
        )
    return Episode(speaker, index, tuple(support), tuple(query))


def check_manifest(manifest: Manifest, corpus: Corpus) -> None:
    """Refuse a manifest that leaks or that the corpus can't serve.

    Raises:
        BenchmarkError: a speaker is in two splits, or in another split of the corpus than the manifest says; support
            and query share an utterance or a text; an utterance is missing or is someone else's.
    """
    owner: dict[str, str] = {}
    for split, names in manifest.speakers.items():
        for name in names:
            if owner.setdefault(name, split) != split:
                raise BenchmarkError(f"Speaker leak: {name} is in both the {owner[name]} and the {split} split of {manifest.dataset}.")
    for split in SPLITS:
        strangers = set(corpus.speakers(split)) - set(manifest.speakers.get(split, ()))
        if strangers:
            raise BenchmarkError(
                f"The corpus puts speaker {min(strangers)} into {split}, the manifest does not; a different release of "
                f"{manifest.dataset}, or a manifest that belongs to another: use the release that `describe` names, or restore the file."
            )
    for split, episodes in manifest.episodes.items():
        for episode in episodes:
            _check_episode(episode, split, owner, corpus)


def _check_episode(episode: Episode, split: str, owner: Mapping[str, str], corpus: Corpus) -> None:
    where = f"episode {episode.index} of speaker {episode.speaker}"
    if owner.get(episode.speaker) != split:
        raise BenchmarkError(f"Speaker leak: {where} is listed under {split}, the speaker belongs to {owner.get(episode.speaker)}.")
    for name in (*episode.support, *episode.query):
        if name not in corpus:
            raise BenchmarkError(
                f"Utterance {name}, which {where} needs, is not in the prepared corpus (missing, or skipped: see the "
                "preparation report); complete the data, for a score without it could not be compared."
            )
    if not {*episode.support, *episode.query} <= set(corpus.utterance_ids(episode.speaker)):
        raise BenchmarkError(f"Speaker leak: {where} holds an utterance by someone else.")
    if set(episode.support) & set(episode.query):
        raise BenchmarkError(f"Utterance leak: in {where} support and query share {min(set(episode.support) & set(episode.query))}.")
    texts = {normalised(corpus.text(name)) for name in episode.support}
    for name in episode.query:
        if normalised(corpus.text(name)) in texts:
            raise BenchmarkError(f"Text leak: in {where} the query {name} says what a support utterance says.")
    if not episode.enrolment(corpus):
        raise BenchmarkError(f"{where.capitalize()} leaves no utterance for the speaker's centroid.")


def check_tasks(corpus: Corpus, settings: MetaSettings) -> None:
    """Refuse tasks that a training speaker has too few utterances for, before a later step meets that speaker.

    Raises:
        UsageError: a training speaker has fewer utterances than support and query of a task together.
    """
    needed = settings.support + settings.query
    counts = {speaker: len(corpus.utterance_ids(speaker)) for speaker in corpus.speakers("train")}
    poor = sorted((count, speaker) for speaker, count in counts.items() if count < needed)
    if poor:
        raise UsageError(
            f"{len(poor)} of the {len(counts)} training speakers of {corpus.name} have fewer usable utterances than the {needed} of a "
            f"task (meta.support + meta.query), {poor[0][1]} only {poor[0][0]}; lower those settings."
        )


@dataclass(frozen=True)
class TaskSampler:
    """Training tasks for a step, the same for every algorithm: a function of seed and step alone."""

    corpus: Corpus
    speaker_index: Mapping[str, int]
    settings: MetaSettings
    seed: int

    def __post_init__(self) -> None:
        check_tasks(self.corpus, self.settings)

    def __call__(self, step: int) -> list[Task]:
        """``settings.tasks`` speakers, each with distinct support and query utterances."""
        generator = np.random.default_rng([self.seed, 1, step])
        speakers = sorted(self.speaker_index)
        chosen = generator.choice(len(speakers), self.settings.tasks, replace=self.settings.tasks > len(speakers))
        return [self._task(speakers[i], generator) for i in chosen]

    def _task(self, speaker: str, generator: np.random.Generator) -> Task:
        names = self.corpus.utterance_ids(speaker)
        needed = self.settings.support + self.settings.query
        picked = self.corpus.many(names[i] for i in generator.permutation(len(names))[:needed])
        support, query = picked[: self.settings.support], picked[self.settings.support :]
        return Task(collate(support, self.corpus, self.speaker_index), collate(query, self.corpus, self.speaker_index))


def first(episodes: Sequence[Episode], count: int, speakers: int = 0) -> list[Episode]:
    """The first ``count`` episodes of each speaker, of ``speakers`` speakers if that is not 0."""
    names = sorted({episode.speaker for episode in episodes})
    kept = set(names[:speakers] if speakers else names)
    return [episode for episode in episodes if episode.index < count and episode.speaker in kept]
