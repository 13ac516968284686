"""Preparation: what comes out is consistent, the same however it is run, and never made of what can't be used."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from benchmark import cli
from benchmark.audio import from_int16
from benchmark.data import features
from benchmark.data.aligner import AlignmentItem, mfcc
from benchmark.data.audio import Unusable, standardise
from benchmark.data.corpus import Corpus
from benchmark.data.drafts import Chunk, Draft, Drafts, draft
from benchmark.data.phonemes import phonemise
from benchmark.data.prepare import prepare
from benchmark.data.shards import SHARD_SPEAKERS, durations, group
from benchmark.dataset import SPLITS, Dataset, Segment
from benchmark.errors import BenchmarkError, UsageError
from benchmark.mel import log_mel
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import digest_of_file, write_sealed
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard_file import IDENTITY, PROVENANCE
from benchmark.running.preparation import Sources, open_corpora, open_corpus, open_dataset
from benchmark.settings.config import Plugin
from benchmark.utterance import BOUNDARY, SILENCE, token_symbols
from tests.cli_helpers import full_disk, refused
from tests.dataset_helpers import SENTENCES, speech, speechocean
from tests.process_helpers import ended, workers_of

# Children train; of the adults one of each gender tests.
PEOPLE = {"0001": (9, "f"), "0002": (10, "m"), "0003": (11, "f"), "0004": (12, "m"), "0005": (30, "f"), "0006": (31, "m")}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speechocean(tmp_path_factory.mktemp("data"), PEOPLE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No larger than it has to be."""
    people = {name: person for name, person in PEOPLE.items() if name not in ("0003", "0004")}
    return speechocean(tmp_path_factory.mktemp("small"), people, SENTENCES[:2])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def corpus(data: Path, cache: Path) -> Corpus:
    return prepared(data, cache)


def prepared(data: Path, cache: Path, workers: int = 1, textgrids: Path | None = None) -> Corpus:
    dataset = open_dataset("speechocean762", None, data, ())
    return prepare("speechocean762", dataset, cache / "corpora", workers, [], textgrids=textgrids)


def contents(corpus: Corpus) -> dict[str, str]:
    """Digest of every file of a prepared corpus."""
    return {str(path.relative_to(corpus.folder)): digest_of_file(path) for path in corpus.folder.rglob("*") if path.is_file()}


def command(data: Path, cache: Path, workers: int) -> list[str]:
    options = ["--dataset", "speechocean762", "--data-root", str(data), "--cache", str(cache), "--workers", str(workers)]
    return [sys.executable, "-m", "benchmark", "prepare", *options]


def test_every_utterance_is_there_with_features_that_fit_together(corpus: Corpus) -> None:
    assert [len(corpus.speakers(split)) for split in SPLITS] == [4, 0, 2]
    assert len(corpus) == len(PEOPLE) * len(SENTENCES) and corpus.report["skipped"] == {}
    for name in corpus:
        item = corpus[name]
        assert item.text.isupper() and item.words == phonemise([item.text], "en-us")[0]
        assert [corpus.symbols[token] for token in item.tokens] == token_symbols(item.words)
        frames = corpus.mel.frames(len(item.audio))
        assert item.mel.shape == (frames, 80) and len(item.pitch) == len(item.energy) == frames == item.durations.sum()
        optional = np.isin(item.tokens, [corpus.symbol_ids[SILENCE], corpus.symbol_ids[BOUNDARY]])
        assert (item.durations[~optional] >= 1).all() and (item.durations[optional] >= 0).all()
        assert torch.equal(log_mel(torch.from_numpy(item.waveform), corpus.mel), torch.from_numpy(item.mel.copy()))
        assert np.mean(item.pitch > 0) > 0.3


def test_statistics_are_those_of_the_training_speakers(corpus: Corpus) -> None:
    names = [name for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)]
    items = corpus.many(names)
    mel, energy = np.concatenate([i.mel for i in items]), np.concatenate([i.energy for i in items])
    voiced = np.concatenate([np.log(i.pitch[i.pitch > 0]) for i in items])
    assert corpus.statistics.mel_mean == pytest.approx(mel.mean(0), abs=1e-3)
    assert corpus.statistics.mel_std == pytest.approx(mel.std(0), abs=1e-3)
    assert (corpus.statistics.pitch_mean, corpus.statistics.pitch_std) == pytest.approx((voiced.mean(), voiced.std()), abs=1e-4)
    assert (corpus.statistics.energy_mean, corpus.statistics.energy_std) == pytest.approx((energy.mean(), energy.std()), abs=1e-3)


def test_it_is_done_once(corpus: Corpus, data: Path, cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")}
    assert prepared(data, cache).folder == corpus.folder
    assert {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")} == before
    assert [path for path in corpus.folder.parent.iterdir() if path.name.endswith(".partial")] == []


def test_more_workers_give_the_same_bytes(corpus: Corpus, data: Path, tmp_path: Path) -> None:
    assert contents(prepared(data, tmp_path, workers=2)) == contents(corpus)


@pytest.mark.parametrize("reached", ["2 [!.]*.chunk", "2 [!.]*.phones", "1 pass-2.pt", "3 [!.]*.aligned", "1 shards/[!.]*.npy"])
def test_killed_anywhere_it_goes_on_and_ends_the_same(
    corpus: Corpus, data: Path, tmp_path: Path, reached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, pattern = reached.split()
    partial = tmp_path / "corpora" / f".{corpus.folder.name}.partial"
    process = subprocess.Popen(command(data, tmp_path, 1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while len(list(partial.glob(pattern))) < int(count) and process.poll() is None:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = len(list(partial.glob("[!.]*.chunk")))
    read = len(list(partial.glob("[!.]*.phones")))
    assert partial.is_dir() and not (tmp_path / "corpora" / corpus.folder.name).exists(), "it was too quick to be killed"
    drafted: list[str] = []

    def counted(chunk: Chunk, dataset: Dataset) -> Drafts:
        drafted.append(chunk.speaker)
        return draft(chunk, dataset)

    module = importlib.import_module("benchmark.data.prepare")
    monkeypatch.setattr(module, "draft", counted)
    listened: list[str] = []

    def heard(each: Draft) -> AlignmentItem:
        listened.append(each.id)
        return AlignmentItem(each.id, mfcc(from_int16(each.audio), 16_000), each.words)

    monkeypatch.setattr(module, "_item", heard)
    assert contents(prepared(data, tmp_path)) == contents(corpus)
    assert len(drafted) == len(PEOPLE) - left, "what was there is used"
    if ".aligned" not in reached and "shards" not in reached:
        training = 4  # whom the aligner hears to learn; then it aligns everybody
        assert len(listened) == (training - read + len(PEOPLE)) * len(SENTENCES)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks processes up in Linux's /proc")
def test_workers_end_when_their_parent_is_killed(data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(data, tmp_path, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children: list[int] = []
    try:
        while not list(tmp_path.glob("corpora/*.partial/*.chunk")) and process.poll() is None:
            time.sleep(0.02)
        children = workers_of(process.pid)
        assert len(children) == 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert ended(children)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nested(path: Path) -> None:
    path.write_text(100_000 * "[" + 100_000 * "]")


def changed(path: Path) -> None:
    """Another number, or another letter."""
    content = path.read_text()
    new = re.sub(r'("pitch_mean": )[0-9]', r"\g<1>9", content) if path.suffix == ".json" else content.replace("0001", "0009")
    assert new != content
    path.write_text(new)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("shards/00000.mel.npy", flip), ("shards/00000.tokens.npy", cut), ("shards/00000.durations.npy", Path.unlink),
        ("utterances.jsonl", flip), ("utterances.jsonl", changed), ("utterances.jsonl", Path.unlink),
        ("corpus.json", flip), ("corpus.json", cut), ("corpus.json", Path.unlink), ("corpus.json", changed), ("corpus.json", nested),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_made_anew(
    small: Path, cache: Path, name: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = prepared(small, cache)
    before = contents(corpus)
    damage(corpus.folder / name)
    assert contents(prepared(small, cache)) == before
    assert "The cache is damaged" in capsys.readouterr().err


def test_the_version_is_the_same_where_a_processor_rounds_otherwise(
    small: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, energy = prepared(small, cache), features.energy
    monkeypatch.setattr(features, "energy", lambda audio, spec: np.nextafter(energy(audio, spec), np.float32(np.inf)))
    there = prepared(small, tmp_path / "elsewhere")
    assert contents(there) != contents(here) and there.exact_version != here.exact_version
    assert there.version == here.version

    more = tmp_path / "more"
    shutil.copytree(small, more)
    path = next(more.glob("WAVE/*/*"))
    samples, rate = soundfile.read(path, dtype="int16")
    soundfile.write(path, np.where(np.arange(len(samples)) == 9000, samples + 1, samples), rate, subtype="PCM_16", format="WAV")
    assert prepared(more, tmp_path / "elsewhere").version != here.version


@pytest.mark.parametrize("form", [1, 2])
@pytest.mark.parametrize(("name", "other"), [("statistics", {"pitch_mean": 9.0}), ("card", {"language": "de"}), ("symbols", ["a"])])
def test_a_cache_of_the_old_form_is_checked_and_sealed(
    name: str, other: Any, form: int, small: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = prepared(small, cache)
    capsys.readouterr()
    path, before = corpus.folder / "corpus.json", contents(corpus)
    old = {**corpus.meta, "format": form, "version": corpus.exact_version}
    write_sealed(path, old) if form == 2 else path.write_text(json.dumps(old))
    content = json.loads(path.read_text())
    renewed = prepared(small, cache)
    assert contents(renewed) == before and json.loads(path.read_text())["format"] > form and renewed.version == corpus.version
    assert capsys.readouterr().err == ""
    path.write_text(json.dumps({**content, name: {**content[name], **other} if isinstance(other, dict) else other}))
    assert contents(prepared(small, cache)) == before
    assert "The cache is damaged" in capsys.readouterr().err


def test_a_chunk_damaged_between_kill_and_resumption_is_made_anew(
    corpus: Corpus, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("benchmark.data.prepare")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_align", stop)
        with pytest.raises(KeyboardInterrupt):
            prepared(data, tmp_path)
    chunks = sorted(tmp_path.glob("corpora/.*.partial/*.chunk"))
    assert len(chunks) == len(PEOPLE)
    flip(chunks[0])
    cut(chunks[1])
    checkpoint.save(chunks[2], ["not", "a", "chunk"])
    assert contents(prepared(data, tmp_path)) == contents(corpus)


def test_what_cannot_be_used_is_skipped_counted_and_named_and_nothing_else_is_touched(corpus: Corpus, tmp_path: Path) -> None:
    data = speechocean(tmp_path / "data", PEOPLE)
    audio = {path.stem: path for path in data.glob("WAVE/*/*")}
    whole = speech(SENTENCES[0], "f1")
    audio["00010000"].write_bytes(b"")
    cut(audio["00010001"])
    audio["00010002"].write_bytes(b"this is no recording" * 500)
    audio["00010003"].unlink()
    soundfile.write(audio["00020000"], np.clip(30 * whole, -1, 1), 16_000)
    soundfile.write(audio["00020001"], whole[6000:10_000], 16_000)
    soundfile.write(audio["00020002"], np.zeros(30_000), 16_000)
    soundfile.write(audio["00020003"], np.where(np.arange(len(whole)) == 9000, np.nan, whole), 16_000, subtype="FLOAT", format="WAV")
    # These two are as good as any.
    soundfile.write(audio["00030000"], np.stack([speech(SENTENCES[0], "f3")] * 2, axis=1), 16_000)
    soundfile.write(audio["00030001"], speech(SENTENCES[1], "f3", 48_000), 48_000)
    text = data / "train" / "text"
    lines = [line for line in text.read_text().splitlines() if not line.startswith(("00040000", "00040001", "00040002"))]
    text.write_text("\n".join([*lines, "00040001 ...", f"00040002 {'SHE SELLS SEA SHELLS BY THE SHORE ' * 30}"]) + "\n")
    found = prepared(data, tmp_path / "cache")
    reasons = {reason: entry["examples"] for reason, entry in found.report["skipped"].items()}
    assert reasons == {
        "empty audio file": ["00010000"], "truncated audio": ["00010001"], "corrupt audio": ["00010002"],
        "audio file missing": ["00010003"], "clipped audio": ["00020000"], "shorter than 0.45 s of speech": ["00020001"],
        "silent audio": ["00020002"], "audio holds values that are not finite": ["00020003"], "no transcript": ["00040000"],
        "text without phonemes": ["00040001"],
        "speaking rate outside 0.3 to 40 phones a second, so the transcript is wrong": ["00040002"],
    }  # fmt: skip
    assert all(entry["count"] == 1 for entry in found.report["skipped"].values())
    assert len(found) == len(corpus) - len(reasons)
    assert np.abs(found["00030000"].audio.astype(int) - corpus["00030000"].audio).max() <= 1
    assert len(found["00030001"].audio) == pytest.approx(len(corpus["00030001"].audio), abs=400)
    assert (found["00050000"].audio == corpus["00050000"].audio).all()


def test_other_content_is_another_corpus_and_another_date_is_not(corpus: Corpus, tmp_path: Path) -> None:
    data = speechocean(tmp_path / "data", PEOPLE)
    (wave, *_) = sorted(data.glob("WAVE/*/*"))
    os.utime(wave, (1, 1))
    assert prepared(data, tmp_path / "cache").version == corpus.version
    soundfile.write(wave, speech(SENTENCES[2], "f4"), 16_000)
    assert prepared(data, tmp_path / "cache").version != corpus.version


def test_an_empty_corpus(tmp_path: Path) -> None:
    data = speechocean(tmp_path / "data", {})
    with pytest.raises(BenchmarkError, match="holds no utterances; expected train/"):
        prepared(data, tmp_path / "cache")


CHILD, WOMAN = (9, "f"), (30, "f")


@pytest.mark.parametrize(
    ("people", "counts"),
    [([CHILD], (1, 0, 0)), ([WOMAN], (0, 0, 1)), ([WOMAN] * 4, (0, 0, 4)), ([WOMAN] * 8, (0, 2, 6)), ([CHILD] * 3, (3, 0, 0))],
)
def test_too_few_speakers_are_told_before_any_work(people: list[tuple[int, str]], counts: tuple[int, int, int], tmp_path: Path) -> None:
    data = speechocean(tmp_path / "data", {f"{number:04d}": person for number, person in enumerate(people)}, SENTENCES[:1])
    train, validation, test = counts
    sentence = (
        f"has 0 training speakers, too few to learn from: a run adapts to its {validation + test} held-out .* with --pretrain.dataset NAME"
        if test
        else "has no test speakers, so it can only be learned from: run --pretrain.dataset speechocean762"
        if train == 1
        else rf"has no test speakers to adapt to \({train} train, 0 validation, 0 test\)"
    )
    with pytest.raises(UsageError, match=sentence):
        open_corpora(Sources(Plugin("speechocean762"), data_root=data), "test", tmp_path / "cache", 1, ())
    assert not (tmp_path / "cache").exists()


def test_no_utterance_that_can_be_used(tmp_path: Path) -> None:
    data = speechocean(tmp_path / "data", {"0001": CHILD, "0002": CHILD, "0003": WOMAN}, SENTENCES[:4])
    for path in data.glob("WAVE/*/*"):
        path.write_bytes(b"")
    with pytest.raises(BenchmarkError, match=r"no utterance that can be used: 12 utterances were skipped \(empty audio file\)"):
        prepared(data, tmp_path / "cache")


def test_a_cache_that_cannot_be_written(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchmarkError, match=r"can't be written to .*choose another with --cache"):
        prepared(data, tmp_path / "file")


# TextGrids


def textgrid(words: list[tuple[str, float, float]], phones: list[tuple[str, float, float]], short: bool, end: float) -> str:
    """As Praat writes it, in its long or its short form; ``end`` is the recording's."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    if short:
        lines += ["0", str(end), "<exists>", "2"]
    else:
        lines += ["xmin = 0 ", f"xmax = {end} ", "tiers? <exists> ", "size = 2 ", "item []: "]
    for number, (name, tier) in enumerate((("words", words), ("phones", phones)), 1):
        if short:
            lines += ['"IntervalTier"', f'"{name}"', "0", str(end), str(len(tier))]
            lines += [f'{a}\n{b}\n"{label}"' for label, a, b in tier]
        else:
            lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{name}" ', "        xmin = 0 "]
            lines += [f"        xmax = {end} ", f"        intervals: size = {len(tier)} "]
            for index, (label, a, b) in enumerate(tier, 1):
                lines += [f"        intervals [{index}]:", f"            xmin = {a} ", f"            xmax = {b} "]
                lines += [f'            text = "{label}" ']
    return "\n".join(lines) + "\n"


def grids(corpus: Corpus, data: Path, folder: Path, short: bool) -> dict[str, list[tuple[str, float, float]]]:
    """A TextGrid for the first speaker's utterances, each phone 70 ms long from 0.5 s on, 20 ms between words."""
    made = {}
    lengths = {path.stem: soundfile.info(path).duration for path in data.glob("WAVE/*/*")}
    for name in corpus.utterance_ids("0001"):
        phones, words, now = [("", 0.0, 0.5)], [("", 0.0, 0.5)], 0.5
        for word in corpus[name].words:
            start = now
            for phone in word:
                phones.append((phone, round(now, 4), round(now + 0.07, 4)))
                now += 0.07
            words.append(("2nd", round(start, 4), round(now, 4)))
            phones.append(("sp", round(now, 4), round(now + 0.02, 4)))
            now += 0.02
        made[name] = [entry for entry in phones if entry[0] not in ("", "sp")]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.TextGrid").write_text(textgrid(words, phones, short, lengths[name]), encoding="utf-16" if short else "utf-8")
    return made


@pytest.mark.parametrize("short", [False, True])
def test_textgrids_come_before_the_aligner(corpus: Corpus, data: Path, tmp_path: Path, short: bool) -> None:
    made = grids(corpus, data, tmp_path / "grids" / "0001", short)
    refused = sorted(made)[-1]
    path = tmp_path / "grids" / "0001" / f"{refused}.TextGrid"
    encoding = "utf-16" if short else "utf-8"
    arpabet = path.read_text(encoding=encoding).replace('"ð"', '"DH"').replace('"t"', '"T"').replace('"s"', '"S"')
    path.write_text(arpabet, encoding=encoding)
    found = prepared(data, tmp_path / "cache", textgrids=tmp_path / "grids")
    assert found.report["boundaries"] == {"TextGrid": len(made) - 1, "aligner": len(corpus) - len(made) + 1}
    assert found.report["textgrids refused"] == {"phones differ from the text's": {"count": 1, "examples": [refused]}}
    for name in sorted(made)[:-1]:
        item = found[name]
        _, removed = standardise(*soundfile.read(data / "WAVE" / "SPEAKER0001" / f"{name}.WAV", dtype="float32"))
        ends = np.cumsum(item.durations) * found.mel.seconds_per_frame
        phone = [i for i, token in enumerate(item.tokens) if found.symbols[token] not in (SILENCE, BOUNDARY)]
        inner = [(i, entry) for i, entry in zip(phone, made[name], strict=True) if entry[2] - removed < ends[-1] - 0.1]
        assert len(inner) > 5
        assert max(abs(ends[i] - (entry[2] - removed)) for i, entry in inner) < 0.02


def test_textgrids_in_the_data_root_are_found(corpus: Corpus, tmp_path: Path) -> None:
    data = speechocean(tmp_path / "data", PEOPLE)
    made = grids(corpus, data, data / "textgrids", False)
    assert prepared(data, tmp_path / "cache").report["boundaries"]["TextGrid"] == len(made)


def test_textgrids_of_other_recordings_are_refused_and_the_aligner_takes_over(corpus: Corpus, data: Path, tmp_path: Path) -> None:
    plain = {name: found for name, found in grids(corpus, data, tmp_path / "plain", False).items() if name < "00010006"}
    spoils: dict[str, Callable[[float], float]] = {
        "times lie outside the recording": lambda time: time + 5, "times are in milliseconds": lambda time: 1000 * time,
        "an interval does not end after it starts": lambda time: 0.6, "intervals are out of order": lambda time: 9 - time,
    }  # fmt: skip
    folder = tmp_path / "grids"
    folder.mkdir()
    for (name, phones), (reason, spoil) in zip(plain.items(), spoils.items(), strict=False):
        moved = [(phone, min(spoil(start), spoil(end)), max(spoil(start), spoil(end))) for phone, start, end in phones]
        whole = {"intervals are out of order": 9.0}.get(reason, spoil(1) if "milli" in reason else 2.0)
        (folder / f"{name}.TextGrid").write_text(textgrid(moved, moved, False, whole))
    *_, last = sorted(plain)
    (folder / f"{last}.TextGrid").write_text((tmp_path / "plain" / f"{last}.TextGrid").read_text().replace("xmax = ", "xmax = 1", 1))
    found = prepared(data, tmp_path / "cache", textgrids=folder)
    assert {reason: entry["count"] for reason, entry in found.report["textgrids refused"].items()} == {
        **dict.fromkeys(spoils, 1), "its length is not the recording's": 1,
    }  # fmt: skip
    assert found.report["boundaries"] == {"aligner": len(corpus)} and found.report["skipped"] == {}
    assert (found[last].durations == corpus[last].durations).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "not a TextGrid"), ("hello", "not a TextGrid"), ('"ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n0\n', "no phone tier")],
)
def test_a_textgrid_that_cannot_be_read_is_counted(data: Path, tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "00010000.TextGrid").write_text(content)
    found = prepared(data, tmp_path / "cache", textgrids=tmp_path / "grids")
    assert found.report["textgrids refused"] == {reason: {"count": 1, "examples": ["00010000"]}}
    assert found.report["boundaries"] == {"aligner": len(found)}


def test_textgrids_that_are_not_there_or_of_something_else(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="There is no folder of TextGrids"):
        prepared(data, tmp_path, textgrids=tmp_path / "nowhere")
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "other.TextGrid").write_text("")
    with pytest.raises(BenchmarkError, match=r"holds no TextGrid of this dataset: none of the 1 found .*00010000\.TextGrid"):
        prepared(data, tmp_path, textgrids=tmp_path / "grids")


# Durations, shards, the dataset's own boundaries


def test_a_datasets_own_boundaries_are_kept(tmp_path: Path) -> None:
    plugin = importlib.import_module("benchmark.datasets.espeak").Espeak
    dataset = plugin(None, plugin.Config(sentences=2))
    corpus = open_corpus("espeak", plugin.Config(sentences=2), None, tmp_path, 1, ())
    assert corpus.report["boundaries"] == {"dataset": 52}
    errors = []
    for utterance in [u for speaker in ("ed", "linda", "f5") for u in dataset.utterances(speaker)]:
        item = corpus[utterance.id]
        _, removed = standardise(*dataset.load(utterance))
        exact = [segment.end - removed for word in dataset.alignment(utterance) for segment in word]
        ends = np.cumsum(item.durations) * corpus.mel.seconds_per_frame
        phone = [i for i, token in enumerate(item.tokens) if corpus.symbols[token] not in (SILENCE, BOUNDARY)]
        errors += [abs(ends[i] - end) for i, end in zip(phone, exact, strict=True)]
    # Half a frame is 8 ms; the end of an utterance may be trimmed.
    assert np.quantile(errors, 0.9) <= 0.0081 and max(errors) < 0.1


def layout(*words: list[tuple[float, float]]) -> list[list[Segment]]:
    return [[Segment("a", start, end) for start, end in word] for word in words]


def test_durations_round_boundaries_and_keep_pauses(corpus: Corpus) -> None:
    frame = corpus.mel.seconds_per_frame
    words = layout([(2 * frame, 5 * frame), (5 * frame, 6.4 * frame)], [(10 * frame, 12 * frame)])
    assert durations(words, 15, corpus.mel).tolist() == [2, 3, 1, 4, 2, 3]


def test_durations_give_each_phone_a_frame_and_sum_to_all_frames(corpus: Corpus) -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        count, frames = int(generator.integers(1, 12)), int(generator.integers(12, 40))
        edges = np.sort(generator.uniform(-0.05, frames * corpus.mel.seconds_per_frame + 0.05, count + 1))
        pieces = list(itertools.pairwise(edges))
        split = int(generator.integers(0, count))
        words = layout(*[part for part in (pieces[:split], pieces[split:]) if part])
        found = durations(words, frames, corpus.mel)
        tokens = token_symbols([["a"] * len(word) for word in words])
        assert found.sum() == frames and len(found) == len(tokens)
        assert all(length >= (token == "a") for length, token in zip(found, tokens, strict=True))
    with pytest.raises(Unusable, match="too short for its phones"):
        durations(layout([(0.0, 0.1)] * 5), 4, corpus.mel)


def test_shards_end_by_speakers_and_by_hours() -> None:
    chunks = [Chunk(str(number), "train", (), {}, str(number)) for number in range(130)]
    assert [len(some) for some in group(chunks, lambda _: 0.01)] == [SHARD_SPEAKERS, SHARD_SPEAKERS, 2]
    assert [len(some) for some in group(chunks[:7], lambda _: 2.5)] == [2, 2, 2, 1]
    assert [len(some) for some in group(chunks[:3], lambda _: 9.0)] == [1, 1, 1]
    assert group([], lambda _: 1.0) == []


# The command


def test_the_command_ends_with_what_there_is_and_what_was_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = speechocean(tmp_path / "speechocean762", PEOPLE)
    next(data.glob("WAVE/*0003/*0002.WAV")).write_bytes(b"")
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    monkeypatch.setenv("BENCHMARK_CACHE", str(tmp_path / "cache"))
    assert cli.main(["prepare", "--dataset", "speechocean762", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "train         4 speakers      23 utterances" in said and "skipped 1: empty audio file (00030002)" in said
    assert "phone boundaries from aligner (35)" in said
    assert str(tmp_path / "cache" / "corpora") in said


def test_the_command_says_that_rows_on_other_data_cannot_be_compared(
    corpus: Corpus, data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.results.leaderboard_places.folder", lambda: tmp_path)
    table = tmp_path / "speechocean762.csv"
    columns = [*IDENTITY, *COSTS, *PROVENANCE]

    def said(version: str) -> str:
        table.write_text(f"{','.join(columns)}\n{','.join(version if name == 'data_version' else '0' for name in columns)}\n")
        assert cli.main(["prepare", "--dataset", "speechocean762", "--data-root", str(data), "--cache", str(cache), "--workers", "1"]) == 0
        return capsys.readouterr().out

    assert f"can't be compared with those of {table}: they were computed on data version 0123abcd, but yours" in said("0123abcd")
    assert "compared" not in said(corpus.version)


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--dataset", "speechocean763"], 2, "did you mean 'speechocean762'"),
        (["--dataset", "speechocean762"], 2, "needs --data-root"),
        (["--dataset", "speechocean762", "--data-root", "nowhere"], 2, "found: no such folder"),
        (["--dataset", "speechocean762", "--data-root", "."], 2, "does not hold speechocean762"),
        (["--dataset", "speechocean762", "--data-root", "parent"], 2, "Did you mean parent/speechocean762?"),
        (["--dataset", "speechocean762", "--data-root", "file"], 2, "found: a file, not a folder"),
        (["--dataset", "vctk", "--data-root", "."], 2, "does not hold VCTK"),
        (["--dataset", "vctk", "--data-root", "file"], 2, "found: a file, not a folder"),
        (["--dataset", "espeak", "--data-root", "."], 2, "Dataset espeak takes no --data-root: It is rendered on the fly."),
        (["--dataset", "espeak", "--download"], 2, "Dataset espeak takes no --download"),
        (["--dataset", "espeak", "--workers", "0"], 2, "Argument --workers: must be a whole number, at least 1, not 0"),
        (["--dataset", "speechocean762", "--data-root", ".", "--download"], 2, "can't be downloaded from here"),
    ],
)
def test_wrong_use_is_one_sentence(
    options: list[str], status: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCHMARK_DATA", raising=False)
    (tmp_path / "parent" / "speechocean762").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert sentence in refused(["prepare", *options, "--cache", tmp_path / "cache"], status, capsys)


def test_data_that_cannot_serve_is_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(root: Path, *more: object, status: int = 1) -> str:
        places = ["--data-root", root, "--cache", tmp_path / "cache", "--workers", "1"]
        return refused(["prepare", "--dataset", "speechocean762", *places, *more], status, capsys)

    assert "holds no utterances; expected train/" in said(speechocean(tmp_path / "none", {}))
    silent = speechocean(tmp_path / "silent", PEOPLE, SENTENCES[:1])
    for path in silent.glob("WAVE/*/*"):
        path.write_bytes(b"")
    assert "6 utterances were skipped (empty audio file). Check the data root." in said(silent)
    (tmp_path / "file").touch()
    assert "Argument --cache: must be a folder" in said(data, "--cache", tmp_path / "file", status=2)
    with full_disk(5000):
        assert "choose a folder that is writable and has space" in said(data)
    # Enough to be prepared, too little to draw episodes from.
    assert "no validation speakers with usable audio" in said(data, "--write-manifest", tmp_path / "manifest.json")
    # Too little for a run of the usual size.
    adults = {f"{number:04d}": WOMAN for number in range(7, 14)}
    few = speechocean(tmp_path / "few", PEOPLE | adults, SENTENCES[:3])
    sentence = "have fewer than the 16 utterances that 10 shots, 4 queries and a centroid of 2 need"
    assert sentence in said(few, "--write-manifest", tmp_path / "manifest.json", status=2)
    assert not (tmp_path / "manifest.json").exists()
