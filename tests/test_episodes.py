"""Manifests are leak-proof: what leaks is refused, with a sentence that says what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.data.enough import Sizes, for_episode, lacking, normalised
from benchmark.errors import BenchmarkError, UsageError
from benchmark.running import preparation
from benchmark.running.episodes import (
    FULL,
    Episode,
    Manifest,
    TaskSampler,
    draw_manifest,
    episode_targets,
    first,
    make_manifest,
    sizes_of,
    task_targets,
)
from benchmark.running.leaks import check_manifest
from benchmark.running.preparation import open_manifest
from benchmark.settings.schema import MetaSettings
from benchmark.settings.tuned_values import parse
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

    def left_out(self) -> str:
        return ""

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


COMMITTED = {
    "espeak": "bda5411dda2997af1b41ccc33f5695931dbed3fd41effc62317549cbf7a4dda4",
    "speechocean762": "46b043fecf65f0fda9db7c592cfe439254d0225061ec8b0333062c16078d3895",
    "vctk": "7a8535b4f47adc5d47929d217c9d7b3aedab3e7b85aa0c96c2eea26ce8e1a2e6",
}
"""Hashes of the committed manifests. Rows of leaderboards name them, so they never change; a new manifest gets a new line."""


def test_committed_manifests_keep_their_hashes() -> None:
    folder = Path(__file__).resolve().parents[1] / "datasets" / "manifests"
    assert {path.stem: Manifest.load(path).digest for path in folder.glob("*.json")} == COMMITTED


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


def keep(corpus: Any, **counts: int) -> None:
    """Leave each of the speakers so many utterances."""
    for speaker, count in counts.items():
        for name in corpus.utterances_of(speaker)[count:]:
            del corpus.texts[name]


def test_who_has_too_few_utterances_for_the_run_is_left_out_and_named() -> None:
    corpus: Any = FakeCorpus(per_split=4)
    keep(corpus, test0=9, test1=8, test2=4)
    sizes = Sizes(5, 2)
    manifest = draw_manifest(corpus, sizes)
    check_manifest(manifest, corpus)
    assert {(e.target, len(e.support), len(e.query)) for e in manifest.episodes["test"]} == {("test0", 5, 2), ("test3", 5, 2)}
    assert all(len(episode.enrolment(corpus)) >= 2 for episode in manifest.episodes["test"])
    kept, sentence = episode_targets(corpus, manifest, sizes, "test")
    assert kept == ["test0", "test3"] and sentence == (
        "2 of 4 test speakers have fewer than the 9 utterances that 5 shots, 2 queries and a centroid of 2 need and are left out: "
        "test1 (8), test2 (4)."
    )
    assert episode_targets(corpus, manifest, sizes, "validation") == (["validation0", "validation1", "validation2", "validation3"], "")
    # One shot less, and one more speaker is in; the others' episodes don't depend on who else is there.
    larger = draw_manifest(corpus, Sizes(4, 2))
    assert larger.adapted_to("test") == ["test0", "test1", "test3"] and larger.digest != manifest.digest
    keep(corpus, test1=7)
    assert draw_manifest(corpus, sizes).episodes == manifest.episodes


def test_recognition_needs_no_utterances_for_a_centroid() -> None:
    words = ["--algo", "finetune", "--dataset", "espeak", "--shots", "5", "--evaluation.queries", "2"]
    assert sizes_of(parse(words), ()) == Sizes(5, 2) and Sizes(5, 2).centroid == 2
    sizes = sizes_of(parse([*words, "--backbone", "crnn_ctc"]), ())
    corpus: Any = FakeCorpus(per_split=4)
    keep(corpus, test0=7, test1=6)
    manifest = draw_manifest(corpus, sizes)
    check_manifest(manifest, corpus, sizes.centroid)
    kept, sentence = episode_targets(corpus, manifest, sizes, "test")
    assert kept == ["test0", "test2", "test3"] and sentence == (
        "1 of 4 test speakers has fewer than the 7 utterances that 5 shots and 2 queries need and is left out: test1 (6)."
    )


def test_nobody_left_says_what_to_do() -> None:
    corpus: Any = FakeCorpus(sentences=14)
    manifest = draw_manifest(corpus, Sizes(10, 3))
    sentence = (
        r"2 of 2 test speakers of fake have fewer than the 15 utterances that 10 shots, 3 queries and a centroid of 2 need: "
        r"test0 \(14\), test1 \(14\); ask for fewer --shots or --evaluation.queries, or record more \(all have enough for --shots 9\)\."
    )
    with pytest.raises(UsageError, match=sentence):
        episode_targets(corpus, manifest, Sizes(10, 3), "test")
    lonely: Any = FakeCorpus()
    lonely.split = {"train0": "train"}
    with pytest.raises(BenchmarkError, match="no validation speakers"):
        episode_targets(lonely, make_manifest(lonely), FULL, "validation")


def test_runs_of_any_size_share_their_episodes_where_all_have_enough(corpus: Any) -> None:
    assert draw_manifest(corpus, Sizes(1, 1)) == draw_manifest(corpus, FULL) == make_manifest(corpus)
    keep(corpus, validation0=15)
    assert draw_manifest(corpus, Sizes(1, 1)).digest != draw_manifest(corpus, Sizes(5, 1)).digest


def test_a_committed_manifest_is_taken_if_it_has_what_is_asked_for(corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(corpus, test0=9)
    make_manifest(corpus, Sizes(5, 2), seed=3).save(tmp_path / "fake.json")
    committed = Manifest.load(tmp_path / "fake.json")
    monkeypatch.setattr(preparation, "manifest_path", lambda *_: tmp_path / "fake.json")
    assert open_manifest(corpus, (), Sizes(5, 1)) == open_manifest(corpus, (), Sizes(1, 2)) == committed
    for larger, speakers in ((Sizes(6, 2), 1), (Sizes(5, 3), 1), (Sizes(5, 2, 2), 2)):
        drawn = open_manifest(corpus, (), larger)
        assert drawn == make_manifest(corpus, larger) != committed and len(drawn.adapted_to("test")) == speakers


@pytest.mark.parametrize(
    ("texts", "fits"),
    [
        (["a", "b", "c", "d", "e", "f"], ""),
        (["a", "b", "c", "d", "e"], "5"),
        (["a", "b", "c", "d", "a", "a"], ""),  # four sentences that differ are support and query, the others make the centroid
        (["a", "b", "c", "a", "b", "c", "a"], "5 of 7 fit"),
        (["a", "common", "general", "usual", "b", "c"], ""),
        (["a", "common", "general", "usual", "a", "a"], "5 of 6 fit"),
    ],
)
def test_repeated_and_shared_sentences_count_as_far_as_episodes_can_use_them(texts: list[str], fits: str) -> None:
    """Two shots, two queries: what is said to suffice can be drawn, whatever the order, and nothing else can."""
    shared = {"common", "general", "usual"}
    assert lacking({"x": texts}, for_episode(Sizes(2, 2)), shared) == ({"x": fits} if fits else {})
    corpus: Any = FakeCorpus(per_split=1, sentences=0)
    corpus.split |= dict.fromkeys(("more0", "more1", "more2"), "train")
    corpus.texts = {f"{who}-{n}": text for who in corpus.split for n, text in enumerate(sorted(shared)) if who != "test0"}
    corpus.texts |= {f"test0-{n}": text for n, text in enumerate(texts)}
    for seed in range(20):
        manifest = make_manifest(corpus, Sizes(2, 2), seed)
        check_manifest(manifest, corpus)
        assert len(manifest.episodes["test"]) == (not fits)


def test_sentences_that_most_people_read_are_never_queries(corpus: Any) -> None:
    for speaker in corpus.split:
        for number in range(5):
            corpus.texts[f"{speaker}-{number:02d}"] = f"Shared sentence {number}."
    queries = {normalised(corpus.text(u)) for some in make_manifest(corpus).episodes.values() for e in some for u in e.query}
    assert not any(text.startswith("shared") for text in queries)


def test_training_speakers_who_are_too_poor_for_tasks_are_left_out_of_them(corpus: Any) -> None:
    settings = MetaSettings(support=10, query=10)
    assert task_targets(corpus, settings) == (["train0", "train1"], "")
    del corpus.texts["train1-07"], corpus.texts["test0-00"]  # the latter no training task meets
    assert task_targets(corpus, settings) == (["train0"], (
        "1 of 2 training speakers has fewer than the 20 utterances that a task's support of 10 and query of 10 need and is left out: "
        "train1 (19)."
    ))  # fmt: skip
    assert task_targets(corpus, MetaSettings(support=10, query=9))[1] == ""
    sampled = TaskSampler(corpus, {"train0": 0, "train1": 1}, settings, 0)
    assert sampled._targets == ["train0"]
    keep(corpus, train0=19)
    sentence = r"2 of 2 training speakers of fake have fewer .* lower meta.support or meta.query"
    with pytest.raises(UsageError, match=sentence):
        task_targets(corpus, settings)
    with pytest.raises(UsageError, match=sentence):
        TaskSampler(corpus, {"train0": 0, "train1": 1}, settings, 0)


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
