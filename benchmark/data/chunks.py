"""The work of preparation: a dataset's utterances by speaker, fingerprinted by content."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmark.data import textgrids
from benchmark.data.drafts import Chunk, said_of
from benchmark.dataset import SPLITS, Dataset, Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import digest_of, digest_of_file, is_file
from benchmark.plumbing.names import fault
from benchmark.plumbing.workers import default_workers
from benchmark.task import TASK_KINDS


def make_chunks(dataset: Dataset, grids: Path | None, version: int) -> list[Chunk]:
    """The dataset's speakers, sorted.

    Args:
        dataset: opened on its data root.
        grids: folder of TextGrids; if None, the folder ``textgrids`` in the data root.
        version: version of the preparation.

    Raises:
        BenchmarkError: there are no utterances; two utterances share an id; a speaker is in two splits; a name can't be one
            (:mod:`benchmark.plumbing.names`); no TextGrid fits.
    """
    speakers = [(speaker, split) for split in SPLITS for speaker in dataset.speakers(split)]
    utterances = {speaker: tuple(dataset.utterances(speaker)) for speaker, _ in speakers}
    every = [utterance for some in utterances.values() for utterance in some]
    if not every:
        raise BenchmarkError(f"{dataset.root or dataset.card.title} holds no utterances; expected {dataset.card.layout}.")
    _check(dataset, speakers, every)
    found = _grids(dataset, grids, every)
    with ThreadPoolExecutor(default_workers()) as pool:  # hashing releases the interpreter's lock
        audio = dict(zip((u.id for u in every), pool.map(_digest, every), strict=True))
    chunks = []
    for speaker, split in sorted(speakers):
        some = utterances[speaker]
        own = {utterance.id: found[utterance.id] for utterance in some if utterance.id in found}
        content = [_content(u, audio[u.id], own.get(u.id)) for u in some]
        firsts: dict[tuple[str, str], Utterance] = {}
        for each in some:
            firsts.setdefault((each.language, each.style), each)
        content += [["first as rendered", _rendered(dataset, each)] for each in firsts.values() if each.audio is None]
        digest = digest_of([version, dataset.card.version, asdict(dataset.config), split, speaker, content], 24)
        chunks.append(Chunk(speaker, split, some, own, digest))
    return chunks


def _grids(dataset: Dataset, folder: Path | None, utterances: Sequence[Utterance]) -> dict[str, Path]:
    """The TextGrids by utterance id; how many belong to no utterance is said on standard error.

    Raises:
        BenchmarkError: there is no such folder, or none of its TextGrids belongs to an utterance.
    """
    asked = folder
    if asked is not None and not asked.is_dir():
        raise BenchmarkError(f"There is no folder of TextGrids at {asked}.")
    if folder is None and dataset.root is not None:
        folder = dataset.root / "textgrids"
    there = textgrids.find(folder) if folder is not None else {}
    if not there and asked is None:
        return {}
    found = textgrids.matched(there, utterances)
    if not found:
        raise BenchmarkError(
            f"{folder} holds no TextGrid of this dataset: none of the {len(there)} found is named after an utterance (such as "
            f"{utterances[0].id}.TextGrid)."
        )
    used = set(found.values())
    if unused := [name for name, path in there.items() if path not in used]:
        print(f"{len(unused)} of {len(there)} TextGrids in {folder} belong to no utterance (such as {unused[0]}).", file=sys.stderr)
    return found


def _check(dataset: Dataset, speakers: Iterable[tuple[str, str]], utterances: Iterable[Utterance]) -> None:
    splits: dict[str, str] = {}
    for speaker, split in speakers:
        if splits.setdefault(speaker, split) != split:
            raise BenchmarkError(f"{dataset.card.title} puts speaker {speaker} into {splits[speaker]} and into {split}.")
        _check_name(dataset, "speaker", speaker)
    seen: set[str] = set()
    for utterance in utterances:
        _check_name(dataset, "utterance", utterance.id)
        for kind in TASK_KINDS.values():  # a target's name is made of them
            if target := kind.target(utterance.speaker, utterance.language, utterance.style):
                _check_name(dataset, kind.name, target)
        if utterance.id in seen:
            raise BenchmarkError(f"{dataset.card.title} has two utterances called {utterance.id}; ids must be unique.")
        seen.add(utterance.id)


def _check_name(dataset: Dataset, kind: str, name: str) -> None:
    if reason := fault(name):
        raise BenchmarkError(f"{dataset.card.title} has the {kind} {name[:60]!r}, which {reason}; rename it.")


def _content(utterance: Utterance, audio: str, grid: Path | None) -> list[object]:
    """What an utterance's preparation depends on; values that are not given are left out."""
    more = [digest_of_file(grid) if grid else "", said_of(utterance), utterance.unusable]
    return [utterance.id, utterance.text, audio, *filter(None, more)]


def _digest(utterance: Utterance) -> str:
    if utterance.audio is None:
        return "rendered"
    return digest_of_file(utterance.audio) if is_file(utterance.audio) else "missing"


def _rendered(dataset: Dataset, utterance: Utterance) -> str:
    """Digest of an utterance's rendered audio: another synthesiser or voice makes another corpus."""
    samples, rate = dataset.load(utterance)
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes() + str(rate).encode()).hexdigest()
