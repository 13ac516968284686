"""What is learned from training speech is kept by a digest of that speech: all of it counts, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data.corpus import ARRAYS, Corpus, open_shard
from benchmark.data.corpus_aligner import corpus_aligner
from benchmark.data.joined import JoinedCorpus
from benchmark.data.prepare import prepare
from benchmark.metric import MetricContext
from benchmark.metrics.per import PER
from benchmark.running.preparation import open_dataset
from tests.dataset_helpers import SENTENCES, speechocean
from tests.metric_helpers import write_corpus

PEOPLE = {"0001": (9, "f"), "0002": (10, "m"), "0005": (30, "f"), "0006": (31, "m")}
SPLITS = {"train": ["ann", "bob"], "validation": ["val"], "test": ["tom"]}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_corpus(tmp_path / "tones", SPLITS, 3)


def test_another_test_speaker_makes_another_corpus_of_the_same_training_speech(tmp_path: Path) -> None:
    """Through the whole preparation: phones, aligner, features, statistics."""

    def prepared(name: str, **more: Any) -> Corpus:
        data = speechocean(tmp_path / name, PEOPLE, SENTENCES[:4], **more)
        return prepare("speechocean762", open_dataset("speechocean762", None, data, ()), tmp_path / f"{name} cache", 1)

    few, more = prepared("few"), prepared("more", further={"0024": (25, "f"), "9629": (25, "f")})
    assert [len(each.speakers("test")) for each in (few, more)] == [2, 4] and few.version != more.version
    assert few.training_digest == more.training_digest
    assert few.symbols == more.symbols and few.statistics == more.statistics
    for name in few:
        for array in ARRAYS:
            assert np.array_equal(getattr(few[name], array), getattr(more[name], array)), (name, array)
    # Corpora that were prepared before carry no digest; theirs is the same.
    more.meta.pop("training_speech")
    del more.training_digest
    assert few.training_digest == more.training_digest


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text": lambda row: "other", "speaker": lambda row: "bob", "words": lambda row: [["a"]], "language": lambda row: "de",
    "style": lambda row: "whisper", "labels": lambda row: {"age": "8"}, "split": lambda row: "validation",
}  # fmt: skip


@pytest.mark.parametrize("name", [*CHANGES, *ARRAYS])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_changed_training_utterance_changes_the_digest_and_a_changed_test_utterance_does_not(
    name: str, split: str, corpus: Corpus
) -> None:
    before = corpus.training_digest
    changed = Corpus(corpus.folder)
    row = changed._index[changed.utterance_ids(SPLITS[split][0])[1]]
    if name in CHANGES:
        row[name] = CHANGES[name](row)
    else:
        maps = {array: np.array(part) for array, part in open_shard(corpus.folder, 0).items()}
        maps[name][row[ARRAYS[name]]] += 1
        changed._maps[0] = maps
    assert (changed.training_digest != before) == (split == "train")


@pytest.mark.parametrize("part", ["symbols", "statistics", "mel"])
def test_what_all_utterances_share_counts(part: str, corpus: Corpus) -> None:
    others = {
        "symbols": (*corpus.symbols, "~"), "statistics": replace(corpus.statistics, pitch_mean=1.5),
        "mel": replace(corpus.mel, hop_length=99),
    }  # fmt: skip
    before = corpus.training_digest
    changed = Corpus(corpus.folder)
    setattr(changed, part, others[part])
    assert changed.training_digest != before


def test_where_an_utterance_lies_does_not_count(corpus: Corpus) -> None:
    before = corpus.training_digest
    changed = Corpus(corpus.folder)
    changed._index = dict(reversed(changed._index.items()))
    changed._maps[0] = {name: np.concatenate([part[:1], part]) for name, part in open_shard(corpus.folder, 0).items()}
    for row in changed._index.values():
        row.update({unit: row[unit] + 1 for unit in set(ARRAYS.values())})
    assert changed.training_digest == before


def test_joined_corpora_count_the_training_speech_of_all(corpus: Corpus, tmp_path: Path) -> None:
    def joined(name: str, seed: int, **own: list[str]) -> str:
        other = write_corpus(tmp_path / name / "other", {"train": ["ann", "cid"], "test": ["eve"]}, 3, seed)
        other.name = "other"
        return JoinedCorpus(write_corpus(tmp_path / name / "own", own, 3), [other]).training_digest

    first = joined("first", 1, train=["ann"], test=["tom"])
    assert first == joined("one more who tests", 1, train=["ann"], test=["tom", "tim"])
    assert len({first, joined("other speech", 2, train=["ann"], test=["tom"]), joined("one less", 1, test=["ann", "tom"])}) == 3


def test_recogniser_and_aligner_outlive_another_test_speaker_and_not_another_training_utterance(tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def kept(name: str, speakers: dict[str, list[str]], seed: int = 0) -> list[int]:
        """How many recognisers, errors of theirs on test speakers, and aligners the cache then holds."""
        corpus = write_corpus(tmp_path / name, speakers, 3, seed)
        corpus.version = name
        PER(PER.Config(channels=8, blocks=1, hidden=8, epochs=1, max_steps=1)).prepare(MetricContext(corpus, cache, ("tom",)))
        corpus_aligner(corpus, cache)
        return [len(list(cache.glob(pattern))) for pattern in ("recogniser-*.pt", "recogniser-*.json", "aligner-*.pt")]

    assert kept("first", SPLITS) == [1, 1, 1]
    assert kept("another test speaker", {**SPLITS, "test": ["tom", "tim"]}) == [1, 2, 1]
    assert kept("another sentence", SPLITS, seed=1) == [2, 3, 2]


def test_an_aligner_of_held_out_speech_is_of_that_speech(tmp_path: Path) -> None:
    """Where a dataset has no training speakers, its own speech trains the aligner."""
    for name, test in (("one", ["tom"]), ("two", ["tom", "tim"])):
        other = write_corpus(tmp_path / name / "other", {"train": ["ann", "cid"]}, 3, 1)
        other.name = "other"
        own = write_corpus(tmp_path / name / "own", {"test": test}, 3)
        own.version = name
        corpus_aligner(JoinedCorpus(own, [other]), tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("aligner-*.pt"))) == 2
