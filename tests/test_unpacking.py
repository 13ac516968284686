"""A download that is cut off anywhere is finished by the next one, and half a corpus is never taken for all of it."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.unpacking import Archive, fetch
from benchmark.errors import BenchmarkError

PART = Archive("dev-clean.tar.gz", "Libri/dev-clean")
FILES = {"Libri/README": "read me", "Libri/dev-clean/1/a.txt": "a", "Libri/dev-clean/2/b.txt": "b"}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The archive, elsewhere."""
    source = tmp_path / "source"
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    with tarfile.open(tmp_path / PART.name, "w:gz") as archive:
        archive.add(source / "Libri", "Libri")
    return tmp_path / PART.name


@pytest.fixture
def calls() -> list[str]:
    return []


def downloader(published: Path, calls: list[str], stop: str = "") -> Callable[[Path], None]:
    """Works as torchaudio's datasets do: takes a folder that is there for whole, and an archive too."""

    def download(place: Path) -> None:
        if (place / PART.folder).is_dir():
            return
        if not (place / PART.name).is_file():
            calls.append("download")
            (place / f"{PART.name}.123.partial").write_bytes(b"half")
            if stop == "download":
                raise KeyboardInterrupt
            (place / f"{PART.name}.123.partial").unlink()
            shutil.copyfile(published, place / PART.name)
        calls.append("unpack")
        with tarfile.open(place / PART.name) as archive:
            for member in archive:
                if stop == "unpack" and member.name.endswith("b.txt"):
                    raise KeyboardInterrupt
                archive.extract(member, place, filter="data")

    return download


def content(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {path.relative_to(root).as_posix(): path.read_text() for path in files}


def test_a_part_is_fetched_once_and_nothing_else_is_left(tmp_path: Path, published: Path, calls: list[str]) -> None:
    root = tmp_path / "root"
    for _ in range(2):
        fetch(root, PART, downloader(published, calls))
        assert content(root) == FILES
    assert calls == ["download", "unpack"]


@pytest.mark.parametrize(("stop", "again"), [("download", ["download", "unpack"]), ("unpack", ["unpack"])])
def test_what_was_cut_off_is_finished(stop: str, again: list[str], tmp_path: Path, published: Path, calls: list[str]) -> None:
    root = tmp_path / "root"
    with pytest.raises(KeyboardInterrupt):
        fetch(root, PART, downloader(published, calls, stop))
    assert not (root / PART.folder).exists()
    calls.clear()
    fetch(root, PART, downloader(published, calls))
    assert calls == again and content(root) == FILES


def test_half_a_corpus_beside_its_archive_is_finished(tmp_path: Path, published: Path, calls: list[str]) -> None:
    root = tmp_path / "root"
    (root / PART.folder / "1").mkdir(parents=True)
    shutil.copyfile(published, root / PART.name)
    with pytest.raises(KeyboardInterrupt):
        fetch(root, PART, downloader(published, calls, "unpack"))
    assert (root / PART.name).is_file(), "it is still known to be half"
    fetch(root, PART, downloader(published, calls))
    assert "download" not in calls and content(root) == FILES


def test_another_part_and_its_files_stay(tmp_path: Path, published: Path, calls: list[str]) -> None:
    root = tmp_path / "root"
    (root / "Libri/test-clean").mkdir(parents=True)
    (root / "Libri/test-clean/c.txt").write_text("c")
    fetch(root, PART, downloader(published, calls))
    assert content(root) == {**FILES, "Libri/test-clean/c.txt": "c"}


def test_a_damaged_archive_is_one_sentence_and_the_users_own_is_not_deleted(tmp_path: Path, published: Path, calls: list[str]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / PART.name).write_bytes(published.read_bytes()[:60])
    with pytest.raises(BenchmarkError, match=r"dev-clean.tar.gz can't be .*: .*; delete .*dev-clean.tar.gz if it is damaged, and run the"):
        fetch(root, PART, downloader(published, calls))
    (root / PART.name).unlink()
    fetch(root, PART, downloader(published, calls))
    assert content(root) == FILES
