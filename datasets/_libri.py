"""Shared by LibriTTS and LibriSpeech: subset/speaker/chapter folders, and subsets whose names give their split."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmark.data.unpacking import Archive, fetch, require_whole
from benchmark.dataset import SPLITS, Dataset, Utterance
from benchmark.errors import BenchmarkError

SPLIT_OF = {"train": "train", "dev": "validation", "test": "test"}

FETCHED = ("dev-clean", "test-clean", "train-clean-100")
"""Subsets that are downloaded unless others are named."""


class Libri(Dataset):
    """Speakers of subsets called train-*, dev-* and test-*: the train, validation and test splits.

    Attributes:
        folders: possible names of the folder with the subsets, if the root is not that folder itself.
        base: the folder with the subsets.
    """

    folders: ClassVar[Sequence[str]]

    @dataclass(frozen=True)
    class Config:
        """Which subsets to read.

        Attributes:
            subsets: names of subsets ("train-clean-100"); empty: all in the folder. --download fetches these; if empty, train-clean-100,
                dev-clean and test-clean.
        """

        subsets: tuple[str, ...] = ()

    config: Config

    def __init__(self, root: Path | None, config: Any = None) -> None:
        super().__init__(root, config)
        assert root is not None
        base = next((root / name for name in self.folders if (root / name).is_dir()), root)
        there = {path.name: path for path in sorted(base.glob("*")) if path.is_dir() and path.name.partition("-")[0] in SPLIT_OF}
        if not there:
            raise self.wrong_root()
        if lacking := [name for name in self.config.subsets if name not in there]:
            raise BenchmarkError(f"{base} has no subset {lacking[0]}; it has {', '.join(there)}.")
        for name in self.config.subsets or there:
            require_whole(root, self._archive(name))
        self.base = base
        self._folders: dict[str, list[Path]] = {}
        self._splits: dict[str, set[str]] = {split: set() for split in SPLITS}
        for name in self.config.subsets or tuple(there):
            for folder in sorted(path for path in there[name].iterdir() if path.is_dir()):
                self._splits[SPLIT_OF[name.partition("-")[0]]].add(folder.name)  # preparation refuses a speaker of two splits
                self._folders.setdefault(folder.name, []).append(folder)

    def speakers(self, split: str) -> Sequence[str]:
        """See :meth:`Dataset.speakers`."""
        return sorted(self._splits[split])

    def utterances(self, speaker: str) -> Sequence[Utterance]:
        """See :meth:`Dataset.utterances`."""
        chapters = sorted(path for folder in self._folders[speaker] for path in folder.iterdir() if path.is_dir())
        return sorted((each for chapter in chapters for each in self.chapter(speaker, chapter)), key=lambda each: each.id)

    @abstractmethod
    def chapter(self, speaker: str, folder: Path) -> Sequence[Utterance]:
        """The utterances of one of a speaker's chapters."""

    def fetch_subsets(self, make: Any, root: Path) -> None:
        """Let a torchaudio dataset download the subsets.

        Raises:
            BenchmarkError: the download fails, or there is no such subset.
        """
        for subset in self.config.subsets or FETCHED:
            fetch(root, self._archive(subset), partial(_make, make, subset))

    def _archive(self, subset: str) -> Archive:
        return Archive(f"{subset}.tar.gz", f"{self.folders[0]}/{subset}")


def _make(make: Any, subset: str, place: Path) -> None:
    make(str(place), url=subset, download=True)
