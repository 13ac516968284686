"""Preparation: recordings and transcripts to a corpus that training reads without copying.

Three stages, each parallel over cores and saved as it goes, so that a killed preparation resumes where it stopped:
(1) decode, standardise, phonemise, speaker by speaker; (2) durations; (3) features, shard by shard. Progress counts
five, because (2) reads the phones, trains the aligner and aligns.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache as remembered
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmark.audio import SAMPLE_RATE, from_int16
from benchmark.data import shards
from benchmark.data.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.data.chunks import make_chunks
from benchmark.data.corpus import ARRAYS, CORPUS_FORMAT, INDEX, Corpus, open_shard, speech_digest, version_of
from benchmark.data.drafts import Chunk, Draft, Drafts, as_segments, draft
from benchmark.data.reuse import opened
from benchmark.dataset import SPLITS, Dataset
from benchmark.errors import BenchmarkError
from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plumbing import checkpoint
from benchmark.plumbing import workers as processes
from benchmark.plumbing.files import TEMPORARY, digest_of, digest_of_file, read_sealed, write_sealed, write_text
from benchmark.plumbing.locks import locked
from benchmark.plumbing.progress import progress
from benchmark.utterance import SPECIAL_SYMBOLS

PREPARE_VERSION = 3
ALIGNER_UTTERANCES = 4000
EXAMPLES = 5
"""Ids listed per reason in the report."""


def prepare(
    name: str, dataset: Dataset, cache: Path, workers: int, plugins: Sequence[str] = (), mel: MelSpec | None = None,
    textgrids: Path | None = None, task: str = "speaker",
) -> Corpus:  # fmt: skip
    """The prepared corpus of a dataset, from the cache if a whole one is there.

    Args:
        name: name of the dataset plugin.
        dataset: the plugin, opened on its data root.
        cache: folder for prepared corpora.
        workers: processes; the result does not depend on them.
        plugins: ``--plugin`` files, for the workers.
        mel: the mel definition; the default one if None.
        textgrids: folder of TextGrids with phone boundaries; if None, the folder ``textgrids`` in the data root.
        task: task that the corpus is opened for; the dataset is told (:meth:`Dataset.pose`) by whoever opened it.

    Raises:
        BenchmarkError: nothing usable was found, or the cache can't be written.
    """
    mel = mel or MelSpec()
    chunks = make_chunks(dataset, textgrids, PREPARE_VERSION)
    sources = [chunk.digest for chunk in chunks]
    key = digest_of([name, dataset.card.version, PREPARE_VERSION, asdict(mel), sources], 12)
    folder = cache / f"{name}-{key}"
    corpus = opened(folder, task, dataset, sources)
    if corpus:
        return corpus
    work = cache / f".{name}-{key}.partial"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(f"The cache folder {cache} can't be written to ({error.strerror}); choose another with --cache.") from error
    with locked(cache / f".{name}-{key}.lock", f"Waiting for another process that prepares {name}."):
        # The other process may have finished it.
        corpus = opened(folder, task, dataset, sources)
        if corpus:
            shutil.rmtree(work, ignore_errors=True)
            return corpus
        shutil.rmtree(folder, ignore_errors=True)
        with _workers(workers, plugins) as pool:
            _staged(
                pool, partial(_first, dataset=dataset, work=work), chunks, "1/5 Reading speech", lambda c: work / f"{c.digest}.chunk",
                Drafts.from_state,
            )  # fmt: skip
            _align(chunks, work, pool, workers)
            _write(name, dataset, chunks, work, pool, mel)
        for pattern in ("*.chunk", "*.phones", "*.aligned", "pass-*.pt", "shards/*.json", f"**/{TEMPORARY}*"):
            for leftover in work.glob(pattern):
                leftover.unlink()
        work.rename(folder)
    return Corpus(folder, task)


class _Here(Executor):
    """For one worker: works in this process, which saves the seconds of starting another."""

    def map(self, fn: Callable[..., Any], *iterables: Any, **_: Any) -> Iterator[Any]:
        """The built-in ``map``."""
        return map(fn, *iterables)


@contextmanager
def _workers(count: int, plugins: Sequence[str]) -> Iterator[Executor]:
    """Worker processes; this process also keeps to one thread, because several libraries' threads per core stall one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            if count == 1:
                yield _Here()
            else:
                with processes.pool(count, partial(registry.register, tuple(plugins))) as pool:
                    yield pool
    finally:
        torch.set_num_threads(threads)


def _staged(
    pool: Executor, work: Callable[[Any], Any], items: Sequence[Any], label: str, output: Callable[[Any], Path],
    whole: Callable[[Any], object],
) -> None:  # fmt: skip
    """Run ``work`` on the items whose output is missing or damaged; ``whole`` raises an error at content that can't be an output."""
    todo = [item for item in items if checkpoint.load(output(item), whole) is None]
    with progress(label, len(items)) as show:
        show(len(items) - len(todo))
        for number, _ in enumerate(pool.map(work, todo), len(items) - len(todo) + 1):
            show(number)


def _first(chunk: Chunk, dataset: Dataset, work: Path) -> None:
    """Stage 1 of a chunk."""
    draft(chunk, dataset).save(work / f"{chunk.digest}.chunk")


def _align(chunks: Sequence[Chunk], work: Path, pool: Executor, workers: int) -> None:
    """Stage 2: write ``.aligned`` files, which hold the segments of all drafts and what stage 3 must first know of all chunks."""
    output = {chunk.digest: work / f"{chunk.digest}.aligned" for chunk in chunks}
    if all(checkpoint.load(path, _aligned) is not None for path in output.values()):
        return
    items: list[AlignmentItem] = []
    # Speakers who are all held out, for models of other corpora, are aligned by their own speech.
    training = [chunk for chunk in chunks if chunk.split == "train"] or chunks
    with progress("2/5 Reading phones", len(training)) as show:
        for start in range(0, len(training), workers):
            if len(items) < ALIGNER_UTTERANCES:
                for found in pool.map(partial(_items, work=work), training[start : start + workers]):
                    items += found
            show(start + workers)
    aligner = None
    if items:
        with progress("3/5 Training the aligner", 1) as show:
            try:
                aligner = Aligner.fit(items[:ALIGNER_UTTERANCES], workers, work, lambda done, total: show(done / total))
            except CannotAlign as error:
                raise BenchmarkError(f"The aligner can't be trained: {error}; check that the transcripts match the audio.") from error
    del items
    _staged(pool, partial(_second, aligner=aligner, work=work), chunks, "4/5 Aligning", lambda chunk: output[chunk.digest], _aligned)


def _aligned(state: Any) -> dict[str, Any]:
    """The content of an ``.aligned`` file; any error means that it is none."""
    for segments in state["segments"].values():
        as_segments(segments)
    return {"segments": state["segments"], "skipped": [*state["skipped"]], "samples": int(state["samples"]), "phones": [*state["phones"]]}


def _items(chunk: Chunk, work: Path) -> list[AlignmentItem]:
    """The utterances that need boundaries from the aligner; kept in a ``.phones`` file."""
    path = work / f"{chunk.digest}.phones"
    items = checkpoint.load(path, lambda rows: [AlignmentItem(name, features.numpy(), words) for name, features, words in rows])
    if items is None:
        items = [_item(each) for each in Drafts.load(work / f"{chunk.digest}.chunk").kept if each.segments is None]
        checkpoint.save(path, [(item.id, torch.from_numpy(item.features), item.words) for item in items])
    return items


def _item(each: Draft) -> AlignmentItem:
    return AlignmentItem(each.id, mfcc(from_int16(each.audio), SAMPLE_RATE), each.words)


def _second(chunk: Chunk, aligner: Aligner | None, work: Path) -> None:
    drafts = Drafts.load(work / f"{chunk.digest}.chunk")
    skipped, segments = [], {}
    for each in drafts.kept:
        if each.segments is None:
            try:
                if aligner is None:
                    raise CannotAlign("no speech to align from")
                segments[each.id] = [[asdict(segment) for segment in word] for word in aligner.align(_item(each))]
            except CannotAlign as reason:
                skipped.append((each.id, f"alignment failed: {reason}"))
    lost = {name for name, _ in skipped}
    kept = [each for each in drafts.kept if each.id not in lost]
    checkpoint.save(work / f"{chunk.digest}.aligned", {
        "segments": segments, "skipped": skipped, "samples": sum(len(each.audio) for each in kept),
        "phones": sorted({phone for each in kept for word in each.words for phone in word}),
    })  # fmt: skip


def _third(chunk: Chunk, work: Path, mel: MelSpec, symbol_ids: dict[str, int]) -> shards.Finished:
    drafts, aligned = Drafts.load(work / f"{chunk.digest}.chunk"), checkpoint.load(work / f"{chunk.digest}.aligned", _aligned)
    assert aligned is not None
    ready = []
    for each in drafts.kept:
        if each.id in aligned["segments"]:
            each.segments, each.source = as_segments(aligned["segments"][each.id]), "aligner"
        if each.segments is not None:
            ready.append(each)
    finished, skipped = shards.finish(ready, mel, symbol_ids)
    return finished, [*drafts.skipped, *aligned["skipped"], *skipped]


def _write(name: str, dataset: Dataset, chunks: Sequence[Chunk], work: Path, pool: Executor, mel: MelSpec) -> None:
    """Stage 3: shards, then the index, then ``corpus.json``."""
    symbols, listings = _shards(chunks, work, pool, mel)
    rows = [row for listing in listings for row in listing["rows"]]
    skipped = [pair for listing in listings for pair in listing["skipped"]]
    if not rows:
        reasons = sorted({reason for _, reason in skipped})
        raise BenchmarkError(
            f"{name} has no utterance that can be used: {len(skipped)} utterances were skipped ({'; '.join(reasons)}). Check the data root."
        )
    write_text(work / INDEX, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    names = [INDEX, *(f"shards/{n:05d}.{array}.npy" for n in range(len(listings)) for array in ARRAYS)]
    files = {file: digest_of_file(work / file) for file in names}
    refused = [pair for chunk in chunks if chunk.grids for pair in Drafts.load(work / f"{chunk.digest}.chunk").refused]
    sources: Counter[str] = Counter()
    for listing in listings:
        sources.update(listing["sources"])
    report = {"splits": _splits(rows, mel), "skipped": _reasons(skipped), "boundaries": sources, "textgrids refused": _reasons(refused)}
    shard = remembered(partial(open_shard, work))
    write_sealed(work / "corpus.json", {
        "format": CORPUS_FORMAT, "dataset": name, "preparation": PREPARE_VERSION,
        "version": version_of(PREPARE_VERSION, symbols, asdict(mel), [chunk.digest for chunk in chunks], rows),
        "symbols": symbols, "mel": asdict(mel), "statistics": shards.statistics(rows, work / "shards"), "files": files,
        "card": asdict(dataset.card), "report": report, "training_speech": speech_digest(rows, dataset.card.language, shard),
    })  # fmt: skip


def _shards(chunks: Sequence[Chunk], work: Path, pool: Executor, mel: MelSpec) -> tuple[list[str], list[dict[str, Any]]]:
    """Write the shards that are missing; return the symbols, and what each shard holds."""
    phones: set[str] = set()
    hours: dict[str, float] = {}
    for chunk in chunks:
        aligned = checkpoint.load(work / f"{chunk.digest}.aligned", _aligned)
        if aligned is None:
            raise BenchmarkError(f"{work / chunk.digest}.aligned was damaged while preparing; run the same command again.")
        phones |= set(aligned["phones"])
        hours[chunk.digest] = aligned["samples"] / SAMPLE_RATE / 3600
    symbols = [*SPECIAL_SYMBOLS, *sorted(phones)]
    groups = shards.group(chunks, lambda chunk: hours[chunk.digest])
    folder = work / "shards"
    finish = partial(_third, work=work, mel=mel, symbol_ids={symbol: number for number, symbol in enumerate(symbols)})
    with progress("5/5 Computing features", len(chunks)) as show:
        finished = count(1)
        for number, group in enumerate(groups):
            if shards.is_whole(number, folder):
                for _ in group:
                    show(next(finished))
            else:
                shards.write(number, group, folder, pool, finish, mel, lambda: show(next(finished)))
    return symbols, [read_sealed(folder / f"{number:05d}.json", "shard listing") for number in range(len(groups))]


def _splits(rows: Sequence[dict[str, Any]], mel: MelSpec) -> dict[str, Any]:
    return {
        split: {
            "speakers": len({row["speaker"] for row in rows if row["split"] == split}),
            "utterances": sum(row["split"] == split for row in rows),
            "hours": round(sum(row["samples"] for row in rows if row["split"] == split) / mel.sample_rate / 3600, 3),
        }
        for split in SPLITS
    }


def _reasons(pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    reasons: dict[str, dict[str, Any]] = {}
    for name, reason in pairs:
        entry = reasons.setdefault(reason, {"count": 0, "examples": []})
        entry["count"] += 1
        if len(entry["examples"]) < EXAMPLES:
            entry["examples"].append(name)
    return reasons


def describe(corpus: Corpus) -> Iterator[str]:
    """Lines that say what a corpus holds, and what was skipped and why."""
    for split in SPLITS:
        counts = corpus.report["splits"][split]
        yield f"  {split:<10} {counts['speakers']:>4} speakers  {counts['utterances']:>6} utterances  {counts['hours']:.2f} h"
    if corpus.left_out():
        yield f"  {corpus.left_out()}"
    sources = corpus.report.get("boundaries", {})
    if sources:
        yield "  phone boundaries from " + ", ".join(f"{source} ({count})" for source, count in sorted(sources.items()))
    for title, key in (("skipped", "skipped"), ("TextGrids refused", "textgrids refused")):
        for reason, entry in sorted(corpus.report.get(key, {}).items()):
            more = ", …" if entry["count"] > len(entry["examples"]) else ""
            yield f"  {title} {entry['count']}: {reason} ({', '.join(entry['examples'])}{more})"
