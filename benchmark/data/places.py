"""Where a corpus's recordings lie, and how its folders are called."""

from __future__ import annotations

import glob
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from benchmark.dataset import SPLITS, read_transcript
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import is_file, printable

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
"""File name endings of recordings, in either case."""
CONVERT = (".m4a", ".aac", ".mp4", ".wma")
"""Endings of recordings that can't be decoded here."""
SPLIT_NAMES = {**{split: split for split in SPLITS}, "dev": "validation", "valid": "validation", "val": "validation"}


def recordings(folder: Path, endings: Sequence[str] = ENDINGS) -> Iterator[Path]:
    """The recordings in a folder and below, sorted, without the files that macOS leaves beside them (``._x.wav``)."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.casefold() in endings and not path.name.startswith(".") and is_file(path):
            yield path


def transcript_of(recording: Path) -> tuple[str, str]:
    """The text in the file beside a recording that is called the same but ends in ``.txt``, in either case; see :func:`read_transcript`."""
    beside = {path.suffix.casefold(): path for path in recording.parent.glob(f"{glob.escape(recording.stem)}.*")}
    return read_transcript(beside.get(".txt", recording.with_suffix(".txt")))


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted, without hidden ones and what macOS's archives add."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def split_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """The folders in the root, or else in its folder ``data``, that are named after splits, and their splits."""
    for base in (root, root / "data"):
        found = [(path, SPLIT_NAMES[path.name.casefold()]) for path in subfolders(base) if path.name.casefold() in SPLIT_NAMES] \
            if base.is_dir() else []  # fmt: skip
        yield from found
        if found:
            return


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


class Recordings:
    """Finds the recordings that a table names, however their names are written.

    Args:
        root: the folder that names are relative to.
        folders: below it, to look in as well.
    """

    def __init__(self, root: Path, folders: Sequence[str] = ()) -> None:
        self.root, self.folders = root, folders

    def find(self, name: str) -> Path:
        """The file: exactly so named; or with accents composed otherwise, backslashes, another case of the ending or none.

        If there is none, the file that was expected.
        """
        places = [self.root, *(self.root / folder for folder in self.folders)]
        exact = next((place / name for place in places if is_file(place / name)), None)
        if exact is not None:
            return exact
        wanted = _key(name.replace("\\", "/"))
        keys = [wanted, *(f"{folder}/{wanted}" for folder in self.folders)]
        return next((self._files[key] for key in keys if key in self._files), places[0] / name)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """By relative path, with and without the ending; without the folder too if it is one of ``folders``."""
        found: dict[str, Path] = {}
        for path in recordings(self.root, ENDINGS + CONVERT):
            relative = PurePosixPath(path.relative_to(self.root).as_posix())
            found.setdefault(_key(str(relative)), path)
            found.setdefault(_key(str(relative.with_suffix(""))), path)
        for folder in self.folders:  # LJSpeech's table gives names without folders
            for path in recordings(self.root / folder):
                found.setdefault(f"{folder}/{_key(path.stem)}", path)
        return found


def without_ending(name: str) -> str:
    """A file's name without the ending of a recording; other dots belong to the name."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.casefold()}" in ENDINGS + CONVERT else name


def _key(name: str) -> str:
    """A name as it is compared: composed accents, the ending in lower case."""
    plain = PurePosixPath(unicodedata.normalize("NFC", name))
    stem = without_ending(str(plain))
    return stem + str(plain)[len(stem) :].casefold()
