"""Downloads: a corpus is unpacked aside and moved to its place when it is whole, so that half of one is never taken for all of it."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmark.errors import BenchmarkError
from benchmark.plumbing.locks import locked

BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)
"""What libraries raise at an archive that is damaged."""


class Archive(NamedTuple):
    """A part of a corpus, as it is published.

    Attributes:
        name: of the archive's file.
        folder: that it unpacks into, "LibriTTS/dev-clean".
    """

    name: str
    folder: str


def fetch(root: Path, archive: Archive, download: Callable[[Path], object]) -> None:
    """Have an archive downloaded and unpacked into the data root, unless its folder is there without the archive beside it.

    An archive that lies in the root is unpacked again, because its folder may be half of it; it is deleted afterwards.

    Args:
        root: the data root; made if absent.
        archive: what to fetch.
        download: called with an empty folder, or one that holds the archive; puts the archive and its folder there.

    Raises:
        BenchmarkError: the download fails, or the archive is damaged.
    """
    target, given, aside = root / archive.folder, root / archive.name, root / f".{archive.name}.unpacking"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / f".{archive.name}.lock", f"Waiting for another process that unpacks {archive.name}."):
            if not target.is_dir() or given.is_file():
                _clear(aside, archive)
                if given.is_file():
                    (aside / archive.name).unlink(missing_ok=True)
                    (aside / archive.name).symlink_to(given.resolve())
                download(aside)
                _move(aside, root, archive)
            given.unlink(missing_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, RuntimeError, ValueError, *BROKEN) as error:
        if isinstance(error, BROKEN):
            (aside / archive.name).unlink(missing_ok=True)
        then = f"delete {given} if it is damaged, and run" if given.is_file() else "run"
        what = f"{archive.name} can't be downloaded and unpacked into {root}: {error}"
        raise BenchmarkError(f"{what}; {then} the same command again.") from error


def require_whole(root: Path, archive: Archive) -> None:
    """Refuse a corpus whose archive still lies beside its folder: the folder may be half of it.

    Raises:
        BenchmarkError: says how to finish it.
    """
    given, target = root / archive.name, root / archive.folder
    if given.is_file() and target.is_dir():
        raise BenchmarkError(
            f"{target} may be half unpacked, because {archive.name} still lies in {root}: 'prepare --download' unpacks it again, without "
            "a download; or delete the archive if the folder is whole."
        )


def _clear(aside: Path, archive: Archive) -> None:
    """Leave nothing of an unpacking that was cut off but the archive."""
    aside.mkdir(exist_ok=True)
    for path in aside.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != archive.name:
            path.unlink()


def _move(aside: Path, root: Path, archive: Archive) -> None:
    """Move what was unpacked into the root: files beside the folder first, the folder itself last and at once."""
    unpacked, target = aside / archive.folder, root / archive.folder
    if not unpacked.is_dir():
        raise ValueError(f"it holds no folder {archive.folder}")
    for path in aside.rglob("*"):
        if path.is_file() and unpacked not in path.parents and path != aside / archive.name:
            beside = root / path.relative_to(aside)
            beside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(beside)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    unpacked.rename(target)
