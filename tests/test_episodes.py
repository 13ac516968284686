"""Manifests are leak-proof: what leaks is refused, with a sentence that says what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import BenchmarkError, UsageError
from benchmark.running.episodes import Episode, Manifest, TaskSampler, check_manifest, check_tasks, first, make_manifest, normalised
from benchmark.settings.schema import MetaSettings
from benchmark.task import TASK_KINDS

ROOT = Path(__file__).resolve().parent.parent


class FakeCorpus:
    """Speakers by split with 20 sentences each."""

    name, task = "fake", TASK_KINDS["speaker"]

    def __init__(self, per_split: int = 2, sentences: int = 20) -> None:
        self.split = {f"{split}{i}": split for split in ("train", "validation", "test") for i in range(per_split)}
        self.texts = {f"{s}-{n:02d}": f"{s} says {n}" for s in self.split for n in range(sentences)}

    def targets(self, split: str) -> list[str]:
        return [s for s, own in self.split.items() if own == split]

    def utterances_of(self, target: str) -> list[str]:
        return [u for u in self.texts if u.startswith(f"{target}-")]

    def text(self, utterance: str) -> str:
        return self.texts[utterance]

    def __contains__(self, utterance: str) -> bool:
        return utterance in self.texts


def changed(manifest: Manifest, **changes: Any) -> Manifest:
    some = list(manifest.episodes["test"])
    some[0] = replace(some[0], **changes)
    return replace(manifest, episodes={**manifest.episodes, "test": tuple(some)})


@pytest.fixture
def corpus() -> Any:
    return FakeCorpus()


def test_drawn_episodes_pass_and_are_the_same_every_time(corpus: Any, tmp_path: Path) -> None:
    manifest = make_manifest(corpus)
    check_manifest(manifest, corpus)
    manifest.save(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json") == manifest == make_manifest(corpus)
    episode = manifest.episodes["test"][0]
    used = {*episode.support, *episode.query}
    assert len(used) == 14 and not used & set(episode.enrolment(corpus)) and len(episode.enrolment(corpus)) == 6


def test_leaks_are_refused(corpus: Any) -> None:
    manifest = make_manifest(corpus)
    episode = manifest.episodes["test"][0]
    with pytest.raises(BenchmarkError, match="Utterance leak"):
        check_manifest(changed(manifest, query=(episode.support[0], *episode.query[1:])), corpus)
    with pytest.raises(BenchmarkError, match="holds an utterance of another"):
        check_manifest(changed(manifest, query=("train0-00", *episode.query[1:])), corpus)
    with pytest.raises(BenchmarkError, match="Speaker leak"):
        check_manifest(replace(manifest, targets={**manifest.targets, "train": ("train0", "train1", "test0")}), corpus)
    with pytest.raises(BenchmarkError, match="not in the prepared corpus"):
        check_manifest(changed(manifest, query=("test0-99", *episode.query[1:])), corpus)
    corpus.texts[episode.query[0]] = corpus.texts[episode.support[0]].upper() + "!"
    with pytest.raises(BenchmarkError, match="Text leak"):
        check_manifest(manifest, corpus)


def test_corpus_with_other_splits_is_refused(corpus: Any) -> None:
    manifest = make_manifest(corpus)
    corpus.split["test0"] = "train"
    with pytest.raises(BenchmarkError, match="puts speaker test0 into train"):
        check_manifest(manifest, corpus)


def test_too_small_corpora_are_refused() -> None:
    small: Any = FakeCorpus(sentences=14)
    with pytest.raises(BenchmarkError, match="14 usable utterances"):
        make_manifest(small)
    lonely: Any = FakeCorpus()
    lonely.split = {"train0": "train"}
    with pytest.raises(BenchmarkError, match="no validation speakers"):
        make_manifest(lonely)


def test_sentences_that_most_people_read_are_never_queries(corpus: Any) -> None:
    for speaker in corpus.split:
        for number in range(5):
            corpus.texts[f"{speaker}-{number:02d}"] = f"Shared sentence {number}."
    queries = {normalised(corpus.text(u)) for some in make_manifest(corpus).episodes.values() for e in some for u in e.query}
    assert not any(text.startswith("shared") for text in queries)


def test_tasks_that_one_training_speaker_is_too_poor_for_are_refused_at_once(corpus: Any) -> None:
    check_tasks(corpus, MetaSettings(support=10, query=10))
    del corpus.texts["train1-07"]
    sentence = r"1 of the 2 training speakers of fake have fewer usable utterances than the 20 of a task .*; train1 has only 19: lower"
    with pytest.raises(UsageError, match=sentence):
        check_tasks(corpus, MetaSettings(support=10, query=10))
    with pytest.raises(UsageError, match=sentence):
        TaskSampler(corpus, {"train0": 0, "train1": 1}, MetaSettings(support=10, query=10), 0)
    del corpus.texts["test0-00"]  # whom no training task meets
    check_tasks(corpus, MetaSettings(support=10, query=9))


def test_edited_manifest_is_refused(corpus: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    make_manifest(corpus).save(path)
    content = json.loads(path.read_text())
    content["episodes"]["test"][0]["query"].reverse()
    path.write_text(json.dumps(content))
    with pytest.raises(BenchmarkError, match="hash does not match"):
        Manifest.load(path)


@pytest.mark.parametrize("path", sorted((ROOT / "datasets" / "manifests").glob("*.json")), ids=lambda path: path.stem)
def test_committed_manifests_are_whole(path: Path) -> None:
    manifest = Manifest.load(path)
    assert manifest.dataset == path.stem
    names = [name for split in manifest.targets.values() for name in split]
    assert len(set(names)) == len(names)


def test_first_takes_the_manifests_first() -> None:
    some = [Episode(s, i, (), ()) for s in "ab" for i in range(3)]
    assert [(e.target, e.index) for e in first(some, 2)] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert {e.target for e in first(some, 1, 1)} == {"a"}
