"""What comes trained with this package: a model of one corpus, whose parts spare others the hours that they took.

The parts are used where they would be trained again on the same speech, so that everybody's rows on that corpus rest on the same ones.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from benchmark.plumbing import model_file
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.model_file import Bundle, digest_of_tensors
from benchmark.utterance import PreparedCorpus

ROUNDED = 1e-4
"""Relative difference between statistics of the same speech that processors' rounding explains, with room to spare."""


def learned_from(corpus: PreparedCorpus) -> Bundle | None:
    """The shipped model, if it learned from the training speakers of ``corpus``, and from no others.

    Who says what is compared, and the statistics of the speech, since processors round features differently.

    Raises:
        BenchmarkError: the file is damaged.
    """
    if not model_file.SHIPPED.is_file():
        return None
    bundle = _read(model_file.SHIPPED)
    frontend = bundle.facts["frontend"]
    spec = frontend["spec"]
    ours = [corpus.name, list(corpus.symbols), asdict(corpus.mel)]
    if ours != [frontend["corpus"], list(frontend["symbols"]), spec["mel"]] or said_in(corpus) != bundle.facts.get("said"):
        return None
    same = all(np.allclose(value, spec["statistics"][name], rtol=ROUNDED) for name, value in asdict(corpus.statistics).items())
    return bundle if same else None


def said_in(corpus: PreparedCorpus) -> str:
    """Digest of the version of a corpus's preparation and of who says what in its training split; a model file holds it as "said"."""
    names = [(speaker, name) for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)]
    return digest_of([str(corpus.meta.get("preparation")), [[speaker, name, corpus.text(name)] for speaker, name in names]], 24)


def instruments(corpus: PreparedCorpus) -> dict[str, str]:
    """Digest of what the shipped model scores a corpus's speech with, the recogniser and the aligner; empty if it learned from another."""
    bundle = learned_from(corpus)
    return {"shipped instruments": digest_of_tensors({**bundle.part("metric per"), **bundle.part("aligner")})} if bundle else {}


@cache
def _read(path: Path) -> Bundle:
    return model_file.read(path)
