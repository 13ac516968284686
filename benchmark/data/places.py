"""Where a corpus's recordings and their transcripts lie, and how its folders are called."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from benchmark.dataset import SPLITS, read_transcript
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import is_file, printable

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
"""File name endings of recordings, in either case. Of a recording's copies, that with the first of them is read."""
CONVERT = (".m4a", ".aac", ".mp4", ".wma")
"""Endings of recordings that can't be decoded here."""
TEXTS = (".txt", ".lab")
"""Endings of transcripts, in either case; the first that is there is read. ``.lab`` is the Montreal Forced Aligner's."""
SPLIT_NAMES = {
    **{split: split for split in SPLITS}, "training": "train", "dev": "validation", "valid": "validation", "val": "validation",
    "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip


def recordings(folder: Path, below: bool = True) -> list[Path]:
    """The recordings in a folder, sorted, without the files that macOS leaves beside them (``._x.wav``).

    Files that differ only in their ending are copies of one recording: one of them is taken, see :data:`ENDINGS`.

    Args:
        folder: where to look. Links to folders are followed.
        below: look in the folders below it as well.
    """
    copies: dict[Path, list[Path]] = {}
    for path in _files(folder) if below else filter(_is_recording, _entries(folder)):
        copies.setdefault(path.with_suffix(""), []).append(path)
    best = {stem: min(map(_rank, some)) for stem, some in copies.items()}
    return [path for stem, some in copies.items() for path in some if _rank(path) == best[stem]]


def has_recordings(folder: Path) -> bool:
    """Whether there is a recording in a folder or below."""
    return any(_files(folder))


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted, without hidden ones and what macOS's archives add."""
    return [path for path in _entries(folder) if path.is_dir()]


def place(speaker: str, given: str, splits: dict[str, str], where: str) -> None:
    """Note a speaker's split.

    Raises:
        BenchmarkError: there is no such split, or another place says another.
    """
    split = SPLIT_NAMES.get(given)
    if split is None:
        raise BenchmarkError(f"{where} has the split {printable(given)!r}; splits are {', '.join(SPLITS)}.")
    if splits.setdefault(speaker, split) != split:
        raise BenchmarkError(f"{where} puts {speaker} into {split}, another place puts it into {splits[speaker]}; give it one split.")


class Transcripts:
    """Finds the texts beside recordings: files that are called the same but end as :data:`TEXTS`; each folder is listed once.

    LibriTTS's ``x.normalized.txt`` is read where there is no ``x.txt``.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, Path]] = {}

    def of(self, recording: Path) -> tuple[str, str]:
        """A recording's text, and why it can't be used; see :func:`benchmark.dataset.read_transcript`."""
        folder = recording.parent
        if folder not in self._folders:
            self._folders[folder] = self._texts(folder)
        texts, stem = self._folders[folder], _composed(recording.stem)
        return read_transcript(texts.get(stem) or texts.get(f"{stem}.normalized") or recording.with_suffix(TEXTS[0]))

    @staticmethod
    def _texts(folder: Path) -> dict[str, Path]:
        """By file name without the ending; lower case comes before upper case."""
        some = [path for path in _entries(folder) if path.suffix.casefold() in TEXTS]
        found: dict[str, Path] = {}
        for path in sorted(some, key=lambda path: (TEXTS.index(path.suffix.casefold()), path.suffix not in TEXTS)):
            found.setdefault(_composed(path.stem), path)
        return found


class Recordings:
    """Finds the recordings that a table names, however their names are written.

    Args:
        root: the folder that names are relative to.
        folders: below it, to look in as well; in them and below, a name without a folder is enough.
    """

    def __init__(self, root: Path, folders: Sequence[str] = ()) -> None:
        self.root, self.folders = root, folders

    def find(self, name: str) -> tuple[Path, str]:
        """The file, and why it can't be told which it is, "" if it can.

        It is called exactly so, or has accents composed otherwise, backslashes, another case of the ending or none. If there is no such
        file, the one that was expected.
        """
        places = [self.root, *(self.root / folder for folder in self.folders)]
        exact = next((place / name for place in places if is_file(place / name)), None)
        if exact is not None:
            return exact, ""
        wanted = _key(name.replace("\\", "/"))
        by_path, by_stem = self._known
        for key in (wanted, *(f"{folder}/{wanted}" for folder in self.folders)):
            if key in by_path:
                return by_path[key], ""
        found = by_stem.get(without_ending(wanted), {})
        if len(found) > 1:
            return places[0] / name, f"two recordings are called {printable(name)}"
        return next(iter(found.values()), places[0] / name), ""

    @cached_property
    def _known(self) -> tuple[dict[str, Path], dict[str, dict[Path, Path]]]:
        """Files by relative path, with and without the ending; and those in ``folders`` by name alone, each without and with its ending."""
        by_path: dict[str, Path] = {}
        by_stem: dict[str, dict[Path, Path]] = {}
        for path in sorted(_files(self.root), key=_rank):
            relative = PurePosixPath(path.relative_to(self.root).as_posix())
            by_path.setdefault(_key(str(relative)), path)
            by_path.setdefault(_key(str(relative.with_suffix(""))), path)
            if relative.parts[0] in self.folders:
                by_stem.setdefault(_key(path.stem), {}).setdefault(path.with_suffix(""), path)
        return by_path, by_stem


def without_ending(name: str) -> str:
    """A file's name without the ending of a recording; other dots belong to the name."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.casefold()}" in ENDINGS + CONVERT else name


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden names and what macOS's archives add."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))) if folder.is_dir() else []


def _files(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The recordings in a folder and below, sorted; a link to a folder that it lies in (``above``) is not followed."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in _entries(folder):
        if path.is_dir():
            yield from _files(path, above | {real})
        elif _is_recording(path):
            yield path


def _is_recording(path: Path) -> bool:
    return path.suffix.casefold() in ENDINGS + CONVERT and is_file(path)


def _rank(path: Path) -> int:
    return (ENDINGS + CONVERT).index(path.suffix.casefold())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _key(name: str) -> str:
    """A name as it is compared: composed accents, the ending in lower case."""
    plain = str(PurePosixPath(_composed(name)))
    stem = without_ending(plain)
    return stem + plain[len(stem) :].casefold()
