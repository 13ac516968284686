"""``--task cross_lingual``: a speaker is heard in one language and asked for another."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.data.corpus import Corpus
from benchmark.data.enough import Sizes, for_episode, for_task
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.running.episodes import FULL, Manifest, TaskSampler, draw_manifest, episode_targets, make_manifest, task_targets
from benchmark.running.leaks import check_manifest
from benchmark.settings.schema import MetaSettings
from benchmark.utterance import PreparedUtterance
from tests.cli_helpers import refused
from tests.dataset_helpers import in_languages
from tests.metric_helpers import write_corpus
from tests.test_examples import LISTENS

espeak = importlib.import_module("benchmark.datasets.espeak")
SPEAKERS = {"train": ["t1", "t2", "t3"], "validation": ["v1", "v2"], "test": ["u1", "u2", "u3"]}
SPOKEN = {"t1": ("de", "es"), "t2": ("de", "es", "sv"), "t3": ("de",), "v1": ("es", "sv"), "v2": ("de", "sv"),
          "u1": ("de", "es"), "u2": ("de", "es", "sv"), "u3": ("sv",)}  # fmt: skip
UTTERANCES = 36


def languages(speaker: str, index: int) -> dict[str, str]:
    """A speaker's languages take turns."""
    return {"language": SPOKEN[speaker][index % len(SPOKEN[speaker])]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cross") / "corpus"
    write_corpus(place, SPEAKERS, UTTERANCES, facts=languages)
    return place


@pytest.fixture
def corpus(folder: Path) -> Corpus:
    return Corpus(folder, "cross_lingual")


def spoken(corpus: Corpus, names: Iterable[str]) -> set[str]:
    return {corpus[name].language for name in names}


def test_targets_are_the_speakers_of_several_languages_and_the_others_are_named(corpus: Corpus) -> None:
    assert {split: corpus.targets(split) for split in SPLITS} == {"train": ["t1", "t2"], "validation": ["v1", "v2"], "test": ["u1", "u2"]}
    assert corpus.left_out() == (
        "2 speakers of tones have one language each and are left out, because queries are in another than the support set: "
        "t3 (de), u3 (sv)."
    )
    found = corpus.by_language("u2")
    assert list(found) == ["de", "es", "sv"] and sorted(itertools.chain(*found.values())) == corpus.utterances_of("u2")


def test_each_episode_is_heard_in_one_language_and_asked_in_another(corpus: Corpus) -> None:
    manifest = make_manifest(corpus)
    check_manifest(manifest, corpus)
    assert manifest == make_manifest(corpus) and manifest.task == "cross_lingual"
    pairs: dict[str, set[tuple[str, str]]] = {}
    for episode in (*manifest.episodes["validation"], *manifest.episodes["test"]):
        (heard,), (asked,) = spoken(corpus, episode.support), spoken(corpus, episode.query)
        assert heard != asked and (len(episode.support), len(episode.query)) == (FULL.shots, FULL.queries)
        assert len(episode.enrolment(corpus)) == UTTERANCES - FULL.shots - FULL.queries
        pairs.setdefault(episode.target, set()).add((heard, asked))
    seeds = (make_manifest(corpus, Sizes(2, 2), seed).episodes["test"] for seed in range(20))
    for episode in itertools.chain(*seeds):
        (heard,), (asked,) = spoken(corpus, episode.support), spoken(corpus, episode.query)
        pairs[episode.target].add((heard, asked))
    assert pairs["u1"] == {("de", "es"), ("es", "de")} and len(pairs["u2"]) == 6, "every pair has its turn"


def test_each_training_task_is_heard_in_one_language_and_asked_in_another(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[list[PreparedUtterance]] = []

    def many(self: Corpus, names: Iterable[str]) -> list[PreparedUtterance]:
        handed.append([self[name] for name in names])
        return handed[-1]

    monkeypatch.setattr(Corpus, "many", many)
    sampler = TaskSampler(corpus, {"t1": 0, "t2": 1, "t3": 2}, MetaSettings(tasks=2, support=4, query=3), 0)
    pairs = set()
    for step in range(30):
        tasks = sampler(step)
        assert [(len(each.support), len(each.query)) for each in tasks] == [(4, 3)] * 2
        for support, query in zip(handed[::2], handed[1::2], strict=True):
            (heard,), (asked,) = ({each.language for each in some} for some in (support, query))
            assert heard != asked and len({each.speaker for each in (*support, *query)}) == 1
            assert len({each.id for each in (*support, *query)}) == 7
            pairs.add((heard, asked))
        first = [[each.id for each in some] for some in handed]
        handed.clear()
        sampler(step)
        assert [[each.id for each in some] for some in handed] == first, "a step's tasks depend on nothing but seed and step"
        handed.clear()
    assert len(pairs) == 6


def changed(manifest: Manifest, target: str, **changes: tuple[str, ...]) -> Manifest:
    some = tuple(replace(e, **changes) if e.target == target else e for e in manifest.episodes["test"])  # type: ignore[arg-type]
    return replace(manifest, episodes={**manifest.episodes, "test": some})


def test_an_episode_that_leaks_is_refused(corpus: Corpus) -> None:
    manifest = make_manifest(corpus)
    episode = next(each for each in manifest.episodes["test"] if each.target == "u1")
    (heard,), (asked,) = spoken(corpus, episode.support), spoken(corpus, episode.query)
    same = corpus.by_language("u1")[heard]
    rest = tuple(name for name in same if name not in episode.support)
    with pytest.raises(BenchmarkError, match=rf"^Language leak: in episode \d of speaker u1 the support set is in {heard} and the queries "
                       rf"are in {heard}; each must be in one language, and not in the same\.$"):  # fmt: skip
        check_manifest(changed(manifest, "u1", query=rest[:4]), corpus)
    with pytest.raises(BenchmarkError, match=rf"the queries are in {', '.join(sorted((heard, asked)))};"):
        check_manifest(changed(manifest, "u1", query=(rest[0], *episode.query[1:])), corpus)
    with pytest.raises(BenchmarkError, match="Speaker leak: episode 0 of speaker u1 holds an utterance of another"):
        check_manifest(changed(manifest, "u1", support=("u2-000", *episode.support[1:])), corpus)
    moved = replace(manifest, targets={**manifest.targets, "train": (*manifest.targets["train"], "u1")})
    with pytest.raises(BenchmarkError, match=r"^Speaker leak: u1 is in both the train and the test split"):
        check_manifest(moved, corpus)
    with pytest.raises(BenchmarkError, match="they are of different releases of"):
        check_manifest(manifest, Corpus(corpus.folder))


def test_who_has_too_little_in_a_language_is_left_out_and_named(tmp_path: Path) -> None:
    def sparse(speaker: str, index: int) -> dict[str, str]:
        return {"language": "es" if index < 2 else "de"} if speaker in ("u1", "t1") else languages(speaker, index)

    corpus = write_corpus(tmp_path / "corpus", SPEAKERS, UTTERANCES, task="cross_lingual", facts=sparse)
    kept, left_out = episode_targets(corpus, make_manifest(corpus), FULL, "test")
    assert kept == ["u2"] and left_out == (
        "1 of 2 test speakers has fewer than the 16 utterances that 10 shots in one language, 4 queries in another and a centroid of 2 "
        "need and is left out: u1 (14 of 36 fit)."
    )
    assert draw_manifest(corpus, Sizes(10, 2)).adapted_to("test") == ["u1", "u2"], "two queries in Spanish are enough"
    kept, left_out = task_targets(corpus, MetaSettings(support=4, query=3))
    assert kept == ["t2"] and "that a task's support of 4 in one language and query of 3 in another need" in left_out
    with pytest.raises(UsageError, match=r"lower meta\.support or meta\.query"):
        task_targets(corpus, MetaSettings(support=30, query=3))


def test_a_corpus_of_one_language_each_is_refused(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", SPEAKERS, 2, task="cross_lingual")
    sentence = r"^tones has no test speakers with usable audio to adapt to; a speaker needs at least 2 languages\. 8 speakers of tones have"
    with pytest.raises(BenchmarkError, match=sentence):
        episode_targets(corpus, make_manifest(corpus), FULL, "test")


def test_what_is_said_to_suffice_can_be_drawn_and_nothing_else_can() -> None:
    """Against all assignments of distinct sentences, on small cases with sentences that repeat within and across languages."""
    generator, outcomes = np.random.default_rng(0), set()
    for _ in range(400):
        said = {name: [str(n) for n in generator.integers(0, 7, generator.integers(1, 6))] for name in ("a", "b")}
        shared = {"0"}
        need = for_episode(Sizes(2, 2), crosses=True)
        for pair in itertools.permutations(said):
            heard, asked = (said[name] for name in pair)
            enough = len(set(heard) - set(asked)) >= 2 and len(set(asked) - shared) >= 2 and sum(map(len, said.values())) >= 6
            assert (pair in need.pairs(said, shared)) == enough
            outcomes.add(enough)
        assert (need.fitting(said, shared) == need.utterances) == bool(need.pairs(said, shared))
    assert outcomes == {True, False}
    assert for_task(2, 1, crosses=True).pairs({"a": ["x", "x"], "b": ["x"]}) == [("a", "b")], "tasks may repeat sentences"


def test_the_embedded_voices_speak_several_languages_and_held_out_ones_nothing_that_is_heard_in_training() -> None:
    dataset = espeak.Espeak()
    dataset.pose("cross_lingual")
    readers: dict[str, set[str]] = {}
    said: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for speaker in dataset.speakers(split):
            utterances = dataset.utterances(speaker)
            spoken_by = {utterance.language for utterance in utterances}
            assert len(spoken_by) >= 2 and len(utterances) == 12 * len(spoken_by)
            assert len({dataset._voice(u).name.partition("+")[2] for u in utterances}) == 1, "one variant is one speaker"
            for language in spoken_by:
                readers.setdefault(language, set()).add(speaker)
            said[split] |= {utterance.text for utterance in utterances}
    assert [len(dataset.speakers(split)) for split in SPLITS] == [16, 4, 6] and len(readers) == 10
    assert not said["train"] & (said["validation"] | said["test"])
    assert all(2 * len(some) <= 26 for some in readers.values()), "no sentence is read by most"
    training = set(dataset.speakers("train"))
    assert all(some & training for some in readers.values()), "held-out voices speak no language that training does not"


POLYGLOTS = {
    "train": {"boris": ("de", "es"), "andrea": ("de", "es")}, "validation": {"f5": ("de", "it")},
    "test": {"grandma": ("cs", "es"), "sandro": ("it", "sv")},
}  # fmt: skip
TINY = ["--preset", "smoke", "--fast-dev-run", "--workers", "1", "--shots", "2", "--algo", "reptile", "--algo.inner_lr", "0.0001"]


@pytest.fixture
def small() -> Iterator[None]:
    """The embedded corpus with fewer voices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(espeak, "POLYGLOTS", POLYGLOTS)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for this module's corpora."""
    return tmp_path_factory.mktemp("cache")


def run(output: Path, *words: object) -> tuple[dict[str, object], list[dict[str, str]]]:
    """A run's result and its rows."""
    assert main(["run", *TINY, "--task", "cross_lingual", "--output", str(output), *map(str, words)]) == 0
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    with (folder / "episodes.csv").open() as stream:
        return json.loads((folder / "result.json").read_text()), list(csv.DictReader(stream))


@pytest.mark.usefixtures("in_this_process", "small")
@pytest.mark.parametrize("problem", ["synthesis", "recognition"])
def test_a_run_on_the_embedded_voices(problem: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = LISTENS if problem == "recognition" else ["--metrics", "speaker_similarity"]
    result, rows = run(tmp_path, "--dataset", "espeak", "--dataset.sentences", "4", "--cache", store, *words)
    assert (result["task"], result["problem"]) == ("cross_lingual", problem)
    assert {row["speaker"] for row in rows} == {"grandma", "sandro"}
    assert all(float(row["cer" if problem == "recognition" else "speaker_similarity"]) > 0 for row in rows)
    table, said = "espeak-recognition-cross_lingual" if problem == "recognition" else "espeak-cross_lingual", capsys.readouterr().out
    assert f"Leaderboard of your runs: {tmp_path / table}.csv" in said
    strange = {"recognition": "characters to write are in no training transcript, so no model can write them: ", "synthesis":
               "phonemes to say are in no training speech, so their embeddings are untrained: "}  # fmt: skip
    assert re.search(rf"^\d+\.\d% of the {strange[problem]}\S", said, re.MULTILINE), "Czech, Italian and Swedish have some"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the columns language and split; "mono" speaks German alone."""
    voices = {"f2": ("de", "es", "train"), "m3": ("de", "es", "train"), "f4": ("de", "es", "validation"), "m1": ("es", "de", "test"),
              "mono": ("de", "", "test")}  # fmt: skip
    said = (
        (speaker, language, split, "m2" if speaker == "mono" else speaker, text)
        for place, (speaker, (*tongues, split)) in enumerate(voices.items())
        for language in filter(None, tongues)
        for text in espeak.sentences_in(language)[4 * place : 4 * place + 4]
    )
    return in_languages(tmp_path_factory.mktemp("recordings"), said)


@pytest.mark.usefixtures("in_this_process")
def test_a_run_on_a_folder_leaves_out_who_speaks_one_language(
    recordings: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dataset", "folder", "--data-root", recordings, "--metrics", "mcd", "--cache", store]
    _, rows = run(tmp_path, *words)
    assert {row["speaker"] for row in rows} == {"m1"}
    sentence = "1 speaker of folder has one language and is left out, because queries are in another than the support set: mono (de)."
    assert sentence in capsys.readouterr().out
    prepare = ["prepare", "--dataset", "folder", "--data-root", str(recordings), "--cache", str(store), "--workers", "1"]
    assert main([*prepare, "--task", "cross_lingual"]) == 0
    assert sentence in (said := capsys.readouterr().out) and "shots in one language" in said
    said = refused(["run", *TINY, "--dataset", "vctk", "--task", "cross_lingual", "--cache", store, "--output", tmp_path], 2, capsys)
    assert "vctk has no --task cross_lingual; it has speaker." in said
