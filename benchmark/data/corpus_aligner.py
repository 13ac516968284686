"""The aligner of a prepared corpus, trained once on its training speakers and kept in the cache.

It is the one that ``duration_error`` trains and keeps, under the same name: a run that was scored with it has it ready.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.data.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError
from benchmark.metrics import spread
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress

ALIGNER_FORMAT = 1
UTTERANCES = 1000
"""A test holds both to be those of ``duration_error``."""


def corpus_aligner(corpus: Corpus, cache: Path) -> Aligner:
    """The corpus's aligner, from the cache if it is there and whole.

    Args:
        corpus: prepared.
        cache: ``--cache``.

    Raises:
        BenchmarkError: it can't be trained.
    """
    key = digest_of([ALIGNER_FORMAT, corpus.version, UTTERANCES], 24)
    path = cache / "metrics" / f"{corpus.name}-{corpus.version}" / f"aligner-{key}.pt"
    if (state := checkpoint.load(path)) is not None:
        return Aligner.from_state(state)
    names = [name for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)]
    items = [AlignmentItem(one.id, mfcc(one.waveform, corpus.mel.sample_rate), one.words) for one in corpus.many(spread(names, UTTERANCES))]
    try:
        with progress("Training the aligner", 1) as show:
            aligner = Aligner.fit(items, progress=lambda done, total: show(done / total))
    except CannotAlign as error:
        raise BenchmarkError(f"The aligner can't be trained on {corpus.name}: {error}.") from error
    checkpoint.save(path, aligner.state())
    return aligner
