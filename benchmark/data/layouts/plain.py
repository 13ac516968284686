"""Folders of speakers, without a table."""

from __future__ import annotations

from pathlib import Path

from benchmark.data.layouts.found import Found, named, refuse_tables
from benchmark.data.places import SPLIT_NAMES, Transcripts, has_recordings, place, recordings, subfolders
from benchmark.dataset import Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import printable
from benchmark.plumbing.words import counted, listed

PEOPLE = {"dev", "val"}
"""Names of splits that are also people's: beside other speakers, a folder so called that holds recordings is a speaker's."""


def plain(root: Path) -> Found | None:
    """One folder per speaker: ``speaker/utterance.wav`` with ``speaker/utterance.txt`` beside it.

    Folders of speakers may lie in folders named after splits. A single folder that holds only folders is passed through.

    Raises:
        BenchmarkError: it can't be told which folders are speakers', or a table is not read.
    """
    base = root
    outside = recordings(base, below=False)
    refuse_tables(base, root)
    while len(folders := _spoken(base)) == 1 and not recordings(folders[0], below=False):
        base = folders[0]
        refuse_tables(base, root)
    if not folders:
        return None
    splits: dict[str, str] = {}
    found = []
    texts = Transcripts()
    for folder, split in _speakers(folders):
        who = printable(folder.name)
        if split:
            place(who, split, splits, f"{base / split}")
        for file in recordings(folder):
            text, unusable = texts.of(file)
            name = file.relative_to(root).with_suffix("").as_posix()
            found.append(Utterance(printable(name), who, text, file, unusable=unusable))
    said = f"{counted(len(outside), 'recording')} in no speaker's folder left out ({printable(outside[0].name)})" if outside else ""
    return Found(named(found), splits, said)


def _spoken(folder: Path) -> list[Path]:
    """The folders in a folder that hold recordings."""
    return [path for path in subfolders(folder) if has_recordings(path)]


def _speakers(folders: list[Path]) -> list[tuple[Path, str]]:
    """The folders of speakers, each with its split; "" if the folders name none.

    Raises:
        BenchmarkError: folders of splits lie beside others, or one has recordings of nobody.
    """
    called = {folder: folder.name.casefold() for folder in folders if folder.name.casefold() in SPLIT_NAMES}
    held = {folder for folder in called if recordings(folder, below=False)}
    others = [printable(folder.name) for folder in folders if folder not in called]
    people = others and called.keys() == held and PEOPLE.issuperset(called.values())
    if len(folders) == 1 or not called or people:
        return [(folder, "") for folder in folders]
    if others:
        named_so = listed([printable(folder.name) for folder in called])
        raise BenchmarkError(
            f"{printable(folders[0].parent)} has folders named after splits, {named_so}, beside others, {listed(others[:6])}; move the "
            f"others away, or rename what is no split."
        )
    if held:
        raise BenchmarkError(f"{min(held)} is named after a split, but holds recordings of nobody; put a folder a speaker in it.")
    return [(speaker, name) for folder, name in called.items() for speaker in _spoken(folder)]
