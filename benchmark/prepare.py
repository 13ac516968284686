"""Preparation: recordings and transcripts to a corpus that training reads without copying.

Three stages, each parallel over cores and each kept on disk as it goes, so that a killed preparation goes on where it
stopped: (1) decode, standardise, phonemise, speaker by speaker; (2) durations; (3) features, shard by shard.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from benchmark import checkpoint, features, registry
from benchmark.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.audio import SAMPLE_RATE, Unusable, standardise
from benchmark.corpus import ARRAYS, CORPUS_FORMAT, SPECIAL_SYMBOLS, Corpus, Words, token_symbols
from benchmark.dataset import SPLITS, Dataset, Segment, Utterance
from benchmark.errors import BenchmarkError
from benchmark.files import digest_of, digest_of_file, write_atomic, write_json, write_text
from benchmark.mel import MelSpec, log_mel
from benchmark.phonemes import phonemise
from benchmark.progress import progress

PREPARE_VERSION = 1
SHARD_SPEAKERS = 64
"""Speakers in a shard: small enough to build in memory."""


@dataclass(frozen=True)
class Chunk:
    """A speaker's utterances, and the digest of all that preparing them depends on."""

    speaker: str
    split: str
    utterances: tuple[Utterance, ...]
    digest: str


@dataclass
class Draft:
    """An utterance on its way: its audio, its phones, and where they lie if the dataset or the aligner has said so."""

    id: str
    text: str
    audio: npt.NDArray[np.int16]
    words: Words
    segments: list[list[Segment]] | None


def prepare(name: str, dataset: Dataset, cache: Path, workers: int, plugins: Sequence[str] = (), mel: MelSpec | None = None) -> Corpus:
    """The prepared corpus of a dataset, from the cache if it is there and whole.

    Args:
        name: of the dataset plugin.
        dataset: the plugin, opened on its data root.
        cache: folder for prepared corpora.
        workers: processes.
        plugins: ``--plugin`` files, for the workers.
        mel: the mel definition; the default one if None.

    Raises:
        BenchmarkError: nothing usable was found, or fewer than two training speakers.
    """
    mel = mel or MelSpec()
    chunks = _chunks(dataset)
    key = digest_of([name, dataset.card.version, PREPARE_VERSION, asdict(mel), [c.digest for c in chunks]], 12)
    folder = cache / f"{name}-{key}"
    if folder.exists():
        try:
            corpus = Corpus(folder)
            corpus.check()
            return corpus
        except BenchmarkError as error:
            print(f"Preparing again: {error}")
            shutil.rmtree(folder)
    work = cache / f".{name}-{key}.partial"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(f"The cache folder {cache} can't be written to ({error.strerror}); choose another with --cache.") from error
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (tuple(plugins),)) as pool:
        _staged(pool, partial(_first, dataset=dataset, work=work), chunks, "Reading speech", lambda c: work / f"{c.digest}.chunk")
        _align(chunks, work, pool, workers)
        _write(name, dataset, chunks, work, pool, mel)
    for leftover in (*work.glob("*.chunk"), *work.glob("*.aligned"), *work.glob("pass-*.pt")):
        leftover.unlink()
    work.rename(folder)
    return Corpus(folder)


def _start(plugins: Sequence[str]) -> None:
    torch.set_num_threads(1)
    registry.register(plugins)


def _chunks(dataset: Dataset) -> list[Chunk]:
    chunks = []
    for split in SPLITS:
        for speaker in dataset.speakers(split):
            utterances = tuple(dataset.utterances(speaker))
            content = [[u.id, u.text, _digest(u.audio)] for u in utterances]
            digest = digest_of([PREPARE_VERSION, dataset.card.version, asdict(dataset.config), split, speaker, content], 24)
            chunks.append(Chunk(speaker, split, utterances, digest))
    if not any(chunk.utterances for chunk in chunks):
        raise BenchmarkError(f"{dataset.root or dataset.card.title} holds no utterances; expected {dataset.card.layout}.")
    return sorted(chunks, key=lambda chunk: chunk.speaker)


def _digest(path: Path | None) -> str:
    if path is None:
        return "rendered"
    return digest_of_file(path) if path.is_file() else "missing"


def _staged(
    pool: ProcessPoolExecutor, work: Callable[[Any], Any], items: Sequence[Any], label: str, output: Callable[[Any], Path]
) -> None:
    """Run ``work`` on the items whose output is not there yet, or is damaged."""
    todo = [item for item in items if checkpoint.load(output(item)) is None]
    with progress(label, len(items)) as show:
        for number, _ in enumerate(pool.map(work, todo), len(items) - len(todo) + 1):
            show(number)


def _first(chunk: Chunk, dataset: Dataset, work: Path) -> None:
    """Stage 1 of a chunk."""
    drafts: list[Draft] = []
    skipped: list[tuple[str, str]] = []
    phones = phonemise([u.text for u in chunk.utterances], dataset.card.language)
    for utterance, words in zip(chunk.utterances, phones, strict=True):
        try:
            drafts.append(_draft(utterance, words, dataset))
        except Unusable as reason:
            skipped.append((utterance.id, str(reason)))
    _save(work / f"{chunk.digest}.chunk", drafts, skipped)


def _draft(utterance: Utterance, words: Words, dataset: Dataset) -> Draft:
    if not utterance.text.strip():
        raise Unusable("no transcript")
    if not words:
        raise Unusable("text without phonemes")
    if utterance.audio is not None and not utterance.audio.is_file():
        raise Unusable("audio file missing")
    try:
        samples, rate = dataset.load(utterance)
    except (soundfile.LibsndfileError, OSError, EOFError, ValueError) as error:
        raise Unusable("corrupt audio") from error
    audio, cut = standardise(samples, rate)
    known = dataset.alignment(utterance)
    segments = None
    if known is not None:
        segments = [[Segment(s.phone, s.start - cut, s.end - cut) for s in word] for word in known]
        words = tuple(tuple(segment.phone for segment in word) for word in known)
    return Draft(utterance.id, utterance.text, audio, words, segments)


def _save(path: Path, drafts: Sequence[Draft], skipped: Sequence[tuple[str, str]]) -> None:
    rows = [(d.id, d.text, torch.from_numpy(d.audio), d.words, _plain(d.segments)) for d in drafts]
    checkpoint.save(path, {"drafts": rows, "skipped": list(skipped)})


def _plain(segments: list[list[Segment]] | None) -> list[list[tuple[str, float, float]]] | None:
    return None if segments is None else [[(s.phone, s.start, s.end) for s in word] for word in segments]


def _load(path: Path) -> tuple[list[Draft], list[tuple[str, str]]]:
    state = checkpoint.load(path)
    if state is None:
        raise BenchmarkError(f"{path} was damaged while preparing; run the same command again.")
    drafts = [
        Draft(name, text, audio.numpy(), words, None if segments is None else [[Segment(*s) for s in word] for word in segments])
        for name, text, audio, words, segments in state["drafts"]
    ]
    return drafts, [tuple(pair) for pair in state["skipped"]]


def _align(chunks: Sequence[Chunk], work: Path, pool: ProcessPoolExecutor, workers: int) -> None:
    """Stage 2: ``.aligned`` files hold the drafts with segments for all."""
    output = {chunk.digest: work / f"{chunk.digest}.aligned" for chunk in chunks}
    if all(checkpoint.load(path) is not None for path in output.values()):
        return
    aligner = None
    missing: list[AlignmentItem] = []
    for chunk in chunks:
        if chunk.split == "train" and len(missing) < 4000:
            missing += [_item(draft) for draft in _load(work / f"{chunk.digest}.chunk")[0] if draft.segments is None]
    if missing:
        with progress("Training the aligner", 1) as show:
            aligner = Aligner.fit(missing, workers, work, lambda done, total: show(done / total))
    del missing
    _staged(pool, partial(_second, aligner=aligner, work=work), chunks, "Aligning", lambda chunk: output[chunk.digest])


def _item(draft: Draft) -> AlignmentItem:
    return AlignmentItem(draft.id, mfcc(draft.audio.astype(np.float32) / 32768, SAMPLE_RATE), draft.words)


def _second(chunk: Chunk, aligner: Aligner | None, work: Path) -> None:
    drafts, skipped = _load(work / f"{chunk.digest}.chunk")
    kept = []
    for draft in drafts:
        try:
            if draft.segments is None:
                if aligner is None:
                    raise CannotAlign("no training speech to align from")
                draft.segments = aligner.align(_item(draft))
            kept.append(draft)
        except CannotAlign as reason:
            skipped.append((draft.id, f"alignment failed: {reason}"))
    _save(work / f"{chunk.digest}.aligned", kept, skipped)


def durations(segments: Sequence[Sequence[Segment]], frames: int, spec: MelSpec) -> npt.NDArray[np.int64]:
    """Frames of each token (see :func:`benchmark.corpus.token_symbols`), summing to ``frames``; phones get at least one.

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


def _write(name: str, dataset: Dataset, chunks: Sequence[Chunk], work: Path, pool: ProcessPoolExecutor, mel: MelSpec) -> None:
    """Stage 3: shards, then the index, then ``corpus.json``."""
    symbols = [*SPECIAL_SYMBOLS, *sorted({p for c in chunks for d in _load(work / f"{c.digest}.aligned")[0] for w in d.words for p in w})]
    groups = [list(chunks[i : i + SHARD_SPEAKERS]) for i in range(0, len(chunks), SHARD_SPEAKERS)]
    todo = [(number, group) for number, group in enumerate(groups) if not (work / "shards" / f"{number:05d}.json").exists()]
    with progress("Computing features", len(chunks)) as show:
        done = (len(groups) - len(todo)) * SHARD_SPEAKERS
        for number, group in todo:
            _write_shard(number, group, work, pool, mel, {s: i for i, s in enumerate(symbols)}, lambda n, base=done: show(base + n))  # type: ignore[misc]
            done += len(group)
    index = [json.loads((work / "shards" / f"{number:05d}.json").read_text(encoding="utf-8")) for number in range(len(groups))]
    rows = [row for shard in index for row in shard["rows"]]
    skipped = [pair for shard in index for pair in shard["skipped"]]
    train = {row["speaker"] for row in rows if row["split"] == "train"}
    if len(train) < 2:
        reasons = sorted({reason for _, reason in skipped})
        raise BenchmarkError(
            f"{name} has {len(train)} training speaker(s) with usable audio and needs at least two; {len(skipped)} utterances were "
            f"skipped ({'; '.join(reasons) or 'none'}). Check the data root."
        )
    write_text(work / "utterances.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    names = ["utterances.jsonl", *(f"shards/{n:05d}.{array}.npy" for n in range(len(groups)) for array in ARRAYS)]
    files = {file: digest_of_file(work / file) for file in names}
    meta = {
        "format": CORPUS_FORMAT, "dataset": name, "version": digest_of([symbols, asdict(mel), files], 16), "symbols": symbols,
        "mel": asdict(mel), "statistics": _statistics(rows, work), "files": files, "card": asdict(dataset.card),
        "report": _report(rows, skipped, mel),
    }  # fmt: skip
    write_json(work / "corpus.json", meta)


def _write_shard(
    number: int, group: Sequence[Chunk], work: Path, pool: ProcessPoolExecutor, mel: MelSpec, ids: dict[str, int], show: Callable[[int], None]
) -> None:
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    arrays: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ARRAYS}
    offsets = {"frame": 0, "token": 0, "sample": 0}
    for finished, (chunk, (done, lost)) in enumerate(zip(group, pool.map(partial(_third, work=work, mel=mel, ids=ids), group), strict=True), 1):
        skipped += lost
        for draft, data in done:
            sizes = {"frames": len(data["mel"]), "tokens": len(data["tokens"]), "samples": len(data["audio"])}
            rows.append({
                "id": draft.id, "speaker": chunk.speaker, "split": chunk.split, "text": draft.text, "words": draft.words,
                "shard": number, **offsets, **sizes,
            })  # fmt: skip
            for unit in offsets:
                offsets[unit] += sizes[unit + "s"]
            for name in ARRAYS:
                arrays[name].append(data[name])
        show(finished)
    empty = {"mel": (0, mel.n_mels)}
    for name, parts in arrays.items():
        whole = np.concatenate(parts) if parts else np.zeros(empty.get(name, (0,)), np.float32)
        write_atomic(work / "shards" / f"{number:05d}.{name}.npy", partial(_dump, array=whole))
    write_json(work / "shards" / f"{number:05d}.json", {"rows": rows, "skipped": skipped})


def _dump(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


def _third(chunk: Chunk, work: Path, mel: MelSpec, ids: dict[str, int]) -> tuple[list[tuple[Draft, dict[str, Any]]], list[tuple[str, str]]]:
    """Stage 3 of a chunk: features and durations of each utterance."""
    drafts, skipped = _load(work / f"{chunk.digest}.aligned")
    done = []
    for draft in drafts:
        wave = draft.audio.astype(np.float32) / 32768
        assert draft.segments is not None
        try:
            lengths = durations(draft.segments, mel.frames(len(wave)), mel)
        except Unusable as reason:
            skipped.append((draft.id, str(reason)))
            continue
        done.append((draft, {
            "audio": draft.audio, "mel": log_mel(torch.from_numpy(wave), mel).numpy(), "pitch": features.pitch(wave, mel),
            "energy": features.energy(wave, mel), "durations": lengths,
            "tokens": np.array([ids[symbol] for symbol in token_symbols(draft.words)], np.int64),
        }))  # fmt: skip
    return done, skipped


def _statistics(rows: Iterable[dict[str, Any]], work: Path) -> dict[str, Any]:
    """Over the training split, one shard at a time."""
    sums: dict[str, list[Any]] = {}

    def add(name: str, values: npt.NDArray[Any]) -> None:
        total = sums.setdefault(name, [0, 0.0, 0.0])
        total[0] += len(values)
        total[1] = total[1] + values.sum(0, dtype=np.float64)
        total[2] = total[2] + np.square(values, dtype=np.float64).sum(0)

    maps: dict[str, npt.NDArray[Any]] = {}
    current = -1
    for row in rows:
        if row["split"] != "train":
            continue
        if row["shard"] != current:
            current = row["shard"]
            maps = {n: np.load(work / "shards" / f"{current:05d}.{n}.npy", mmap_mode="r") for n in ("mel", "pitch", "energy")}
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


def _report(rows: Sequence[dict[str, Any]], skipped: Sequence[Sequence[str]], mel: MelSpec) -> dict[str, Any]:
    reasons: dict[str, dict[str, Any]] = {}
    for name, reason in skipped:
        entry = reasons.setdefault(reason, {"count": 0, "examples": []})
        entry["count"] += 1
        if len(entry["examples"]) < 5:
            entry["examples"].append(name)
    splits = {
        split: {
            "speakers": len({row["speaker"] for row in rows if row["split"] == split}),
            "utterances": sum(row["split"] == split for row in rows),
            "hours": round(sum(row["samples"] for row in rows if row["split"] == split) / mel.sample_rate / 3600, 3),
        }
        for split in SPLITS
    }
    return {"splits": splits, "skipped": reasons}


def describe(corpus: Corpus) -> Iterator[str]:
    """Lines that say what a corpus holds and what was skipped, and why."""
    for split, counts in corpus.report["splits"].items():
        yield f"  {split:<10} {counts['speakers']:>4} speakers  {counts['utterances']:>6} utterances  {counts['hours']:.2f} h"
    for reason, entry in sorted(corpus.report["skipped"].items()):
        yield f"  skipped {entry['count']}: {reason} ({', '.join(entry['examples'])}{', …' if entry['count'] > len(entry['examples']) else ''})"


