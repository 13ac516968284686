"""VCTK 0.92: reads the published layout, keeps to the published split, and says what is missing."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from benchmark.corpora import open_corpus
from benchmark.episodes import make_manifest, normalised
from benchmark.errors import BenchmarkError
from tests.dataset_helpers import SENTENCES, vctk

plugin = importlib.import_module("benchmark.datasets.vctk")
VCTK = plugin.VCTK

PEOPLE = {
    "p225": ("F", "English"), "p226": ("M", "English"), "p228": ("F", "English"), "p229": ("F", "English"),
    "p245": ("M", "Irish"), "p252": ("M", "Scottish"), "p280": ("F", "Unknown"), "p315": ("M", "American"), "s5": ("F", "British"),
}  # fmt: skip


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


def test_a_failing_download_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchaudio.datasets

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchaudio.datasets, "VCTK_092", offline)
    with pytest.raises(BenchmarkError, match=r"VCTK can't be downloaded into .*no route to host"):
        VCTK.download(VCTK.__new__(VCTK), tmp_path / "new")


def test_sentences_that_everybody_reads_are_never_queries(tmp_path: Path) -> None:
    """From the files on disk to episodes: the shared sentences may be support, the others are asked for."""
    shared = [f"{each} again" for each in SENTENCES]
    people = {name: PEOPLE[name] for name in ("p225", "p226", "p228", "p229")}
    folder = vctk(tmp_path / "data", people, shared)
    nouns = ("boat", "tower", "window", "garden", "letter", "candle", "basket", "mirror", "pocket", "saddle", "ladder", "kettle")
    for number, (speaker, person) in enumerate(people.items()):
        own = [f"{name.capitalize()} has the {noun} now" for noun in nouns for name in [("anna", "peter", "maria", "simon")[number]]]
        vctk(tmp_path / "own", {speaker: person}, own)
        for index in range(1, len(own) + 1):
            for kind, ending in (("wav48_silence_trimmed", "_mic1.flac"), ("txt", ".txt")):
                source = tmp_path / "own" / kind / speaker / f"{speaker}_{index:03d}{ending}"
                source.rename(folder / kind / speaker / f"{speaker}_{index + len(shared):03d}{ending}")
    corpus = open_corpus("vctk", None, folder, tmp_path / "cache", 1, ())
    assert corpus.report["skipped"] == {}
    asked = {normalised(corpus.text(name)) for some in make_manifest(corpus).episodes.values() for e in some for name in e.query}
    assert asked and not asked & {normalised(text) for text in shared}
