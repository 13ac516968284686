"""Using a prepared corpus that is in the cache, after checking all of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from benchmark.data import shards
from benchmark.data.corpus import CORPUS_FORMAT, UNSEALED, Corpus, version_of
from benchmark.dataset import Dataset
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import digest_of, write_sealed


def opened(folder: Path, task: str, dataset: Dataset, sources: Sequence[str]) -> Corpus | None:
    """The corpus, if a whole one is there; says so if it is damaged.

    Args:
        folder: of the corpus.
        task: that it is opened for.
        dataset: that it was made from.
        sources: digests of each speaker's recordings, transcripts and TextGrids.
    """
    if not folder.exists():
        return None
    try:
        corpus = Corpus(folder, task)
        corpus.check()
        if corpus.meta["format"] == UNSEALED:
            _check_unsealed(corpus, dataset)
        if corpus.meta["format"] != CORPUS_FORMAT:
            _renew(corpus, sources)
    except BenchmarkError as error:
        print(f"The cache is damaged, so the corpus is prepared again: {error}", file=sys.stderr)
        return None
    return corpus


def _check_unsealed(corpus: Corpus, dataset: Dataset) -> None:
    """Check what no digest of a corpus of the first form covers.

    Raises:
        BenchmarkError: it was changed.
    """
    meta, rows = corpus.meta, list(corpus.rows())
    card = {name: value for name, value in asdict(dataset.card).items() if name in meta["card"]}  # it may have grown since
    found = {"statistics": shards.statistics(rows, corpus.folder / "shards"), "card": card}
    if digest_of(found) != digest_of({name: meta.get(name) for name in found}):
        raise BenchmarkError(f"{corpus.folder / 'corpus.json'} was changed.")


def _renew(corpus: Corpus, sources: Sequence[str]) -> None:
    """Give a corpus of an older form its version and the digest of ``corpus.json``."""
    meta = corpus.meta
    corpus.version = version_of(corpus.preparation, meta["symbols"], meta["mel"], sources, corpus.rows())
    corpus.meta = {**meta, "format": CORPUS_FORMAT, "version": corpus.version}
    with suppress(BenchmarkError):  # a cache that can't be written to is used as it is
        write_sealed(corpus.folder / "corpus.json", corpus.meta)
