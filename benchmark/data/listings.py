"""The usual layouts of speech corpora, each read into utterances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from benchmark.data.places import (
    CONVERT,
    ENDINGS,
    SPLIT_NAMES,
    Recordings,
    place,
    recordings,
    split_folders,
    subfolders,
    transcript_of,
    without_ending,
)
from benchmark.data.tables import header_of, lines_of, read_table, shown, text_of
from benchmark.dataset import Utterance, read_lines
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import is_file, printable

AUDIO = ("audio", "file_name", "path", "file", "filename", "audio_file", "audio_path", "wav_filename", "id")
TEXT = ("text", "transcription", "sentence", "transcript", "normalized_text", "normalised_text")
SPEAKER = ("speaker", "speaker_id", "client_id", "speaker_name")
"""Names of a table's columns: ours, then those of Hugging Face's, Common Voice's and other tables."""
KNOWN = {*AUDIO, *TEXT, *SPEAKER}
NOBODY = "speaker"
"""The one speaker of recordings that name none."""
ONE_VOICE = "no speaker column, so all is one voice"
WAVS = ("wavs", "wav")
"""LJSpeech's folder of recordings, and what some call it."""


class Found(NamedTuple):
    """What a layout holds.

    Attributes:
        utterances: in any order.
        splits: the given splits, by speaker.
        said: what the reader concluded and a user should know; "" if nothing.
    """

    utterances: list[Utterance]
    splits: dict[str, str]
    said: str = ""


def header_table(root: Path) -> Found | None:
    """``metadata.csv`` with a header: ``audio,text,speaker`` and optionally ``language,style,split``; other columns are labels.

    Hugging Face's ``file_name,transcription,speaker_id`` is the same table under other names. Paths are relative to the table, which may
    also lie in folders named after splits.

    Raises:
        BenchmarkError: there is a table, but this layout and LJSpeech's can't read it.
    """
    own = [(path, "") for path in [_table(root)] if path]
    tables = own or [(path, split) for folder, split in split_folders(root) if (path := _table(folder))]
    found: list[Utterance] = []
    splits: dict[str, str] = {}
    unnamed = False
    for path, split in tables:
        if _headerless(path):
            return None
        some, spoken = _rows(path, root, split, splits)
        found += some
        unnamed |= not spoken
    return Found(_named(found), splits, ONE_VOICE if unnamed else "") if tables else None


def _table(folder: Path) -> Path | None:
    """The folder's table."""
    if (folder / "metadata.jsonl").is_file() and not (folder / "metadata.csv").is_file():
        raise BenchmarkError(f"{folder / 'metadata.jsonl'} can't be read; save it as metadata.csv.")
    return next((path for name in ("metadata.csv", "metadata.tsv") if (path := folder / name).is_file()), None)


def _rows(path: Path, root: Path, split: str, splits: dict[str, str]) -> tuple[list[Utterance], bool]:
    """The utterances of a table with a header, and whether it names speakers.

    Args:
        path: of the table.
        root: of the corpus.
        split: that the table's folder is named after; "" if the table may have a column of splits.
        splits: by speaker; filled in.
    """
    table = read_table(path, KNOWN)
    columns = table.columns if table else header_of(lines_of(path), KNOWN)[0]
    audio, text, speaker = (next((name for name in names if name in columns), None) for names in (AUDIO, TEXT, SPEAKER))
    if table is None or audio is None or text is None:
        missing = " and ".join(name for name, there in (("audio", audio), ("text", text)) if there is None)
        missing += " are missing" if " " in missing else " is missing"
        raise BenchmarkError(f"{path} has {shown(columns)}; {missing} (its first line must be audio,text,speaker).")
    files = Recordings(path.parent, (*WAVS, "clips"))
    folder = PurePosixPath(path.parent.relative_to(root).as_posix())
    found = []
    for number, row in table.rows:
        where = f"{path}, line {number},"
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
        who = printable(cells.pop(speaker)) if speaker else NOBODY
        if not who:
            raise BenchmarkError(f"{where} names no speaker; fill in the column {speaker}, or remove it if all is one voice.")
        file, (said, unusable) = cells.pop(audio), text_of(cells.pop(text))
        if given := cells.pop("split", "").casefold() or (split if speaker else ""):
            place(who, given, splits, where)
        name = without_ending(str(folder / file.replace("\\", "/")))
        if not PurePosixPath(file).name:
            name, unusable = f"line {number} of {folder / path.name}", "no audio file named"
        cells = {name: printable(cell) for name, cell in cells.items()}
        found.append(Utterance(
            printable(name), who, said, files.find(file), cells.pop("language", ""), cells.pop("style", ""),
            {printable(name): cell for name, cell in cells.items() if cell}, unusable,
        ))  # fmt: skip
    return found, speaker is not None


def ljspeech(root: Path) -> Found | None:
    """LJSpeech's layout: ``metadata.csv`` of ``id|text|normalised text`` without a header, and ``wavs/id.wav``.

    A column of few different values names the speaker (Piper's ``id|speaker|text``, Coqui's ``id|text|text|speaker``).

    Raises:
        BenchmarkError: it can't be told which column is what.
    """
    path = root / "metadata.csv"
    if not path.is_file() or not _headerless(path):
        return None
    rows = [(number, [cell.strip() for cell in line.split("|")]) for number, line in enumerate(lines_of(path), 1)]
    rows = [(number, row) for number, row in rows if len(row) > 1 and row[0]]
    column = _speaker_column(path, [row for _, row in rows])
    files = Recordings(root, WAVS)
    found = []
    for number, row in rows:
        who = printable(row.pop(column)) if 0 < column < len(row) else NOBODY if not column else ""
        if not who:
            raise BenchmarkError(f"{path}, line {number}, names no speaker in column {column + 1}; fill it in.")
        # The last column spells numbers out.
        text, unusable = text_of(next((cell for cell in reversed(row[1:]) if cell), ""))
        found.append(Utterance(printable(without_ending(row[0])), who, text, files.find(row[0]), unusable=unusable))
    said = f"speakers in column {column + 1}" if column else "one voice"
    return Found(_named(found), {}, said) if found else None


def _headerless(path: Path) -> bool:
    """Whether a table is LJSpeech's: no header, bars, and recordings beside it."""
    lines = [line for line in lines_of(path) if line.strip()] if path.name == "metadata.csv" else []
    if not lines or "|" not in lines[0] or KNOWN.intersection(header_of(lines[:1], KNOWN)[0]):
        return False
    first = Recordings(path.parent).find(lines[0].partition("|")[0].strip())
    return any((path.parent / name).is_dir() for name in WAVS) or is_file(first)


def _speaker_column(path: Path, rows: list[list[str]]) -> int:
    """The column that names speakers, counted from 0, the id's; 0 if none does.

    A column names them if fewer than half of its cells differ. So do texts of which most are read many times: if that holds of two
    columns, and one of them is not the other spelt out, nobody can tell.
    """
    width = max(map(len, rows), default=0)
    cells = {column: [row[column] for row in rows if len(row) > column and row[column]] for column in range(1, width)}
    few = [column for column, some in cells.items() if 2 * len(set(some)) < len(some)] if width > 2 else []
    if width == 3 and len(few) == 2:
        texts, others = (set(cells[column]) for column in few)
        pairs = {tuple(row[1:]) for row in rows if len(row) == 3 and all(row)}
        if len(pairs) <= max(len(texts), len(others)) < 2 * min(len(texts), len(others)):
            few = []
    if len(few) > 1 or width - len(few) > 3:
        why = f"it can't be told which of its {width} columns is the text and which the speaker"
        raise BenchmarkError(f"{path}: {why}; give it a first line of names, such as audio|speaker|text.")
    return few[0] if few else 0


def kaldi(root: Path) -> Found | None:
    """Kaldi's tables ``wav.scp``, ``text``, ``utt2spk`` and perhaps ``utt2lang``, in the root or in folders named after splits.

    Raises:
        BenchmarkError: a table is missing; ``segments`` cuts recordings, which is not supported.
    """
    found: list[Utterance] = []
    splits: dict[str, str] = {}
    for folder, split in [(root, ""), *split_folders(root)]:
        if not (folder / "wav.scp").is_file():
            continue
        if lacking := [name for name in ("text", "utt2spk") if not (folder / name).is_file()]:
            raise BenchmarkError(f"{folder} has wav.scp but not {' and '.join(lacking)}; Kaldi's layout needs wav.scp, text and utt2spk.")
        if (folder / "segments").is_file():
            raise BenchmarkError(f"{folder / 'segments'} cuts recordings into utterances; save each utterance as a file of its own.")
        tables = {name: kaldi_table(folder / name, lines_of) for name in ("wav.scp", "text", "utt2spk")}
        languages = kaldi_table(folder / "utt2lang", lines_of) if (folder / "utt2lang").is_file() else {}
        files = [Recordings(base) for base in (root, folder)]
        for name, speaker in sorted(tables["utt2spk"].items()):
            who, (text, unusable) = printable(speaker), text_of(tables["text"].get(name, ""))
            where = tables["wav.scp"].get(name, f"missing/{name}")
            audio = root / where
            if where.endswith("|"):
                unusable = "audio is the output of a command, decode it to a file"
            else:
                audio = next((path for some in files if is_file(path := some.find(where))), audio)
            found.append(Utterance(printable(name), who, text, audio, printable(languages.get(name, "")), unusable=unusable))
            if split:
                place(who, split, splits, f"{folder}")
    if not found and (elsewhere := sorted(root.glob("*/wav.scp"))):
        raise BenchmarkError(f"{elsewhere[0].parent} holds Kaldi's tables, but is not named after a split; call it train, dev or test.")
    return Found(found, splits) if found else None


def plain(root: Path) -> Found | None:
    """One folder per speaker: ``speaker/utterance.wav`` with ``speaker/utterance.txt`` beside it.

    Folders of speakers may lie in folders named after splits. A single folder that holds only folders is passed through.

    Raises:
        BenchmarkError: a folder named after a split has recordings of nobody.
    """
    base, folders = root, _spoken(root)
    while len(folders) == 1 and not any(_readable(folders[0], False)) and len(subfolders(folders[0])) > 0:
        base, folders = folders[0], _spoken(folders[0])
    splits: dict[str, str] = {}
    places = [(folder, "") for folder in folders]
    if len(folders) > 1 and all(folder.name.casefold() in SPLIT_NAMES for folder in folders):
        places = []
        for folder in folders:
            if any(_readable(folder, False)):
                raise BenchmarkError(f"{folder} is named after a split, but holds recordings of nobody; put a folder a speaker in it.")
            places += [(speaker, folder.name.casefold()) for speaker in _spoken(folder)]
    found = []
    for folder, split in places:
        who = printable(folder.name)
        if split:
            place(who, split, splits, f"{base / split}")
        for file in _readable(folder, True):
            text, unusable = transcript_of(file)
            name = file.relative_to(root).with_suffix("").as_posix()
            found.append(Utterance(printable(name), who, text, file, unusable=unusable))
    return Found(_named(found), splits) if found else None


def _spoken(folder: Path) -> list[Path]:
    """The folders in a folder that hold recordings."""
    return [path for path in subfolders(folder) if any(_readable(path, True))]


def _readable(folder: Path, below: bool) -> Iterator[Path]:
    """A folder's recordings, with those below it or without; a copy that can't be decoded is left out if another can."""
    some = list(recordings(folder, ENDINGS + CONVERT))
    decoded = {path.with_suffix("") for path in some if path.suffix.casefold() in ENDINGS}
    for path in some:
        if (below or path.parent == folder) and (path.suffix.casefold() in ENDINGS or path.with_suffix("") not in decoded):
            yield path


LAYOUTS: Mapping[str, Callable[[Path], Found | None]] = {
    "a table with a header, metadata.csv": header_table,
    "LJSpeech's layout": ljspeech,
    "Kaldi's tables": kaldi,
    "a folder a speaker": plain,
}
"""In the order in which they are tried."""


def kaldi_table(path: Path, read: Callable[[Path], list[str]] = read_lines) -> dict[str, str]:
    """A Kaldi table: a key, white space, a value."""
    rows = (line.replace("\t", " ").split(maxsplit=1) for line in read(path))
    return {row[0]: "".join(row[1:]).strip() for row in rows if row}


def _named(utterances: list[Utterance]) -> list[Utterance]:
    """Utterances named after their files, or after their whole paths where two files share a name."""
    stems = Counter(utterance.id.rpartition("/")[2] for utterance in utterances)
    return [
        replace(each, id=stem if stems[stem := each.id.rpartition("/")[2]] == 1 else each.id.replace("/", "-")) for each in utterances
    ]
