"""Kaldi's tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.data.layouts.found import WAV_SCP, Found, tables_in
from benchmark.data.places import Recordings, place
from benchmark.data.tables import lines_of, text_of
from benchmark.dataset import Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import is_file, printable


def kaldi(root: Path) -> Found | None:
    """Kaldi's tables ``wav.scp``, ``text``, ``utt2spk`` and perhaps ``utt2lang``, in the root or in folders named after splits.

    Raises:
        BenchmarkError: a table is missing, or names an utterance twice or without its speaker; ``segments`` cuts recordings, which is not
            supported.
    """
    found: list[Utterance] = []
    splits: dict[str, str] = {}
    for path, split in tables_in(root, WAV_SCP):
        folder = path.parent
        if lacking := [name for name in ("text", "utt2spk") if not (folder / name).is_file()]:
            raise BenchmarkError(f"{folder} has wav.scp but not {' and '.join(lacking)}; Kaldi's layout needs wav.scp, text and utt2spk.")
        if (folder / "segments").is_file():
            raise BenchmarkError(f"{folder / 'segments'} cuts recordings into utterances; save each utterance as a file of its own.")
        some = list(_utterances(folder, root))
        for speaker in sorted({each.speaker for each in some}) if split else []:
            place(speaker, split, splits, f"{folder}")
        found += some
    return Found(found, splits) if found else None


def kaldi_table(path: Path) -> dict[str, str]:
    """A Kaldi table: a key, white space, a value. What is not UTF-8 text becomes surrogates (:func:`benchmark.data.tables.text_of`).

    Raises:
        BenchmarkError: a key has two values.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(lines_of(path), 1):
        key, _, value = line.replace("\t", " ").strip().partition(" ")
        value = value.strip()
        if key and table.setdefault(key, value) != value:
            raise BenchmarkError(f"{path}, line {number}, has {printable(key)} a second time; remove one of the lines.")
    return table


def _utterances(folder: Path, root: Path) -> Iterator[Utterance]:
    """The utterances of a folder with Kaldi's tables; paths may be relative to it or to the corpus's root."""
    paths, texts, speakers = (kaldi_table(folder / name) for name in ("wav.scp", "text", "utt2spk"))
    languages = kaldi_table(folder / "utt2lang") if (folder / "utt2lang").is_file() else {}
    files = [Recordings(base) for base in (root, folder)]
    for name in sorted({**paths, **texts, **speakers}):
        if not speakers.get(name):
            raise BenchmarkError(f"{folder / 'utt2spk'} names no speaker for {printable(name)}; add its line.")
        (text, unusable), where = text_of(texts.get(name, "")), paths.get(name, f"missing/{name}")
        audio = root / where
        if where.endswith("|"):
            unusable = "audio is the output of a command, decode it to a file"
        else:
            audio = next((path for some in files if is_file(path := some.find(where)[0])), audio)
        yield Utterance(printable(name), printable(speakers[name]), text, audio, printable(languages.get(name, "")), unusable=unusable)
