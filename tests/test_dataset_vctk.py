"""VCTK 0.92: reads the published layout, keeps to the published split, and says what is missing."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError
from benchmark.running.episodes import Manifest, make_manifest, normalised
from benchmark.running.leaks import check_manifest
from benchmark.running.preparation import open_corpus, open_manifest
from benchmark.settings.schema import MAX_EPISODES, MAX_QUERIES, MAX_SHOTS
from benchmark.task import TASK_KINDS
from tests.dataset_helpers import SENTENCES, numbered, vctk

plugin = importlib.import_module("benchmark.datasets.vctk")
VCTK = plugin.VCTK

PEOPLE = {
    "p225": ("F", "English"), "p226": ("M", "English"), "p228": ("F", "English"), "p229": ("F", "English"),
    "p245": ("M", "Irish"), "p252": ("M", "Scottish"), "p280": ("F", "Unknown"), "p315": ("M", "American"), "s5": ("F", "British"),
}  # fmt: skip
TESTS = Path(__file__).parent
COMMITTED = Manifest.load(TESTS.parent / "datasets" / "manifests" / "vctk.json")
LISTING = {
    line.split()[0]: line.split()[1:]
    for line in (TESTS / "golden" / "vctk_0.92.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
}  # fmt: skip
"""Speakers, and of those held out some utterances, as file names in public lists have them."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = vctk(tmp_path_factory.mktemp("vctk"), PEOPLE, SENTENCES[:2])
    # As published: nobody knows what p315 said.
    for path in (folder / "txt" / "p315").iterdir():
        path.unlink()
    return folder


def test_splits(root: Path) -> None:
    dataset = VCTK(root)
    assert dataset.speakers("test") == ["p225", "p245"]
    assert dataset.speakers("validation") == ["p229", "p252"]
    assert dataset.speakers("train") == ["p226", "p228", "s5"]
    assert not set(plugin.TEST) & set(plugin.VALIDATION) and not set(plugin.LEFT_OUT) & {*plugin.TEST, *plugin.VALIDATION}
    assert len(plugin.TEST) == 11 and len(plugin.VALIDATION) == 8


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_no_way_to_write_the_list_of_speakers_loses_one(root: Path, header: bool, end: str, mark: str) -> None:
    expected = [VCTK(root).speakers(split) for split in SPLITS]
    table = root / "speaker-info.txt"
    published = table.read_text(encoding="utf-8")
    lines = published.splitlines()[0 if header else 1 :]
    try:
        table.write_bytes((mark + "".join(line + end for line in lines)).encode())
        assert [VCTK(root).speakers(split) for split in SPLITS] == expected
    finally:
        table.write_text(published, encoding="utf-8")


def test_first_microphone_at_48_khz_with_its_text(root: Path) -> None:
    dataset = VCTK(root)
    first, second = dataset.utterances("p225")
    assert (first.id, first.speaker, first.text) == ("p225_001", "p225", f"{SENTENCES[0]}.")
    assert first.audio == root / "wav48_silence_trimmed" / "p225" / "p225_001_mic1.flac"
    samples, rate = dataset.load(second)
    assert rate == 48_000 and samples.ndim == 1


def test_a_folder_that_holds_the_unpacked_corpus_is_a_root_too(root: Path, tmp_path: Path) -> None:
    """What --download and the archive leave."""
    (tmp_path / "VCTK-Corpus-0.92").symlink_to(root)
    assert VCTK(tmp_path).speakers("test") == ["p225", "p245"]


def test_a_missing_text_is_an_empty_transcript(root: Path) -> None:
    (root / "txt" / "s5" / "s5_002.txt").rename(root / "kept.txt")
    try:
        assert [utterance.text != "" for utterance in VCTK(root).utterances("s5")] == [True, False]
    finally:
        (root / "kept.txt").rename(root / "txt" / "s5" / "s5_002.txt")


def test_a_wrong_root_says_what_was_expected_and_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "wav48").mkdir()
    with pytest.raises(BenchmarkError, match=r"expected wav48_silence_trimmed/.*found: wav48\. Run prepare with --download"):
        VCTK(tmp_path)


def test_a_list_of_speakers_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    folder = vctk(tmp_path, {"p225": PEOPLE["p225"]}, SENTENCES[:1])
    (folder / "speaker-info.txt").write_bytes("ID  AGE  GENDER\np225  23  F  Orléans\n".encode("latin-1"))
    with pytest.raises(BenchmarkError, match=r"speaker-info\.txt, line 2, is not UTF-8 text"):
        VCTK(folder)


def test_a_failing_download_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchaudio.datasets

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchaudio.datasets, "VCTK_092", offline)
    with pytest.raises(BenchmarkError, match=r"VCTK-Corpus-0.92.zip can't be downloaded and unpacked into .*no route to host"):
        VCTK.download(VCTK.__new__(VCTK), tmp_path / "new")


def test_sentences_that_everybody_reads_are_never_queries(tmp_path: Path) -> None:
    """From the files on disk to episodes: the shared sentences may be support, the others are asked for."""
    shared = [f"{each} again" for each in SENTENCES]
    people = {"p225": "Anna", "p226": "Peter", "p228": "Maria", "p229": "Simon"}
    nouns = ("boat", "tower", "window", "garden", "letter", "candle", "basket", "mirror", "pocket", "saddle", "ladder", "kettle")
    read = {speaker: numbered([*shared, *(f"{name} has the {noun} now" for noun in nouns)]) for speaker, name in people.items()}
    corpus = open_corpus("vctk", None, vctk(tmp_path / "data", {s: PEOPLE[s] for s in people}, read), tmp_path / "cache", 1, ())
    assert corpus.report["skipped"] == {}
    asked = {normalised(corpus.text(name)) for some in make_manifest(corpus).episodes.values() for e in some for name in e.query}
    assert asked and not asked & {normalised(text) for text in shared}


class Listed:
    """The files of a tree as a corpus, unheard."""

    name, task = "vctk", TASK_KINDS["speaker"]

    def __init__(self, root: Path) -> None:
        dataset = VCTK(root)
        self.targets = dataset.speakers
        self.by_speaker = {s: [u.id for u in dataset.utterances(s)] for split in SPLITS for s in dataset.speakers(split)}
        self.texts = {u.id: u.text for s in self.by_speaker for u in dataset.utterances(s)}
        self.utterances_of = self.by_speaker.__getitem__
        self.text = self.texts.__getitem__

    def __contains__(self, utterance: str) -> bool:
        return utterance in self.texts


@pytest.fixture
def listed(tmp_path: Path) -> Any:
    """The published tree as far as the list of it goes: file names are real, sound is absent, each text is its file's name."""
    for speaker, numbers in LISTING.items():
        for folder, ending in (("wav48_silence_trimmed", "_mic1.flac"), ("txt", ".txt")):
            (tmp_path / folder / speaker).mkdir(parents=True)
            for number in numbers:
                (tmp_path / folder / speaker / f"{speaker}_{number}{ending}").write_text(f"{speaker} {number}")
    (tmp_path / "speaker-info.txt").write_text("ID  AGE  GENDER\n" + "".join(f"{speaker}  23  F\n" for speaker in LISTING))
    return Listed(tmp_path)


def test_the_committed_episodes_are_what_the_harness_draws(listed: Any) -> None:
    assert make_manifest(listed) == COMMITTED
    check_manifest(COMMITTED, listed)


def test_the_committed_split_is_the_published_one() -> None:
    assert COMMITTED.targets["test"] == plugin.TEST and COMMITTED.targets["validation"] == plugin.VALIDATION
    assert set().union(*COMMITTED.targets.values()) == set(LISTING) - set(plugin.LEFT_OUT)
    assert [len(COMMITTED.targets[split]) for split in SPLITS] == [89, 8, 11]
    assert {"s5", "p362"} <= set(COMMITTED.targets["train"])


def test_the_committed_episodes_hold_no_shared_sentence() -> None:
    """Numbers 1 to 24 are the same text for all; support and query of an episode are distinct utterances."""
    for split in SPLITS[1:]:
        assert len(COMMITTED.episodes[split]) == MAX_EPISODES * len(COMMITTED.targets[split])
        for episode in COMMITTED.episodes[split]:
            used = (*episode.support, *episode.query)
            assert len(set(used)) == MAX_SHOTS + MAX_QUERIES == len(used)
            assert all(name.startswith(f"{episode.target}_") and int(name[-3:]) > 24 for name in used)


def test_a_tree_is_served_the_committed_episodes(tmp_path: Path) -> None:
    """From sound and text on disk to the committed episodes of its speakers; the speakers that it lacks are missed."""
    things = [f"The {noun} was {colour} on {day}" for noun in ("boat", "tower", "garden") for colour in ("red", "green", "yellow")
              for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")]  # fmt: skip
    people = {name: PEOPLE[name] for name in ("p225", "p226", "p228", "p229")}
    read = {name: dict(zip(LISTING[name], things, strict=True)) if LISTING[name] else numbered(SENTENCES) for name in people}
    corpus = open_corpus("vctk", None, vctk(tmp_path / "data", people, read), tmp_path / "cache", 1, ())
    assert corpus.report["skipped"] == {}
    mine = {split: tuple(e for e in some if e.target in people) for split, some in COMMITTED.episodes.items()}
    check_manifest(replace(COMMITTED, episodes=mine), corpus)
    assert make_manifest(corpus).episodes == mine and [len(some) for some in mine.values()] == [MAX_EPISODES, MAX_EPISODES]
    with pytest.raises(BenchmarkError, match=r"^Utterance p234_\d{3}, which episode 0 of speaker p234 needs, is not in the prepared"):
        open_manifest(corpus, ())
