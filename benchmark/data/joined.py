"""A corpus made of several: the targets of one dataset, and the training speech of others to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmark.data.corpus import Corpus
from benchmark.data.enough import normalised
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError, UsageError
from benchmark.utterance import SPECIAL_SYMBOLS, PreparedUtterance, Statistics


class JoinedCorpus(Corpus):
    """Prepared corpora seen as one. Nothing is copied.

    The dataset's own corpus keeps its names. Of the others only the training split is there, and their utterances and speakers are
    called after them, "vctk/p225". Symbols are those of all; statistics are those of all training speech.

    Args:
        own: of ``--dataset``: held-out targets are its alone.
        others: of ``--pretrain.dataset``, prepared with the same mel definition.

    Raises:
        UsageError: two of them are the same corpus.
        BenchmarkError: speech that is held out in one is training speech of another.
    """

    def __init__(self, own: Corpus, others: Sequence[Corpus]) -> None:
        self.parts = (own, *others)
        for number, part in enumerate(self.parts):
            if any(part.version == other.version for other in self.parts[:number]):
                raise UsageError(f"{part.name} is named twice: --dataset and --pretrain.dataset must be different corpora.")
        _refuse_shared_recordings(self.parts)
        self.folder, self.task, self.meta, self.name, self.mel, self.report = own.folder, own.task, own.meta, own.name, own.mel, own.report
        self.version = "+".join(part.version for part in self.parts)
        self.exact_version = "+".join(part.exact_version for part in self.parts)
        self.preparation = own.preparation
        phones = {symbol for part in self.parts for symbol in part.symbols}.difference(SPECIAL_SYMBOLS)
        self.symbols = (*SPECIAL_SYMBOLS, *sorted(phones))
        self._tokens = [np.array([self.symbol_ids[symbol] for symbol in part.symbols], np.int64) for part in self.parts]
        self.statistics = _pooled(self.parts)
        self._index: dict[str, dict[str, Any]] = {}
        self._origin: dict[str, tuple[int, str]] = {}
        owners: dict[str, int] = {}
        for number, part in enumerate(self.parts):
            for name, row in part._index.items():
                if number and row["split"] != "train":
                    continue
                prefix = f"{part.name}/" if number else ""
                row = {**row, "id": prefix + name, "speaker": prefix + row["speaker"], "language": part._language(row)}
                if owners.setdefault(row["speaker"], number) != number or row["id"] in self._index:
                    raise BenchmarkError(f"Two of the corpora would have {row['id']} by {row['speaker']}; rename it in {own.name}.")
                self._index[row["id"]] = row
                self._origin[row["id"]] = number, name
        self._maps = {}
        self._group()
        for split in SPLITS[1:]:
            if leaks := set(self.targets(split)) & set(self.targets("train")):
                raise BenchmarkError(
                    f"{self.task.noun.capitalize()} leak: {min(leaks)} is in the {split} split of {own.name} and in the training speech; "
                    "leave out the corpus that has it."
                )

    @property
    def own(self) -> Corpus:
        """The corpus of ``--dataset``."""
        return self.parts[0]

    @property
    def _training_speech(self) -> Any:
        return [[part.name, part._training_speech] for part in self.parts]

    def __getitem__(self, utterance_id: str) -> PreparedUtterance:
        number, name = self._origin[utterance_id]
        found = self.parts[number][name]
        return replace(found, id=utterance_id, speaker=self._index[utterance_id]["speaker"], tokens=self._tokens[number][found.tokens])

    def check(self) -> None:
        """See :meth:`Corpus.check`."""
        for part in self.parts:
            part.check()


def _training(part: Corpus) -> Iterator[dict[str, Any]]:
    return (row for row in part._index.values() if row["split"] == "train")


def _refuse_shared_recordings(parts: Sequence[Corpus]) -> None:
    """One recording under two names: corpora overlap, say a folder that was copied from another."""
    held: dict[tuple[str, int], list[tuple[Corpus, str]]] = {}
    for part in parts:
        for name, row in part._index.items():
            if row["split"] != "train":
                held.setdefault((normalised(row["text"]), row["samples"]), []).append((part, name))
    for part in parts:
        for row in _training(part):
            for other, name in held.get((normalised(row["text"]), row["samples"]), ()):
                if np.array_equal(part[row["id"]].audio, other[name].audio):
                    raise BenchmarkError(
                        f"Speaker leak: utterance {name} is held out in {other.name}, and the same recording is training speech of "
                        f"{part.name} ({row['id']}); leave out one of the corpora."
                    )


def _pooled(parts: Sequence[Corpus]) -> Statistics:
    """The statistics of all training speech, from the parts' own."""
    parts = [part for part in parts if part.speakers("train")] or parts
    if len(parts) == 1:
        return parts[0].statistics
    frames, voiced = [], []
    for part in parts:
        frames.append(sum(row["frames"] for row in _training(part)))
        pitch = (part._shard(row["shard"])["pitch"][row["frame"] : row["frame"] + row["frames"]] for row in _training(part))
        voiced.append(sum(int(np.count_nonzero(each)) for each in pitch))
    values: dict[str, Any] = {}
    for name, counts in (("mel", frames), ("pitch", voiced), ("energy", frames)):
        weights = np.array(counts, np.float64) / max(1, sum(counts))
        means = np.array([getattr(part.statistics, f"{name}_mean") for part in parts])
        squares = np.array([getattr(part.statistics, f"{name}_std") for part in parts]) ** 2 + means**2
        mean = np.tensordot(weights, means, 1)
        std = np.sqrt(np.maximum(np.tensordot(weights, squares, 1) - mean**2, 1e-4))
        values[f"{name}_mean"] = tuple(mean.tolist()) if name == "mel" else float(mean)
        values[f"{name}_std"] = tuple(std.tolist()) if name == "mel" else float(std)
    return Statistics(**values)
