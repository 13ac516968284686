"""speechocean762: reads the published layout and copies of it, divides speakers for good, and says what is missing."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path

import pytest
import soundfile

from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from tests.dataset_helpers import speechocean

module = importlib.import_module("benchmark.datasets.speechocean762")
SpeechOcean762 = module.SpeechOcean762

PEOPLE = {f"{number:04d}": (6 + number % 25, "mf"[number % 2]) for number in range(60)}


def published(root: Path, ending: str = ".WAV") -> Path:
    """Lists of sixty people, audio of none but the first."""
    speechocean(root, {"0000": PEOPLE["0000"]}, ("one two three",), ending)
    for name, column in (("spk2age", 0), ("spk2gender", 1)):
        (root / "train" / name).write_text("".join(f"{who} {person[column]}\n" for who, person in PEOPLE.items()))
    with (root / "train" / "utt2spk").open("a") as stream:
        stream.writelines(f"{who}0000 {who}\n" for who in list(PEOPLE)[1:])
    return root


def test_reads_audio_and_text_of_the_published_layout(tmp_path: Path) -> None:
    dataset = SpeechOcean762(published(tmp_path))
    (utterance,) = dataset.utterances("0000")
    assert (utterance.id, utterance.speaker, utterance.text) == ("00000000", "0000", "ONE TWO THREE")
    assert utterance.audio == tmp_path / "WAVE" / "SPEAKER0000" / "00000000.WAV"
    samples, rate = dataset.load(utterance)
    assert rate == 16_000 and len(samples) == soundfile.info(utterance.audio).frames


def test_paths_come_from_the_list_whatever_the_format(tmp_path: Path) -> None:
    dataset = SpeechOcean762(published(tmp_path, ".flac"))
    assert dataset.load(dataset.utterances("0000")[0])[1] == 16_000


def tables_of(root: Path, people: dict[str, tuple[int, str]]) -> None:
    """Lists of the official test split."""
    for name, column in (("spk2age", 0), ("spk2gender", 1)):
        (root / "test" / name).write_text("".join(f"{who} {person[column]}\n" for who, person in people.items()))
    (root / "test" / "utt2spk").write_text("".join(f"{who}0001 {who}\n" for who in people))


def test_the_committed_adults_of_the_official_test_split_test_and_nobody_else_there_is_used(tmp_path: Path) -> None:
    """So the full corpus and a copy with these 28 alone pose the same tasks."""
    root = published(tmp_path)
    before = {split: list(SpeechOcean762(root).speakers(split)) for split in SPLITS}
    chosen = {who: (25, "f") for who in module.OFFICIAL_TEST if who not in PEOPLE}
    others = {"9001": (40, "m"), "9002": (8, "f")}
    tables_of(root, chosen)
    alone = SpeechOcean762(root)
    tables_of(root, chosen | others)
    full = SpeechOcean762(root)
    for split in SPLITS:
        assert alone.speakers(split) == full.speakers(split) == sorted([*before[split], *(chosen if split == "test" else ())])
    assert "9001" not in full._speakers and [each.id for each in full.utterances("9601")] == ["96010001"]


def test_a_copy_without_the_official_test_split_says_what_is_missing(tmp_path: Path) -> None:
    root = published(tmp_path)
    shutil.rmtree(root / "test")
    with pytest.raises(UsageError, match=r"has train/ but not test/, which holds 28 of the test speakers\. Download it from https://www"):
        SpeechOcean762(root)


def test_utterances_tell_their_speakers_sex_and_age_where_it_is_known(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "train" / "spk2age").write_text("0000 6\n")
    (root / "train" / "spk2gender").write_text("0000 M\n0001 f\n")
    dataset = SpeechOcean762(root)
    assert [dataset.utterances(who)[0].labels for who in ("0000", "0001", "0002")] == [{"sex": "m", "age": "6"}, {"sex": "f"}, {}]


def test_test_and_validation_speakers_are_adults_half_of_them_women(tmp_path: Path) -> None:
    dataset = SpeechOcean762(published(tmp_path))
    sizes = {"test": 12, "validation": 8}
    for split, size in sizes.items():
        speakers = dataset.speakers(split)
        assert len(speakers) == size and list(speakers) == sorted(speakers)
        assert all(PEOPLE[speaker][0] >= 18 for speaker in speakers)
        assert sum(PEOPLE[speaker][1] == "f" for speaker in speakers) == size / 2
    splits = [set(dataset.speakers(split)) for split in SPLITS]
    assert set.union(*splits) == set(PEOPLE) and sum(map(len, splits)) == len(PEOPLE)


def test_a_missing_transcript_is_an_empty_text_and_missing_audio_a_missing_file(tmp_path: Path) -> None:
    root = published(tmp_path)
    (utterance,) = SpeechOcean762(root).utterances("0001")
    assert utterance.text == "" and utterance.audio is not None and not utterance.audio.exists()


@pytest.mark.parametrize("name", ["wav.scp", "text", "utt2spk", "spk2age", "spk2gender"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_byte_order_mark_and_any_line_ends_change_nothing(tmp_path: Path, name: str, end: bytes) -> None:
    """Were the mark part of the first line, its person would have no gender, and others would be drawn."""
    root = published(tmp_path)
    dataset = SpeechOcean762(root)
    path = root / "train" / name
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", end))
    marked = SpeechOcean762(root)
    assert [marked.speakers(split) for split in SPLITS] == [dataset.speakers(split) for split in SPLITS]
    assert all(marked.utterances(speaker) == dataset.utterances(speaker) for speaker in PEOPLE)


@pytest.mark.parametrize("lost", ["wav.scp", "text", "utt2spk", "spk2age", "spk2gender"])
def test_a_wrong_root_says_what_was_expected_and_what_was_found(tmp_path: Path, lost: str) -> None:
    root = published(tmp_path)
    (root / "train" / lost).unlink()
    with pytest.raises(UsageError, match=r"expected train/\{wav\.scp.*found: WAVE, test, train\..* from https://www\.openslr\.org/101/"):
        SpeechOcean762(root)


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found: no such folder"):
        SpeechOcean762(tmp_path / "nowhere")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "archive.tar.gz").write_bytes(b"")
    with pytest.raises(UsageError, match="found: a file, not a folder"):
        SpeechOcean762(tmp_path / "archive.tar.gz")


@pytest.mark.parametrize("age", ["adult", "18.5", ""])
def test_an_age_that_is_no_number_is_named_with_its_line(tmp_path: Path, age: str) -> None:
    path = published(tmp_path) / "train" / "spk2age"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], f"0004 {age}", *lines[5:]]))
    with pytest.raises(BenchmarkError, match=rf"spk2age, line 5: '{age}' is not a whole number; restore the file"):
        SpeechOcean762(tmp_path)


@pytest.mark.parametrize("name", ["text", "spk2age"])
def test_a_table_in_another_encoding_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    path = published(tmp_path) / "train" / name
    path.write_bytes(path.read_bytes() + "90000000 CAFÉ\n".encode("latin-1"))
    last = len(path.read_bytes().splitlines())
    with pytest.raises(BenchmarkError, match=rf"{name}, line {last}, is not UTF-8 text"):
        SpeechOcean762(tmp_path)


def test_the_real_corpus(speechocean762_root: Path) -> None:
    dataset = SpeechOcean762(speechocean762_root)
    speakers = [speaker for split in SPLITS for speaker in dataset.speakers(split)]
    assert [len(dataset.speakers(split)) for split in SPLITS] == [105, 8, 40]
    for split in ("validation", "test"):
        people = [dataset.utterances(speaker)[0].labels for speaker in dataset.speakers(split)]
        assert 2 * sum(person["sex"] == "f" for person in people) == len(people) and min(int(person["age"]) for person in people) >= 18
    assert {len(dataset.utterances(speaker)) for speaker in speakers} == {20}
    first = dataset.utterances(dataset.speakers("test")[0])[0]
    samples, rate = dataset.load(first)
    assert rate == 16_000 and len(samples) > 8000 and first.text.isupper()


def test_the_protocol_tells_which_test_speakers_read_texts_of_training_speakers(speechocean762_root: Path) -> None:
    dataset = SpeechOcean762(speechocean762_root)
    readers = {each.text: speaker for speaker in dataset.speakers("train") for each in dataset.utterances(speaker)}
    shared = {(who, readers[each.text]) for who in dataset.speakers("test") for each in dataset.utterances(who) if each.text in readers}
    assert shared == {("0024", "7001"), ("0461", "8002")}
    text = (Path(__file__).resolve().parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert all(re.search(rf"{tested} .*reads? what|{tested} what", text) and trained in text for tested, trained in shared)
