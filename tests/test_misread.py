"""Folders that were once misread: each is read as it was meant, or refused with one sentence that says what to do."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data import recordings, synthesised
from benchmark.data.enough import Need, Sizes
from benchmark.data.phonemes import voice
from benchmark.data.places import Transcripts
from benchmark.data.survey import survey
from benchmark.errors import BenchmarkError, UsageError
from tests.dataset_helpers import SENTENCES, recorded, speech
from tests.test_dataset_folder import record
from tests.test_listings import Folder, every, kaldi, lost, splits, table, voices

LJSpeech = importlib.import_module("benchmark.datasets.ljspeech").LJSpeech


def texts(root: Path) -> dict[str, str]:
    return {name: each.text for name, each in every(Folder(root)).items()}


# Folders of speakers


def test_a_transcript_is_called_exactly_as_its_recording(tmp_path: Path) -> None:
    names = ("a", "a.2", "a.normalized", "b", "c", "d", "é")
    for name in names:
        record(tmp_path / "anna" / f"{name}.wav")
    for name in ("a.txt", "a.2.txt", "a.original.txt", "b.normalized.txt", "b.original.txt", "c.TXT", "c.lab", "d.lab", "e\u0301.txt"):
        (tmp_path / "anna" / name).write_text(name)
    assert texts(tmp_path) == {
        "a": "a.txt", "a.2": "a.2.txt", "a.normalized": "", "b": "b.normalized.txt", "c": "c.TXT", "d": "d.lab", "é": "e\u0301.txt",
    }  # fmt: skip


def test_a_voice_has_the_transcripts_of_its_recordings(tmp_path: Path) -> None:
    for name in ("a", "a.2"):
        soundfile.write(tmp_path / f"{name}.wav", speech(SENTENCES[0], "f2"), 16_000)
        (tmp_path / f"{name}.txt").write_text(name)
    assert {each.name: each.text for each in recordings.read(tmp_path)[0]} == {"a.wav": "a", "a.2.wav": "a.2"}


def test_a_folder_of_transcripts_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7.txt").write_text("seven")
    listed: list[Path] = []
    iterdir = Path.iterdir

    def watched(folder: Path) -> Iterator[Path]:
        listed.append(folder)
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", watched)
    found = Transcripts()
    assert [found.of(tmp_path / f"{number}.wav")[0] for number in range(9)].count("seven") == 1 and listed == [tmp_path]


@pytest.mark.parametrize("other", ["noise", "samples", "unlabelled/x"])
def test_splits_beside_other_folders_are_refused(other: str, tmp_path: Path) -> None:
    voices(tmp_path, "train/anna", "test/bob", other)
    with pytest.raises(BenchmarkError, match=rf"splits, test and train, beside others, {other.partition('/')[0]}; move the others away"):
        Folder(tmp_path)


def test_other_names_of_splits_and_people_called_so(tmp_path: Path) -> None:
    assert splits(Folder(voices(tmp_path / "a", "Training/anna", "eval/bob"))) == [["anna"], [], ["bob"]]
    assert splits(Folder(voices(tmp_path / "b", "training/anna", "dev/cleo", "testing/bob"))) == [["anna"], ["cleo"], ["bob"]]
    assert {each.speaker for each in every(Folder(voices(tmp_path / "c", "Val", "anna", "bob"))).values()} == {"Val", "anna", "bob"}
    for number, places in enumerate([("train", "test", "noise"), ("test", "anna", "bob"), ("val/anna", "bob")]):
        with pytest.raises(BenchmarkError, match="rename what is no split"):
            Folder(voices(tmp_path / f"{number}", *places))


def test_copies_of_a_recording_are_one(tmp_path: Path) -> None:
    voices(tmp_path, "anna", "bob")
    samples, rate = soundfile.read(tmp_path / "anna" / "0.wav")
    for ending in ("flac", "mp3"):
        soundfile.write(tmp_path / "anna" / f"0.{ending}", samples, rate)
    soundfile.write(tmp_path / "bob" / "2.mp3", samples, rate)
    found = every(Folder(tmp_path))
    assert {each.audio.name for each in found.values() if each.audio} == {"0.wav", "1.wav", "2.mp3"}


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    voices(tmp_path / "elsewhere", "s1", "s2")
    voices(tmp_path / "root", "anna")
    (tmp_path / "root" / "bob").mkdir()
    (tmp_path / "root" / "bob" / "s1").symlink_to(tmp_path / "elsewhere" / "s2")
    (tmp_path / "root" / "bob" / "again").symlink_to(tmp_path / "root")
    found = every(Folder(tmp_path / "root"))
    assert {each.speaker for each in found.values()} == {"anna", "bob"} and lost(Folder(tmp_path / "root")) == {}


def test_recordings_beside_the_folders_of_speakers_are_told(tmp_path: Path) -> None:
    voices(tmp_path, "anna", "bob")
    record(tmp_path / "stray.wav")
    assert "1 recording in no speaker's folder left out (stray.wav)" in Folder(tmp_path).card.title


def test_what_say_wrote_is_no_recording(tmp_path: Path) -> None:
    voices(tmp_path, "anna", "bob")
    synthesised.write(tmp_path / "anna" / "said.wav", [np.zeros(16_000, np.float32)])
    (tmp_path / "anna" / "said.txt").write_text("Hello.")
    assert lost(Folder(tmp_path))["said"] == "speech that 'say' wrote"


# Where tables lie


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (("data/train", "data/test_clean"), "test_clean/wav.scp would not be read, because its folder is not named after a split"),
        (("data/train_clean",), "data/train_clean/wav.scp would not be read"),
        (("train", "odd"), "odd/wav.scp would not be read"),
        (("", "train"), "train/wav.scp would not be read, because .*wav.scp is the corpus's table"),
        (("a/b/data/train", "a/b/data/test"), r"wav.scp is a table that no layout has there; point --data-root at .*/a/b\."),
    ],
)
def test_no_table_of_kaldi_is_passed_over(places: Sequence[str], sentence: str, tmp_path: Path) -> None:
    for place in places:
        kaldi(tmp_path / place)
    with pytest.raises(BenchmarkError, match=sentence):
        Folder(tmp_path)


def test_no_other_table_is_passed_over(tmp_path: Path) -> None:
    header = "file_name,text,speaker\n1.wav,Hello,{}\n"
    for split, who in (("train", "anna"), ("eval", "bob")):
        table(tmp_path / "a" / split, header.format(who))
    assert splits(Folder(tmp_path / "a")) == [["anna"], [], ["bob"]]
    table(tmp_path / "a" / "more", header.format("cleo"))
    with pytest.raises(BenchmarkError, match=r"more/metadata\.csv would not be read, because its folder is not named after a split"):
        Folder(tmp_path / "a")
    for place in ("LJSpeech-1.1", "corpora/LJSpeech-1.1"):
        root = tmp_path / place.replace("/", "_")
        record(root / place / "wavs" / "1.wav")
        table(root / place, "1|Hello\n")
        with pytest.raises(BenchmarkError, match=r"point --data-root at (it|.*/LJSpeech-1\.1)\."):
            Folder(root)


# Tables with a header


@pytest.mark.parametrize("delimiter", [",", "|", "\t"])
def test_no_row_is_hidden_between_two_quotes(delimiter: str, tmp_path: Path) -> None:
    for name in ("u1", "u2", "u3"):
        record(tmp_path / f"{name}.wav")
    rows = ["audio,text", 'u1.wav,"I will not go', 'u2.wav,he left."', "u3.wav,Bye"]
    table(tmp_path, "\n".join(rows).replace(",", delimiter))
    if delimiter == ",":
        with pytest.raises(BenchmarkError, match=r"line 2, holds the row of u2\.wav between two quotes; put a cell with quotes"):
            Folder(tmp_path)
    else:
        assert texts(tmp_path) == {"u1": '"I will not go', "u2": 'he left."', "u3": "Bye"}


def test_a_row_whose_recording_is_missing_is_not_hidden_either(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"holds the row of u2\.wav"):
        Folder(table(tmp_path, 'audio,text\nu1.wav,"I will not go\nu2.wav,he left."\n'))


def test_a_split_without_speakers_is_left_unused_and_said(tmp_path: Path) -> None:
    dataset = Folder(table(tmp_path, "audio,text,split\na.wav,Hello,train\nb.wav,Bye,test\n"))
    assert "no speaker column, so all is one voice, whose splits are not used" in dataset.card.title
    assert splits(dataset) == [[], [], ["speaker"]]


@pytest.mark.parametrize("base", ["", "data/"])
def test_folders_that_a_table_names_are_splits(base: str, tmp_path: Path) -> None:
    rows = [f"{base}{split}/1.wav,Hello,{who}\n" for split, who in (("train", "anna"), ("Test", "bob"), ("dev", "cleo"))]
    assert splits(Folder(table(tmp_path / "a", "file_name,text,speaker\n" + "".join(rows)))) == [["anna"], ["cleo"], ["bob"]]
    rows.append("more/1.wav,Hello,dora\n")
    assert sum(map(len, splits(Folder(table(tmp_path / "b", "file_name,text,speaker\n" + "".join(rows)))))) == 4
    rows[-1] = f"{base}test/2.wav,Hello,anna\n"
    with pytest.raises(BenchmarkError, match="puts anna into test, another place puts it into train"):
        Folder(table(tmp_path / "c", "file_name,text,speaker\n" + "".join(rows)))


@pytest.mark.parametrize("column", ["language", "lang", "locale"])
def test_every_name_of_the_language_is_read(column: str, tmp_path: Path) -> None:
    (found,) = every(Folder(table(tmp_path, f"path,sentence,client_id,{column}\n1.mp3,Ja,a,de-DE\n"))).values()
    assert (found.language, found.labels) == ("de", {})


def test_columns_of_several_audio_names_and_texts(tmp_path: Path) -> None:
    record(tmp_path / "clips" / "x.wav")
    (found,) = every(Folder(table(tmp_path, "id|wav|text|normalized_text\n17|clips/x.wav|In 1455|In fourteen fifty-five\n"))).values()
    assert (found.id, found.text) == ("x", "In fourteen fifty-five") and found.audio == tmp_path / "clips" / "x.wav"
    (found,) = every(Folder(table(tmp_path, "id|wav|text|normalized_text\n17|clips/x.wav|In 1455|\n"))).values()
    assert found.text == "In 1455"


def test_a_name_that_two_recordings_have_is_nobodys(tmp_path: Path) -> None:
    for place in ("anna/001.wav", "bob/001.wav", "bob/002.wav", "bob/002.flac", "anna/003.wav", "bob/003.wav"):
        record(tmp_path / "wavs" / place)
    table(tmp_path, "audio,text,speaker\n001,Hello,anna\n003.wav,Bye,bob\n002,Hi,bob\nbob/001,Yes,bob\n")
    found = {each.text: (each.audio, each.unusable) for each in every(Folder(tmp_path)).values()}
    assert [found[text][1] for text in ("Hello", "Bye")] == ["two recordings are called 001", "two recordings are called 003.wav"]
    assert [found[text] for text in ("Hi", "Yes")] == [(tmp_path / "wavs" / "bob" / name, "") for name in ("002.wav", "001.wav")]


# LJSpeech's and Kaldi's tables


def test_a_table_with_a_header_is_not_ljspeechs(tmp_path: Path) -> None:
    record(tmp_path / "wavs" / "a.wav")
    with pytest.raises(UsageError, match="does not hold LJ Speech"):
        LJSpeech(table(tmp_path, "id|text|speaker\na|Hello|anna\n"))


def test_every_line_of_ljspeechs_table_is_counted(tmp_path: Path) -> None:
    record(tmp_path / "wavs" / "a.wav")
    table(tmp_path, b"wavs\\a|Hello\n\nb\n|Bye\nc|caf\xe9\n")
    assert lost(Folder(tmp_path)) == {"b": "no bar in its line", "line 4 of metadata.csv": "no audio file named", "c": "not UTF-8 text"}
    assert texts(tmp_path)["a"] == "Hello"
    assert {each.unusable for each in LJSpeech(tmp_path).utterances("linda_johnson")} >= {"not UTF-8 text", "no bar in its line"}


@pytest.mark.parametrize(
    "row", ["{0}|text {0} of it|{1}", "{0}|{1}|text {0} of it", "{0}|{1}|EN|text {0} of it", "{0}|EN|{1}|text {0} of it"]
)
def test_columns_of_bars_that_could_be_either_are_refused(row: str, tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    table(tmp_path, "\n".join(row.format(number, "abcd"[number // 2]) for number in range(8)))
    with pytest.raises(BenchmarkError, match=r"which of its \d columns is the text .* give it a first line of names"):
        Folder(tmp_path)


def test_texts_that_are_spelt_out_are_one_text(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    said = [("In 1455, he came", "In fourteen fifty-five, he came"), ("He left", "He left"), ("It was 1", "It was one"), ("No", "")]
    for rows in (3, 9, 40):
        table(tmp_path, "\n".join(f"{number}|{'|'.join(said[number % 4])}" for number in range(rows)))
        dataset = Folder(tmp_path)
        assert "one voice" in dataset.card.title and every(dataset)["0"].text == said[0][1]
    sparse = [f"{number}|So he said {number}|{f'So he said number {number}' if number < 3 else ''}" for number in range(9)]
    assert texts(table(tmp_path, "\n".join(sparse)))["8"] == "So he said 8"
    assert texts(table(tmp_path, "1|\n2|\n")) == {"1": "", "2": ""}


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"wav_scp": "u1 a.wav\nu1 b.wav\n"}, r"wav.scp, line 2, has u1 a second time; remove one"),
        ({"text": "u1 Hello\nu1 Bye\n"}, "text, line 2, has u1 a second time"),
        ({"wav_scp": "u1 a.wav\nu2 a.wav\n"}, "utt2spk names no speaker for u2; add its line"),
        ({"utt2spk": "u1\n"}, "utt2spk names no speaker for u1"),
    ],
)
def test_kaldis_tables_must_agree(tables: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=sentence):
        Folder(kaldi(tmp_path, **tables))


def test_a_line_given_twice_in_kaldis_tables_does_no_harm(tmp_path: Path) -> None:
    assert list(every(Folder(kaldi(tmp_path, wav_scp="u1 a.wav\nu1\ta.wav\n")))) == ["u1"]


# What is said of all


def test_check_refuses_what_no_algorithm_can_train_on(tmp_path: Path) -> None:
    sizes, need = [Sizes(1, 1)], Need("tasks", "record more", 2)
    one_each = recorded(tmp_path / "a", {"train": {"anna": 1, "carl": 1, "dora": 1}, "test": {"bob": 4}})
    found = survey("folder", Folder(one_each), sizes, need)
    assert found.problems == ["no training speaker has the 2 utterances that tasks need; record more"]
    enough = recorded(tmp_path / "b", {"train": {"anna": 2, "carl": 1}, "test": {"bob": 4}})
    assert survey("folder", Folder(enough), sizes, need).problems == []


def test_british_english_as_people_call_it() -> None:
    assert voice("en-UK") == voice("en_GB") == "en-gb"
