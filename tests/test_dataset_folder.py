"""A folder of recordings in each layout that people keep them in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data.espeak import VoiceSettings, speak
from benchmark.data.phonemes import phonemise
from benchmark.dataset import SPLITS, Dataset
from benchmark.errors import BenchmarkError, UsageError
from benchmark.running.preparation import open_corpus
from benchmark.utterance import SPECIAL_SYMBOLS
from tests.dataset_helpers import SENTENCES

Folder = importlib.import_module("benchmark.datasets.folder").Folder
PEOPLE = tuple("abcdefghij")


def record(path: Path) -> None:
    """A second of noise that comes and goes, as speech does: nothing here listens to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000) * np.abs(np.sin(np.linspace(0, 9, 16_000)))
    soundfile.write(path, noise, 16_000, format="WAV", subtype="PCM_16")


def header_table(root: Path) -> None:
    lines = ["audio,text,speaker"]
    for who in PEOPLE:
        record(root / "clips" / who / "1.wav")
        lines.append(f'clips/{who}/1.wav,"Hello, {who}.",{who}')
    (root / "metadata.csv").write_text("\n".join(lines), encoding="utf-8-sig")


def hugging_face(root: Path) -> None:
    lines = ["file_name,transcription,speaker_id,room"]
    for who in PEOPLE:
        record(root / f"{who}.wav")
        lines.append(f'{who}.wav,"Hello, {who}.",{who},office')
    (root / "metadata.csv").write_text("\r\n".join(lines), encoding="utf-8")


def kaldi(root: Path) -> None:
    for who in PEOPLE:
        record(root / "wav" / f"{who}1.wav")
    for name, value in (("wav.scp", "wav/{0}1.wav"), ("text", "Hello, {0}."), ("utt2spk", "{0}")):
        (root / name).write_text("".join(f"{who}1\t{value.format(who)}\n" for who in PEOPLE), encoding="utf-8")


def plain(root: Path) -> None:
    for who in PEOPLE:
        record(root / who / "1.WAV")
        (root / who / "1.TXT").write_text(f"Hello, {who}.", encoding="utf-8")
        (root / who / "._1.WAV").write_bytes(b"what macOS leaves")


@pytest.mark.parametrize("write", [header_table, hugging_face, kaldi, plain], ids=lambda write: write.__name__)
def test_every_layout_gives_the_same_speakers_texts_and_split(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    dataset: Dataset = Folder(tmp_path)
    speakers = {split: list(dataset.speakers(split)) for split in SPLITS}
    assert sorted(who for some in speakers.values() for who in some) == list(PEOPLE)
    assert [len(speakers[split]) for split in SPLITS] == [7, 1, 2]
    for who in PEOPLE:
        (utterance,) = dataset.utterances(who)
        assert (utterance.text, utterance.unusable) == (f"Hello, {who}.", "")
        assert len(dataset.load(utterance)[0]) == 16_000
    assert {split: list(Folder(tmp_path).speakers(split)) for split in SPLITS} == speakers
    assert Folder(tmp_path, Folder.Config(seed=1)).speakers("test") != speakers["test"]


def test_ljspeech_is_one_speaker_who_reads_the_normalised_text(tmp_path: Path) -> None:
    record(tmp_path / "wavs" / "LJ001-0001.wav")
    (tmp_path / "metadata.csv").write_text("LJ001-0001|In 1455|In fourteen fifty-five\n", encoding="utf-8")
    dataset = Folder(tmp_path)
    assert [list(dataset.speakers(split)) for split in SPLITS] == [[], [], ["speaker"]], "who is alone is held out"
    (utterance,) = dataset.utterances("speaker")
    assert (utterance.id, utterance.text) == ("LJ001-0001", "In fourteen fifty-five")


def test_columns_give_language_style_split_and_labels(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "audio,text,speaker,language,style,split,mood\na.wav,Ja.,a,de,whisper,train,calm\nb.wav,Yes.,b,,,test,\nc.wav,No.,c,,,dev,\n",
        encoding="utf-8",
    )
    dataset = Folder(tmp_path, Folder.Config(language="en-gb"))
    (utterance,) = dataset.utterances("a")
    assert (utterance.language, utterance.style, utterance.labels) == ("de", "whisper", {"mood": "calm"})
    assert [list(dataset.speakers(split)) for split in SPLITS] == [["a"], ["c"], ["b"]]
    assert dataset.card.language == "en-gb"


def test_languages_are_held_out_with_all_their_speakers(tmp_path: Path) -> None:
    rows = [f"{language}{n}.wav,Text.,{language}{n},{language}" for language in ("de", "en-us", "fr", "it", "es") for n in (1, 2)]
    (tmp_path / "metadata.csv").write_text("\n".join(["audio,text,speaker,language", *rows]), "utf-8")
    dataset = Folder(tmp_path, Folder.Config(split_by="language"))
    spoken = [{speaker[:-1] for speaker in dataset.speakers(split)} for split in SPLITS]
    assert sum(map(len, spoken)) == 5 and all(spoken)
    assert [len(dataset.speakers(split)) for split in SPLITS] == [6, 2, 2]


def test_tasks_by_language_split_by_language(tmp_path: Path) -> None:
    rows = [f"{language}{n}.wav,Text.,{language}{n},{language}" for language in ("de", "en-us", "fr", "it", "es") for n in (1, 2)]
    (tmp_path / "metadata.csv").write_text("\n".join(["audio,text,speaker,language", *rows]), "utf-8")
    dataset, asked = Folder(tmp_path), Folder(tmp_path, Folder.Config(split_by="language"))
    dataset.pose("language")
    assert [dataset.speakers(split) for split in SPLITS] == [asked.speakers(split) for split in SPLITS]
    (tmp_path / "metadata.csv").write_text("\n".join(["audio,text,speaker,language", *rows[:4]]), "utf-8")
    few = Folder(tmp_path)
    assert few.speakers("train") and not few.undivided
    few.pose("language")
    assert few.undivided and not few.speakers("train"), "two languages are too few to split"


@pytest.mark.parametrize("content", ["Héllo".encode("latin-1"), "Hello".encode("utf-16"), b"Hel\0lo"], ids=["latin-1", "utf-16", "nul"])
def test_transcripts_that_are_not_utf8_text_say_so(content: bytes, tmp_path: Path) -> None:
    plain(tmp_path)
    (tmp_path / "a" / "1.TXT").write_bytes(content)
    (utterance,) = Folder(tmp_path).utterances("a")
    assert (utterance.text, utterance.unusable) == ("", "not UTF-8 text")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("audio,text,speaker\na.wav,Hello, you,a\n", "line 2, has 4 columns, but the header has 3"),
        ("audio,text,speaker,split\na.wav,Hello,a,tset\n", "line 2, has the split 'tset'"),
        ("audio,text,speaker,split\na.wav,Hello,a,test\nb.wav,Hello,a,train\n", "line 3, puts a into train"),
    ],
)
def test_bad_tables_are_one_sentence(table: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(table, "utf-8")
    with pytest.raises(BenchmarkError, match=sentence):
        Folder(tmp_path)


def test_a_folder_without_recordings_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"metadata\.csv with the header audio,text,speaker"):
        Folder(tmp_path)


def test_two_languages_are_prepared_each_in_its_own_voice(tmp_path: Path) -> None:
    rows = ["audio,text,speaker,language,split"]
    sentences = {"de": ("Wir hören schöne Züge", "Ich möchte noch Brot"), "en-us": SENTENCES[:2]}
    for language, texts in sentences.items():
        for speaker, split in ((f"{language}1", "train"), (f"{language}2", "train"), (f"{language}3", "test")):
            for number, text in enumerate(texts):
                samples, rate, _ = speak(text, VoiceSettings(f"{language}+f{speaker[-1]}"))
                soundfile.write(tmp_path / f"{speaker}-{number}.wav", samples, rate)
                rows.append(f"{speaker}-{number}.wav,{text},{speaker},{language},{split}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows), "utf-8")
    corpus = open_corpus("folder", None, tmp_path, tmp_path / "cache", 1, ())
    assert len(corpus) == 12 and corpus.report["skipped"] == {}
    said: dict[str, set[str]] = {}
    for item in corpus.many(corpus):
        assert item.words == phonemise([item.text], item.language)[0]
        said.setdefault(item.language, set()).update(phone for word in item.words for phone in word)
    assert said["de"] - said["en-us"] and said["en-us"] - said["de"]
    assert set(corpus.symbols) == {*SPECIAL_SYMBOLS, *said["de"], *said["en-us"]}
