"""The usual layouts of speech corpora, each read into utterances."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from benchmark.dataset import SPLITS, Utterance, read_lines, read_transcript
from benchmark.errors import BenchmarkError

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
"""File name endings of recordings, in either case."""
AUDIO, TEXT, SPEAKER = ("audio", "file_name", "path", "file"), ("text", "transcription", "sentence"), ("speaker", "speaker_id", "client_id")
"""Names of a table's columns: ours, then those of Hugging Face's and Common Voice's tables."""
NOBODY = "speaker"
"""The one speaker of recordings that name none."""

Found = tuple[list[Utterance], dict[str, str]]
"""The utterances, and the given splits by speaker."""


def header_table(root: Path) -> Found | None:
    """``metadata.csv`` with a header: ``audio,text,speaker`` and optionally ``language,style,split``; other columns are labels.

    Hugging Face's ``file_name,transcription,speaker_id`` is the same table under other names. Paths are relative to the root.
    """
    path = root / "metadata.csv"
    if not path.is_file():
        return None
    rows = csv.reader(read_lines(path))
    header = [name.strip().casefold() for name in next(rows, [])]
    audio, text = _first(AUDIO, header), _first(TEXT, header)
    if audio is None or text is None:
        return None
    speaker = _first(SPEAKER, header)
    found: list[Utterance] = []
    splits: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        if not any(row):
            continue
        if len(row) != len(header):
            columns = f"{len(row)} columns, but the header has {len(header)}"
            raise BenchmarkError(f"{path}, line {number}, has {columns}; put texts with commas into double quotes.")
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
        who = cells.pop(speaker) if speaker else NOBODY
        file = cells.pop(audio)
        if split := cells.pop("split", "").casefold():
            _place(who, split, splits, f"{path}, line {number},")
        found.append(Utterance(
            Path(file).with_suffix("").as_posix(), who, cells.pop(text), root / file, cells.pop("language", ""), cells.pop("style", ""),
            {name: cell for name, cell in cells.items() if cell},
        ))  # fmt: skip
    return _named(found), splits


def ljspeech(root: Path) -> Found | None:
    """LJSpeech's layout: ``metadata.csv`` of ``id|text|normalised text`` without a header, and ``wavs/id.wav``; one speaker."""
    path = root / "metadata.csv"
    if not path.is_file() or not (root / "wavs").is_dir():
        return None
    files = {file.stem: file for file in recordings(root / "wavs")}
    found = []
    for line in read_lines(path):
        name, bar, texts = line.partition("|")
        if bar and name:
            # The last column spells numbers out.
            found.append(Utterance(name, NOBODY, texts.split("|")[-1].strip(), files.get(name, root / "wavs" / f"{name}.wav")))
    return (found, {}) if found else None


def kaldi(root: Path) -> Found | None:
    """Kaldi's tables ``wav.scp``, ``text`` and ``utt2spk``, in the root or in folders named after splits."""
    found: list[Utterance] = []
    splits: dict[str, str] = {}
    for folder in (root, *(root / split for split in (*SPLITS, "dev"))):
        if not all((folder / name).is_file() for name in ("wav.scp", "text", "utt2spk")):
            continue
        tables = {name: kaldi_table(folder / name) for name in ("wav.scp", "text", "utt2spk")}
        for name, speaker in sorted(tables["utt2spk"].items()):
            where = tables["wav.scp"].get(name, f"missing/{name}")
            piped = "audio is the output of a command, decode it to a file" if where.endswith("|") else ""
            audio = next((base / where for base in (root, folder) if (base / where).is_file()), root / where)
            found.append(Utterance(name, speaker, tables["text"].get(name, ""), audio, unusable=piped))
            if folder != root:
                _place(speaker, folder.name, splits, f"{folder}")
    return (found, splits) if found else None


def plain(root: Path) -> Found | None:
    """One folder per speaker: ``speaker/utterance.wav`` with ``speaker/utterance.txt`` beside it."""
    found = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for file in recordings(folder):
            beside = {path.suffix.casefold(): path for path in file.parent.glob(f"{_escaped(file.stem)}.*")}
            text, unusable = read_transcript(beside.get(".txt", file.with_suffix(".txt")))
            name = file.relative_to(root).with_suffix("").as_posix()
            found.append(Utterance(name, folder.name, text, file, unusable=unusable))
    return (_named(found), {}) if found else None


LAYOUTS: Mapping[str, Callable[[Path], Found | None]] = {
    "a table with a header, metadata.csv": header_table,
    "LJSpeech's layout": ljspeech,
    "Kaldi's tables": kaldi,
    "a folder a speaker": plain,
}
"""In the order in which they are tried."""


def recordings(folder: Path) -> Iterator[Path]:
    """The recordings in a folder and below, sorted, without the files that macOS leaves beside them (``._x.wav``)."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.casefold() in ENDINGS and not path.name.startswith(".") and path.is_file():
            yield path


def kaldi_table(path: Path) -> dict[str, str]:
    """A Kaldi table: a key, white space, a value."""
    rows = (line.replace("\t", " ").partition(" ") for line in read_lines(path))
    return {key: value.strip() for key, _, value in rows if key}


def _named(utterances: list[Utterance]) -> list[Utterance]:
    """Utterances named after their files, or after their whole paths where two files share a name."""
    stems = Counter(utterance.id.rpartition("/")[2] for utterance in utterances)
    return [
        replace(each, id=stem if stems[stem := each.id.rpartition("/")[2]] == 1 else each.id.replace("/", "-")) for each in utterances
    ]


def _first(names: tuple[str, ...], header: list[str]) -> str | None:
    return next((name for name in names if name in header), None)


def _place(speaker: str, given: str, splits: dict[str, str], where: str) -> None:
    split = "validation" if given in ("dev", "valid", "val") else given
    if split not in SPLITS:
        raise BenchmarkError(f"{where} has the split {given!r}; splits are {', '.join(SPLITS)}.")
    if splits.setdefault(speaker, split) != split:
        raise BenchmarkError(f"{where} puts {speaker} into {split}, another place puts it into {splits[speaker]}; give it one split.")


def _escaped(stem: str) -> str:
    """A name that ``glob`` takes literally."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in stem)
