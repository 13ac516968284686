"""What comes trained with this package: a model of one corpus, whose parts spare others the hours that they took.

The parts are used where they would be trained again on the same speech, so that everybody's rows on that corpus rest on the same ones.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from benchmark.plumbing import model_file
from benchmark.plumbing.model_file import Bundle
from benchmark.utterance import PreparedCorpus

ROUNDED = 1e-4
"""Relative difference between statistics of the same speech that processors' rounding explains, with room to spare."""


def learned_from(corpus: PreparedCorpus) -> Bundle | None:
    """The shipped model, if it learned from the training speakers of ``corpus``, and from no others.

    Their statistics tell: no two choices of recordings have the same means and deviations in every mel band.

    Raises:
        BenchmarkError: the file is damaged.
    """
    if not model_file.SHIPPED.is_file():
        return None
    bundle = _read(model_file.SHIPPED)
    frontend = bundle.facts["frontend"]
    spec = frontend["spec"]
    ours = [corpus.name, list(corpus.symbols), asdict(corpus.mel), len(corpus.speakers("train"))]
    if ours != [frontend["corpus"], list(frontend["symbols"]), spec["mel"], spec["train_speakers"]]:
        return None
    same = all(np.allclose(value, spec["statistics"][name], rtol=ROUNDED) for name, value in asdict(corpus.statistics).items())
    return bundle if same else None


@cache
def _read(path: Path) -> Bundle:
    return model_file.read(path)
