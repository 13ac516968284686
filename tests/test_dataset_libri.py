"""LibriTTS, LibriSpeech and LJ Speech, in exactly the layouts that they are published in."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data.chunks import make_chunks
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.running.preparation import Sources, open_corpora, open_dataset
from benchmark.settings.config import Plugin

LibriTTS = importlib.import_module("benchmark.datasets.libritts").LibriTTS
LibriSpeech = importlib.import_module("benchmark.datasets.librispeech").LibriSpeech
VCTK = importlib.import_module("benchmark.datasets.vctk").VCTK
LJSpeech = importlib.import_module("benchmark.datasets.ljspeech").LJSpeech
SUBSETS = {"train-clean-100": ("19", "26"), "train-other-500": ("20",), "dev-clean": ("84",), "test-clean": ("1089",)}


def record(path: Path, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, rate), rate)


@pytest.fixture
def libritts(tmp_path: Path) -> Path:
    root = tmp_path / "LibriTTS"
    for subset, speakers in SUBSETS.items():
        for speaker in speakers:
            stem = root / subset / speaker / "198" / f"{speaker}_198_000000_000000"
            record(stem.with_name(f"{stem.name}.wav"), 24_000)
            stem.with_name(f"{stem.name}.normalized.txt").write_text("Northanger Abbey, eighteen oh three.\n")
            stem.with_name(f"{stem.name}.original.txt").write_text("Northanger Abbey, 1803.\n")
    (root / "speakers.tsv").write_text("READER\tGENDER\tSUBSET\tNAME\n19\tF\ttrain-clean-100\tKara Shallenberg\n")
    return tmp_path


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    root = tmp_path / "LibriSpeech"
    for subset, speakers in SUBSETS.items():
        for speaker in speakers:
            folder = root / subset / speaker / "198"
            for number in range(2):
                record(folder / f"{speaker}-198-000{number}.flac", 16_000)
            lines = [f"{speaker}-198-000{number} NORTHANGER ABBEY {number}" for number in range(2)]
            (folder / f"{speaker}-198.trans.txt").write_text("\n".join(lines) + "\n")
    (root / "SPEAKERS.TXT").write_text("; comments\n19 | F | train-clean-100 | 25.1 | Kara Shallenberg\n")
    return tmp_path


def test_subsets_are_splits_and_texts_are_the_normalised_ones(libritts: Path) -> None:
    for root in (libritts, libritts / "LibriTTS"):
        dataset = LibriTTS(root)
        assert {split: list(dataset.speakers(split)) for split in SPLITS} == {
            "train": ["19", "20", "26"], "validation": ["84"], "test": ["1089"],
        }  # fmt: skip
        (utterance,) = dataset.utterances("19")
        assert (utterance.id, utterance.text) == ("19_198_000000_000000", "Northanger Abbey, eighteen oh three.")
        assert dataset.load(utterance)[1] == 24_000


def test_readers_have_the_labels_of_their_table(libritts: Path) -> None:
    (utterance,) = LibriTTS(libritts).utterances("19")
    assert utterance.labels == {"sex": "f", "name": "Kara Shallenberg"}
    (unlisted,) = LibriTTS(libritts).utterances("84")
    assert unlisted.labels == {}
    table = libritts / "LibriTTS" / "speakers.tsv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r") + b"84\tM\r")  # a row may be short
    (listed,), (short,) = (LibriTTS(libritts).utterances(reader) for reader in ("19", "84"))
    assert listed.labels == utterance.labels and short.labels == {"sex": "m"}
    table.unlink()
    assert LibriTTS(libritts).utterances("19")[0].labels == {}


def test_the_restored_copy_has_the_same_layout(libritts: Path) -> None:
    (libritts / "LibriTTS").rename(libritts / "LibriTTS_R")
    assert LibriTTS(libritts).speakers("test") == ["1089"]


def test_some_subsets_alone(libritts: Path) -> None:
    chosen = LibriTTS.Config(subsets=("train-clean-100", "dev-clean", "test-clean"))
    assert LibriTTS(libritts, chosen).speakers("train") == ["19", "26"]
    with pytest.raises(BenchmarkError, match="has no subset train-clean-360; it has dev-clean, test-clean, train-clean-100"):
        LibriTTS(libritts, LibriTTS.Config(subsets=("train-clean-360",)))


def test_librispeech_texts_come_from_its_chapters(librispeech: Path) -> None:
    dataset = LibriSpeech(librispeech)
    first, second = dataset.utterances("1089")
    assert (first.id, first.text, second.text) == ("1089-198-0000", "NORTHANGER ABBEY 0", "NORTHANGER ABBEY 1")
    assert dataset.load(first)[1] == 16_000


def test_one_line_that_is_not_utf8_loses_one_utterance(librispeech: Path, libritts: Path) -> None:
    table = librispeech / "LibriSpeech" / "test-clean" / "1089" / "198" / "1089-198.trans.txt"
    table.write_bytes(table.read_bytes().replace(b"ABBEY 1", b"ABB\xc9 1"))
    assert [(each.text, each.unusable) for each in LibriSpeech(librispeech).utterances("1089")] == [
        ("NORTHANGER ABBEY 0", ""), ("", "not UTF-8 text"),
    ]  # fmt: skip
    readers = libritts / "LibriTTS" / "speakers.tsv"
    readers.write_bytes(readers.read_bytes().replace(b"Kara", b"K\xe4ra"))
    assert LibriTTS(libritts).utterances("19")[0].labels == {"sex": "f", "name": "K\\xe4ra Shallenberg"}


def test_a_reader_in_two_splits_is_refused(librispeech: Path) -> None:
    record(librispeech / "LibriSpeech" / "dev-clean" / "19" / "199" / "19-199-0000.flac", 16_000)
    with pytest.raises(BenchmarkError, match="puts speaker 19 into train and into validation"):
        make_chunks(LibriSpeech(librispeech), None, 0)
    record(librispeech / "LibriSpeech" / "train-other-500" / "26" / "199" / "26-199-0000.flac", 16_000)
    chosen = LibriSpeech(librispeech, LibriSpeech.Config(subsets=("train-clean-100", "train-other-500", "test-clean")))
    assert chosen.speakers("train") == ["19", "20", "26"] and len(chosen.utterances("26")) == 3


def test_lj_speech_is_one_speaker_and_says_so(tmp_path: Path) -> None:
    root = tmp_path / "LJSpeech-1.1"
    record(root / "wavs" / "LJ001-0001.wav", 22_050)
    (root / "metadata.csv").write_text("LJ001-0001|In 1455,|In fourteen fifty-five,\n")
    dataset = LJSpeech(tmp_path)
    assert [list(dataset.speakers(split)) for split in SPLITS] == [[], [], ["linda_johnson"]]
    assert dataset.utterances("linda_johnson")[0].text == "In fourteen fifty-five,"
    sources = Sources(Plugin("ljspeech"), data_root=tmp_path)
    with pytest.raises(UsageError, match=r"ljspeech has 0 training speakers, .* its 1 held-out speaker with --pretrain.dataset"):
        open_corpora(sources, "test", tmp_path / "cache", 1, ())
    assert not (tmp_path / "cache").exists()


def test_half_a_corpus_beside_its_archive_is_not_used(libritts: Path, tmp_path: Path) -> None:
    (tmp_path / "test-other.tar.gz").touch()
    assert LibriTTS(libritts).speakers("test") == ["1089"], "another subset's archive"
    (tmp_path / "test-clean.tar.gz").touch()
    with pytest.raises(BenchmarkError, match=r"test-clean may be half unpacked, because test-clean\.tar\.gz .* 'prepare --download'"):
        LibriTTS(libritts)
    LibriTTS(libritts, LibriTTS.Config(subsets=("train-clean-100", "dev-clean")))
    for plugin, name, folder in ((LJSpeech, "LJSpeech-1.1.tar.bz2", "LJSpeech-1.1"), (VCTK, "VCTK-Corpus-0.92.zip", "VCTK-Corpus-0.92")):
        (tmp_path / folder).mkdir()
        (tmp_path / name).touch()
        with pytest.raises(BenchmarkError, match=rf"{folder} may be half unpacked"):
            plugin(tmp_path)


@pytest.mark.parametrize("plugin", [LibriTTS, LibriSpeech, LJSpeech])
def test_another_folder_says_what_is_expected(plugin: type, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected"):
        plugin(tmp_path)


@pytest.mark.parametrize("name", ["libritts", "librispeech", "ljspeech"])
def test_a_download_that_fails_says_what_to_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(f"torchaudio.datasets.{name.upper()}", fail)
    with pytest.raises(BenchmarkError, match=r"can't be downloaded and unpacked into .*/data: no network; run the same command again\."):
        open_dataset(name, None, tmp_path / "data", (), download=True)


@pytest.mark.parametrize("name", ["libritts", "librispeech"])
def test_the_named_subsets_are_downloaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def made(root: str, url: str, download: bool) -> None:
        fetched.append(url)
        (Path(root) / plugin.folders[0] / url).mkdir(parents=True)

    monkeypatch.setattr(f"torchaudio.datasets.{name.upper()}", made)
    plugin = {"libritts": LibriTTS, "librispeech": LibriSpeech}[name]
    for config in (None, plugin.Config(subsets=("train-clean-360", "dev-other"))):
        open_dataset(name, config, tmp_path, (), download=True)
    assert fetched == ["dev-clean", "test-clean", "train-clean-100", "train-clean-360", "dev-other"]
