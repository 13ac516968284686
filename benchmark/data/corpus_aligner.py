"""The aligner of a prepared corpus, trained once on its training speakers and cached; ``duration_error``, ``gop`` and ``say`` share it.

That of speechocean762 comes with this package.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.data.aligner import Aligner, AlignmentItem, CannotAlign, mfcc
from benchmark.data.shipped import learned_from
from benchmark.dataset import SPLITS
from benchmark.errors import BenchmarkError
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.progress import progress
from benchmark.scoring.checks import spread
from benchmark.utterance import PreparedCorpus

ALIGNER_FORMAT = 1
"""Raise it when the aligner or its training changes, so that no older one in the cache is used."""
UTTERANCES = 1000
"""Most utterances of the training split to train the aligner on."""


def corpus_aligner(corpus: PreparedCorpus, cache: Path) -> Aligner:
    """The corpus's aligner: the shipped one if it learned from this corpus, or else from the cache if a whole one is there.

    Args:
        corpus: the prepared corpus.
        cache: folder for what metrics keep.

    Raises:
        BenchmarkError: the aligner can't be trained.
    """
    if (bundle := learned_from(corpus)) and bundle.facts["aligner"].get("format") == ALIGNER_FORMAT:
        return Aligner.from_state({**bundle.facts["aligner"], **bundle.part("aligner")})
    # A dataset without training speakers is aligned by its own speech in preparation; here too, beside what else is learned from.
    alone = not corpus.own.speakers("train")
    key = digest_of([ALIGNER_FORMAT, corpus.exact_version if alone else corpus.training_digest, UTTERANCES], 24)
    path = cache / f"aligner-{key}.pt"
    if (aligner := checkpoint.load(path, Aligner.from_state)) is not None:
        return aligner
    speakers = [each for split in (SPLITS if alone else SPLITS[:1]) for each in corpus.speakers(split)]
    names = [name for speaker in speakers for name in corpus.utterance_ids(speaker)]
    items = [AlignmentItem(one.id, mfcc(one.waveform, corpus.mel.sample_rate), one.words) for one in corpus.many(spread(names, UTTERANCES))]
    try:
        with progress("Training the aligner", 1) as show:
            aligner = Aligner.fit(items, progress=lambda done, total: show(done / total))
    except CannotAlign as error:
        raise BenchmarkError(f"The aligner can't be trained on {corpus.name}: {error}.") from error
    checkpoint.save(path, aligner.state())
    return aligner
