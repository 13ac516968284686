"""A corpus made of several: whose speech is learned from, who is held out, and what keeps the two apart."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data import shards
from benchmark.data.corpus import Corpus
from benchmark.data.enough import Sizes
from benchmark.data.joined import JoinedCorpus
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.running.episodes import TaskSampler, make_manifest
from benchmark.running.pretraining import BatchSampler, speaker_index
from benchmark.settings.schema import MetaSettings
from benchmark.utterance import spelled
from tests.metric_helpers import PHONES, write_corpus

OTHER = {"train": ["a", "b", "c"], "validation": ["v"], "test": ["t"]}


def written(place: Path, speakers: dict[str, list[str]], seed: int, name: str, task: str = "speaker", **more: Any) -> Corpus:
    corpus = write_corpus(place / name, speakers, 12, seed, task, **more)
    corpus.name = name
    found = shards.statistics(corpus._index.values(), corpus.folder / "shards")
    corpus.statistics = replace(corpus.statistics, mel_mean=tuple(found["mel_mean"]), mel_std=tuple(found["mel_std"]))
    return corpus


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Corpus, Corpus]:
    """One held-out speaker, who speaks with a phone of their own, and two corpora to learn from."""
    place = tmp_path_factory.mktemp("joined")
    own = written(place, {"test": ["ann"]}, 1, "mine")
    own.symbols = tuple("~" if symbol == PHONES[0] else symbol for symbol in own.symbols)
    for row in own._index.values():
        row["words"] = [["~" if phone == PHONES[0] else phone for phone in word] for word in row["words"]]
    return own, written(place, OTHER, 2, "many"), written(place, {"train": ["a", "z"]}, 3, "more")


def test_training_speech_is_the_others_and_held_out_targets_are_the_datasets(parts: tuple[Corpus, Corpus, Corpus]) -> None:
    joined = JoinedCorpus(parts[0], parts[1:])
    assert joined.targets("train") == ["many/a", "many/b", "many/c", "more/a", "more/z"] == joined.speakers("train")
    assert [joined.targets(split) for split in SPLITS[1:]] == [[], ["ann"]]
    # Nobody who is held out anywhere is there to be trained on.
    batches = BatchSampler(joined, 8, 0)
    sampler = TaskSampler(joined, speaker_index(joined), MetaSettings(tasks=3, support=2, query=2), 0)
    heard = {name.rpartition("-")[0] for name in batches._sorted} | set(sampler._targets)
    assert heard == set(joined.speakers("train"))
    assert {index for step in range(20) for index in batches(step).speakers.tolist()} == set(range(5))


def test_utterances_are_the_parts_own_with_tokens_of_the_joint_symbols(parts: tuple[Corpus, Corpus, Corpus]) -> None:
    joined = pickle.loads(pickle.dumps(JoinedCorpus(parts[0], parts[1:])))  # as workers get it
    assert joined.symbols[: len(joined.symbols) - len(PHONES) - 1] == parts[0].symbols[: -len(PHONES)]
    assert set(joined.symbols) == {*parts[0].symbols, *parts[1].symbols}
    for name, part, inner in (("ann-003", parts[0], "ann-003"), ("many/b-002", parts[1], "b-002"), ("more/a-000", parts[2], "a-000")):
        found, known = joined[name], part[inner]
        assert found.id == name and found.speaker == name.rpartition("-")[0]
        assert [joined.symbols[token] for token in found.tokens] == [part.symbols[token] for token in known.tokens]
        assert np.array_equal(found.mel, known.mel) and np.array_equal(found.audio, known.audio) and found.words == known.words
        assert (joined.text(name), joined.frames(name)) == (part.text(inner), part.frames(inner))


def test_statistics_are_those_of_all_training_speech(parts: tuple[Corpus, Corpus, Corpus]) -> None:
    own, many, more = parts
    assert JoinedCorpus(own, [many]).statistics == many.statistics
    joined = JoinedCorpus(own, [many, more])
    mels = np.concatenate([joined[name].mel for speaker in joined.speakers("train") for name in joined.utterance_ids(speaker)])
    np.testing.assert_allclose(joined.statistics.mel_mean, mels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(joined.statistics.mel_std, mels.std(0), rtol=1e-4)
    assert joined.statistics.mel_mean != many.statistics.mel_mean


def test_versions_episodes_and_phones_nobody_learned(parts: tuple[Corpus, Corpus, Corpus]) -> None:
    own, many, more = parts
    joined = JoinedCorpus(own, [many, more])
    assert joined.version == "v1+v2+v3" and joined.name == "mine" and joined.own is own
    assert own.own is own
    # Episodes don't depend on what else is learned from.
    manifest = make_manifest(joined.own, Sizes(5, 2))
    assert manifest == make_manifest(own, Sizes(5, 2)) and manifest.adapted_to("test") == ["ann"]
    strange, share = joined.unheard(["ann"])
    said = [phone for name in own.utterances_of("ann") for phone in own[name].phones]
    assert strange == ["~"] and share == pytest.approx(said.count("~") / len(said)) and share > 0
    assert many.unheard(["t"]) == ([], 0.0)


def test_what_leaks_or_clashes_is_refused(parts: tuple[Corpus, Corpus, Corpus], tmp_path: Path) -> None:
    own, many, more = parts
    with pytest.raises(UsageError, match="many is named twice"):
        JoinedCorpus(many, [more, many])
    # The same recordings in another folder, where the speaker trains.
    copied = written(tmp_path, {"train": ["ann", "else"]}, 1, "copied")
    copied.version = "v9"
    original = Corpus(own.folder)
    with pytest.raises(BenchmarkError, match=r"Speaker leak: utterance ann-000 is held out in tones, .* of copied \(ann-000\)"):
        JoinedCorpus(original, [copied])
    clash = written(tmp_path, {"train": ["many/a"], "test": ["x"]}, 5, "clash")
    with pytest.raises(BenchmarkError, match=r"by many/a; rename it in clash"):
        JoinedCorpus(clash, [many])


def test_a_language_is_not_learned_from_elsewhere_where_it_is_held_out(tmp_path: Path) -> None:
    speaks: Callable[[str], Callable[[str, int], dict[str, str]]] = lambda language: lambda *_: {"language": language}  # noqa: E731
    own = written(tmp_path, {"test": ["ann", "bea"]}, 1, "mine", "language", facts=speaks("de"))
    english = written(tmp_path, OTHER, 2, "english", "language", facts=speaks("en-us"))
    joined = JoinedCorpus(own, [english])
    assert (joined.targets("train"), joined.targets("test")) == (["en-us"], ["de"])
    german = written(tmp_path, OTHER, 3, "german", "language", facts=speaks("de"))
    with pytest.raises(BenchmarkError, match="Language leak: de is in the test split of mine and in the training speech"):
        JoinedCorpus(own, [german])


def test_what_cannot_be_learned_from_is_left_out_of_training_alone(parts: tuple[Corpus, Corpus, Corpus]) -> None:
    whole = JoinedCorpus(parts[0], parts[1:])
    every = [name for speaker in whole.speakers("train") for name in whole.utterance_ids(speaker)]
    fit = whole.frames(every[0]), spelled(whole.text(every[0]))
    assert whole.learning_from(lambda *_: True).left_out() == "" == whole.left_out()
    less = pickle.loads(pickle.dumps(whole.learning_from(lambda frames, text: (frames, text) != fit)))
    lost = [name for name in every if (whole.frames(name), spelled(whole.text(name))) == fit]
    for find in (less.utterance_ids, less.utterances_of):
        assert [name for speaker in less.speakers("train") for name in find(speaker)] == [name for name in every if name not in lost]
    assert less.utterance_ids("ann") == whole.utterance_ids("ann") and less.characters == whole.characters
    assert less.left_out().startswith(f"{len(lost)} training recording") and f"too long for the recording: {lost[0]}" in less.left_out()
    with pytest.raises(UsageError, match="No training recording of mine can be learned from: the transcript spells nothing"):
        whole.learning_from(lambda *_: False)
