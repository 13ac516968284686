"""The last stage of preparation: features and durations, written as shards that training maps into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmark.audio import from_int16
from benchmark.data import features
from benchmark.data.audio import Unusable
from benchmark.data.corpus import ARRAYS
from benchmark.data.drafts import Chunk, Draft
from benchmark.dataset import Segment
from benchmark.errors import BenchmarkError
from benchmark.mel import MelSpec, log_mel
from benchmark.plumbing.files import digest_of_file, read_sealed, write_atomic, write_sealed
from benchmark.utterance import token_symbols

SHARD_SPEAKERS = 64
SHARD_HOURS = 6.0
"""A shard ends after this many speakers or hours, whichever comes first: it is built in memory, 0.2 GB per hour."""

Finished = tuple[list[tuple[Draft, dict[str, npt.NDArray[Any]]]], list[tuple[str, str]]]


def group(chunks: Sequence[Chunk], hours: Callable[[Chunk], float]) -> list[list[Chunk]]:
    """The chunks of each shard."""
    groups: list[list[Chunk]] = []
    full = float("inf")
    for chunk in chunks:
        length = hours(chunk)
        if not groups or len(groups[-1]) == SHARD_SPEAKERS or full + length > SHARD_HOURS:
            groups.append([])
            full = 0.0
        groups[-1].append(chunk)
        full += length
    return groups


def is_whole(number: int, folder: Path) -> bool:
    """Whether a shard is written and undamaged."""
    try:
        files: dict[str, str] = read_sealed(folder / f"{number:05d}.json", "shard listing")["files"]
    except (BenchmarkError, KeyError):
        return False
    return all((folder / name).is_file() and digest_of_file(folder / name) == digest for name, digest in files.items())


def write(
    number: int, chunks: Sequence[Chunk], folder: Path, pool: Executor, finish: Callable[[Chunk], Finished], mel: MelSpec,
    done: Callable[[], None],
) -> None:  # fmt: skip
    """Compute a shard and write its arrays, then its listing, which marks it as whole.

    Args:
        number: the shard's number.
        chunks: the shard's chunks.
        folder: the folder of all shards.
        pool: to compute in.
        finish: gives a chunk's utterances with their arrays, and those that were skipped.
        mel: the mel definition.
        done: called after each chunk.
    """
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    arrays: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ARRAYS}
    offsets = {"frame": 0, "token": 0, "sample": 0}
    sources: dict[str, int] = {}
    for chunk, (finished, lost) in zip(chunks, pool.map(finish, chunks), strict=True):
        skipped += lost
        for draft, data in finished:
            sizes = {"frames": len(data["mel"]), "tokens": len(data["tokens"]), "samples": len(data["audio"])}
            rows.append({
                "id": draft.id, "speaker": chunk.speaker, "split": chunk.split, "text": draft.text, "words": draft.words,
                "shard": number, **offsets, **sizes,
                **draft.said_of_it,
            })  # fmt: skip
            sources[draft.source] = sources.get(draft.source, 0) + 1
            for unit in offsets:
                offsets[unit] += sizes[unit + "s"]
            for name in ARRAYS:
                arrays[name].append(data[name])
        done()
    empty = {"mel": (0, mel.n_mels)}
    files = {}
    for name, parts in arrays.items():
        whole = np.concatenate(parts) if parts else np.zeros(empty.get(name, (0,)), np.float32)
        parts.clear()
        path = folder / f"{number:05d}.{name}.npy"
        write_atomic(path, partial(_dump, array=whole))
        files[path.name] = digest_of_file(path)
    listing = {"rows": rows, "skipped": skipped, "sources": sources, "files": files}
    write_sealed(folder / f"{number:05d}.json", listing)


def _dump(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


def finish(drafts: Sequence[Draft], mel: MelSpec, symbol_ids: dict[str, int]) -> Finished:
    """Features and durations of a chunk's aligned utterances."""
    done, skipped = [], []
    for draft in drafts:
        wave = from_int16(draft.audio)
        assert draft.segments is not None
        try:
            lengths = durations(draft.segments, mel.frames(len(wave)), mel)
        except Unusable as reason:
            skipped.append((draft.id, str(reason)))
            continue
        done.append((draft, {
            "audio": draft.audio, "mel": log_mel(torch.from_numpy(wave), mel).numpy(), "pitch": features.pitch(wave, mel),
            "energy": features.energy(wave, mel), "durations": lengths,
            "tokens": np.array([symbol_ids[symbol] for symbol in token_symbols(draft.words)], np.int64),
        }))  # fmt: skip
    return done, skipped


def durations(segments: Sequence[Sequence[Segment]], frames: int, spec: MelSpec) -> npt.NDArray[np.int64]:
    """Frames of each token (see :func:`benchmark.utterance.token_symbols`), summing to ``frames``; phones get at least one.

    Raises:
        Unusable: there are more phones than frames.
    """
    edges, least = [0.0], []
    for index, word in enumerate(segments):
        for number, segment in enumerate(word):
            if number == 0:
                if index:
                    edges.append(segments[index - 1][-1].end)
                least.append(0)
            edges.append(segment.start)
            least.append(1)
    edges += [segments[-1][-1].end]
    least.append(0)
    bounds = np.floor(np.array([*edges, 0.0]) / spec.seconds_per_frame + 0.5).astype(np.int64)
    bounds[0], bounds[-1] = 0, frames
    bounds = np.clip(bounds, 0, frames)
    for i, minimum in enumerate(least):
        bounds[i + 1] = max(bounds[i + 1], bounds[i] + minimum)
    bounds[-1] = frames
    for i in range(len(least) - 1, -1, -1):
        bounds[i] = min(bounds[i], bounds[i + 1] - least[i])
    if bounds[0] != 0:
        raise Unusable("too short for its phones")
    return np.diff(bounds)


def statistics(rows: Iterable[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """See :class:`benchmark.utterance.Statistics`; over the training split, or all where there is none, one shard at a time."""
    rows = list(rows)
    rows = [row for row in rows if row["split"] == "train"] or rows
    sums: dict[str, list[Any]] = {}

    def add(name: str, values: npt.NDArray[Any]) -> None:
        total = sums.setdefault(name, [0, 0.0, 0.0])
        total[0] += len(values)
        total[1] = total[1] + values.sum(0, dtype=np.float64)
        total[2] = total[2] + np.square(values, dtype=np.float64).sum(0)

    maps: dict[str, npt.NDArray[Any]] = {}
    current = -1
    for row in rows:
        if row["shard"] != current:
            current = row["shard"]
            maps = {name: np.load(folder / f"{current:05d}.{name}.npy", mmap_mode="r") for name in ("mel", "pitch", "energy")}
        part = slice(row["frame"], row["frame"] + row["frames"])
        f0 = maps["pitch"][part]
        add("mel", maps["mel"][part])
        add("pitch", np.log(f0[f0 > 0]))
        add("energy", maps["energy"][part])
    result: dict[str, Any] = {}
    for name, (count, total, square) in sums.items():
        mean = total / max(count, 1)
        std = np.sqrt(np.maximum(square / max(count, 1) - np.square(mean), 1e-4))
        result[f"{name}_mean"], result[f"{name}_std"] = np.asarray(mean).tolist(), np.asarray(std).tolist()
    return result
