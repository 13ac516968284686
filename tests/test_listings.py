"""Tables and folders as people really have them: each is read as it was meant, or refused with one sentence."""

from __future__ import annotations

import importlib
import json
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
import soundfile

from benchmark.cli import main
from benchmark.data.chunks import make_chunks
from benchmark.data.drafts import draft
from benchmark.data.enough import Need, Sizes
from benchmark.data.survey import survey
from benchmark.dataset import SPLITS, Dataset, Utterance
from benchmark.errors import BenchmarkError
from tests.cli_helpers import refused
from tests.dataset_helpers import speech
from tests.test_dataset_folder import record

Folder = importlib.import_module("benchmark.datasets.folder").Folder
PEOPLE = ("anna", "bob", "cleo")


def table(root: Path, text: str | bytes, name: str = "metadata.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def every(dataset: Dataset) -> dict[str, Utterance]:
    speakers = [speaker for split in SPLITS for speaker in dataset.speakers(split)]
    return {each.id: each for speaker in speakers for each in dataset.utterances(speaker)}


def lost(dataset: Dataset) -> dict[str, str]:
    """Why utterances are skipped, by id."""
    return {name: reason for chunk in make_chunks(dataset, None, 0) for name, reason in draft(chunk, dataset).skipped}


def splits(dataset: Dataset) -> list[list[str]]:
    return [list(dataset.speakers(split)) for split in SPLITS]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("{id}|{who}|{text}", 2), ("{id}|{text}|{who}", 3), ("{id}|{text}|{text}!|{who}", 4), ("{id}|{text}|", 0),
        ("wavs/{id}.wav|{text}", 0), ("{id}.wav|{text}", 0),
    ],
)
def test_bars_without_a_header_may_name_speakers(row: str, column: int, tmp_path: Path) -> None:
    cells = [(f"{who}{number}", who, f"{who} reads {number}") for who in PEOPLE for number in range(4)]
    for name, _, _ in cells:
        record(tmp_path / "wavs" / f"{name}.wav")
    dataset = Folder(table(tmp_path, "".join(row.format(id=name, who=who, text=text) + "\n" for name, who, text in cells)))
    assert {name: (each.speaker, each.text.rstrip("!")) for name, each in every(dataset).items()} == {
        name: (who if column else "speaker", text) for name, who, text in cells
    }
    assert (f"speakers in column {column}" if column else "one voice") in dataset.card.title
    assert not any("missing" in reason for reason in lost(dataset).values())


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (("a{0}|text {0}|text {0}|more {0}",), "which of its 4 columns is the text and which the speaker"),
        (("a{0}|anna|yes", "b{0}|bob|no", "c{0}|anna|no", "d{0}|bob|yes"), "which of its 3 columns"),
        (("a{0}|anna|text {0}", "b{0}||word {0}"), "names no speaker in column 2"),
    ],
)
def test_bars_that_nobody_can_tell_apart_are_refused(rows: Iterable[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    with pytest.raises(BenchmarkError, match=sentence):
        Folder(table(tmp_path, "".join(row.format(number) + "\n" for row in rows for number in range(4))))


@pytest.mark.parametrize("first", ["", "sep=DELIMITER\n", '"sep=DELIMITER"\r\n'])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter(delimiter: str, first: str, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    dataset = Folder(table(tmp_path, f"{first}audio, text, speaker\na.wav, Hello., anna\n".replace(", ", ",").replace(",", delimiter)
                           .replace("DELIMITER", delimiter)))  # fmt: skip
    assert (every(dataset)["a"].text, every(dataset)["a"].speaker) == ("Hello.", "anna")


def test_quoted_cells_keep_their_breaks_and_commas(tmp_path: Path) -> None:
    dataset = Folder(table(tmp_path, 'audio, text, speaker\r\na.wav, "two\r\nlines, here", anna\r\nb.wav,"say ""it""",anna\r\n'))
    assert [each.text for each in every(dataset).values()] == ["two lines, here", 'say "it"']
    assert every(Folder(table(tmp_path, "audio,text\rb.wav,old Macs\r")))["b"].text == "old Macs"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("foo,bar\na.wav,Hello\n", "has the columns foo, bar; audio and text are missing"),
        ("audio;words\na.wav;Hello\n", "has the columns audio, words; text is missing"),
        ("", "has no header; audio and text are missing"),
        ("audio,text,text\na.wav,b,c\n", "two columns called text"),
        ("audio,text,speaker\na.wav,Hello,anna\nb.wav,Hello,\n", "line 3, names no speaker"),
        ('audio,text,speaker\na.wav,Hello,a\nb.wav,"Hello,a\nc.wav,Hello,a\n', "line 3, can't be read"),
        ('audio,text,speaker\na.wav,"two\nlines",a\nb.wav,Hello,a,b\n', "line 4, has 4 columns"),
        ("audio,text,speaker\na.wav,Hello,a\n".encode("utf-16"), "is UTF-16 text"),
    ],
)
def test_a_table_that_is_not_understood_is_refused(content: str | bytes, sentence: str, tmp_path: Path) -> None:
    record(tmp_path / "anna" / "a.wav")  # the plain layout would take it
    with pytest.raises(BenchmarkError, match=sentence):
        Folder(table(tmp_path, content))


def test_a_table_without_speakers_says_so(tmp_path: Path) -> None:
    assert "no speaker column, so all is one voice" in Folder(table(tmp_path, "audio,text\na.wav,Hello\n")).card.title


def test_strange_cells_are_skipped_and_counted(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "b.m4a").write_bytes(b"an MPEG-4 file")
    rows = [b"audio,text,speaker", b",Hello,a", b".,Hello,a", b"x" * 100 + b",Hello,a", b"a.wav,caf\xe9,a", b"b.m4a,Hi,a"]
    dataset = Folder(table(tmp_path, b"\n".join(rows)))
    assert sorted(lost(dataset).values()) == sorted([
        "no audio file named", "no audio file named", "audio file missing", "not UTF-8 text",
        ".m4a can't be decoded here, convert it to wav",
    ])  # fmt: skip


@pytest.mark.parametrize("named", ["clips/é1", "clips\\é1.wav", "clips/é1.WAV", unicodedata.normalize("NFC", "clips/é1.wav"), "é1.wav"])
def test_recordings_are_found_however_they_are_named(named: str, tmp_path: Path) -> None:
    record(tmp_path / "clips" / unicodedata.normalize("NFD", "é1.wav"))
    (found,) = every(Folder(table(tmp_path, f"path,sentence\n{named},Hello\n"))).values()
    assert found.audio is not None and found.audio.is_file()


@pytest.mark.parametrize("base", ["", "data"])
def test_hugging_face_keeps_a_table_in_each_split(base: str, tmp_path: Path) -> None:
    for who, split in zip(PEOPLE, SPLITS, strict=True):
        record(tmp_path / base / split / "1.wav")
        table(tmp_path / base / split, f"file_name,transcription,speaker_id\n1.wav,Hello,{who}\n")
    dataset = Folder(tmp_path)
    assert splits(dataset) == [[who] for who in PEOPLE] and len(every(dataset)) == 3 and all(
        each.audio is not None and each.audio.is_file() for each in every(dataset).values()
    )  # fmt: skip


def voices(root: Path, *places: str) -> Path:
    for number, place in enumerate(places):
        record(root / place / f"{number}.wav")
        (root / place / f"{number}.txt").write_text("Hello.")
    return root


def test_folders_named_after_splits_are_splits(tmp_path: Path) -> None:
    assert splits(Folder(voices(tmp_path / "a", "train/anna", "dev/cleo", "Test/bob"))) == [["anna"], ["cleo"], ["bob"]]
    assert splits(Folder(voices(tmp_path / "b", "data/train/anna", "data/test/bob"))) == [["anna"], [], ["bob"]]
    with pytest.raises(BenchmarkError, match="puts anna into train, another place puts it into test"):
        Folder(voices(tmp_path / "c", "train/anna", "test/anna"))
    with pytest.raises(BenchmarkError, match="holds recordings of nobody"):
        Folder(voices(tmp_path / "d", "train", "test"))


def test_a_single_folder_of_folders_is_passed_through(tmp_path: Path) -> None:
    assert splits(Folder(voices(tmp_path / "a", "wav/anna", "wav/bob", "wav/cleo/monday")))[0]
    assert {each.speaker for each in every(Folder(tmp_path / "a")).values()} == set(PEOPLE)
    assert splits(Folder(voices(tmp_path / "b", "anna")))[2] == ["anna"]


def test_recordings_that_cannot_be_decoded_are_counted(tmp_path: Path) -> None:
    voices(tmp_path, "anna")
    for name in ("0.m4a", "1.m4a"):
        (tmp_path / "anna" / name).write_bytes(b"an MPEG-4 file")
    (tmp_path / "anna" / "1.txt").write_text("Hello.")
    assert lost(Folder(tmp_path))["1"] == ".m4a can't be decoded here, convert it to wav"
    assert list(every(Folder(tmp_path))) == ["0", "1"]


def kaldi(root: Path, **tables: str | bytes) -> Path:
    for name, content in {"wav.scp": "u1 a.wav\n", "text": "u1 Hello\n", "utt2spk": "u1 anna\n", **tables}.items():
        table(root, content, name.replace("_", "."))
    record(root / "a.wav")
    return root


def test_kaldis_tables_as_people_write_them(tmp_path: Path) -> None:
    long = "u1 sox" + " -v 1" * 99 + " a.wav |\n"
    assert lost(Folder(kaldi(tmp_path / "pipe", wav_scp=long)))["u1"].startswith("audio is the output of a command")
    assert every(Folder(kaldi(tmp_path / "blank", text="  u1   Hello\n")))["u1"].text == "Hello"
    assert every(Folder(kaldi(tmp_path / "lang", utt2lang="u1 de_DE\n")))["u1"].language == "de"
    latin = kaldi(tmp_path / "latin", text=b"u1 caf\xe9\nu2 Hi\n", utt2spk="u1 anna\nu2 anna\n", wav_scp="u1 a.wav\nu2 a.wav\n")
    assert {name: each.unusable for name, each in every(Folder(latin)).items()} == {"u1": "not UTF-8 text", "u2": ""}


def test_kaldis_tables_that_would_be_misread_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="save each utterance as a file of its own"):
        Folder(kaldi(tmp_path / "segments", segments="u1 r1 0.0 1.0\n"))
    (kaldi(tmp_path / "lacking") / "utt2spk").unlink()
    with pytest.raises(BenchmarkError, match=r"has wav\.scp but not utt2spk"):
        Folder(tmp_path / "lacking")
    kaldi(tmp_path / "elsewhere" / "train_clean_5")
    with pytest.raises(BenchmarkError, match="is not named after a split"):
        Folder(tmp_path / "elsewhere")


def test_names_that_are_not_utf8_can_be_printed(tmp_path: Path) -> None:
    root = voices(tmp_path / "corpus", "anna", "bob")
    try:
        (root / "anna").rename(root / os.fsdecode(b"caf\xe9"))
        for ending in ("wav", "txt"):
            (root / "bob" / f"1.{ending}").rename(root / "bob" / os.fsdecode(b"1\xe9." + ending.encode()))
        root = root.rename(tmp_path / os.fsdecode(b"\xe9"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    dataset = Folder(root)
    assert {(name, each.speaker) for name, each in every(dataset).items()} == {("0", "caf\\xe9"), ("1\\xe9", "bob")}
    found = survey("folder", dataset, [Sizes(1, 1)], Need("a task", "record more", 2))
    assert "  sample rates: 16000 Hz (2)" in found.lines
    json.dumps([found.lines, dataset.card.title], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("written", "voice"),
    [("en", "en-us"), ("en_US", "en-us"), ("EN-US", "en-us"), ("en-AU", "en-us"), ("de-DE", "de"), ("zh", "cmn"), ("fr", "fr-fr"),
     ("pt-BR", "pt-br"), ("", "")],
)  # fmt: skip
def test_languages_as_people_write_them(written: str, voice: str, tmp_path: Path) -> None:
    table(tmp_path, f"audio,text,speaker,language\na.wav,Hi,anna,{written}\n")
    assert every(Folder(tmp_path))["a"].language == voice
    if written:
        assert Folder(tmp_path, Folder.Config(language=written)).card.language == voice


def test_an_unknown_language_is_one_sentence_with_the_utterance(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"language of a in .*: espeak-ng has no voice 'German'; did you mean de\?"):
        Folder(table(tmp_path, "audio,text,speaker,language\na.wav,Hi,anna,German\n"))
    with pytest.raises(BenchmarkError, match="option language of dataset folder"):
        Folder(table(tmp_path, "audio,text\na.wav,Hi\n"), Folder.Config(language="qqqq"))


def test_check_reads_data_with_the_datasets_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", speech("She sees a red kite over the sea", "f1"), 16_000)
    table(tmp_path, "audio,text,speaker\na.wav,Она видит змея над морем,anna\n")
    arguments = ["check", "folder", "--data-root", str(tmp_path)]
    main(arguments)
    assert "text in a script that espeak-ng's voice en-us can't read" in capsys.readouterr().out
    main([*arguments, "--dataset.language", "ru"])
    assert "1 utterances" in capsys.readouterr().out
    assert "did you mean '--dataset.language'" in refused([*arguments, "--dataset.langage", "ru"], 2, capsys)
    assert "only for a dataset whose data it reads" in refused(["check", "finetune", "--dataset.language", "ru"], 2, capsys)
    assert "leave out --dataset" in refused([*arguments, "--dataset", "vctk"], 2, capsys)
    assert "did you mean '--data-root'" in refused(["check", "folder", "--data-rot", "x"], 2, capsys)
