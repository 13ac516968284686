"""What a metric measures on real speech of the scored speakers, to read its values against; computed once and cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import MetricContext
from benchmark.plumbing.files import read_sealed, write_sealed
from benchmark.scoring.checks import spread
from benchmark.utterance import PreparedUtterance

HELD_OUT_UTTERANCES = 40
"""Most real utterances per scored speaker that are measured."""


def mean_on_recordings(context: MetricContext, path: Path, name: str, measure: Callable[[PreparedUtterance], float]) -> float:
    """The mean of a measure over recordings of the scored speakers, without those that it can't score.

    Args:
        context: gives the speakers and their recordings.
        path: where the mean is kept; named by everything that it rests on.
        name: of the mean in that file.
        measure: of one recording; raises CannotScore if there is no value.

    Raises:
        BenchmarkError: it can't score any recording.
    """
    try:
        return float(read_sealed(path, "mean on real speech")[name])
    except (BenchmarkError, ValueError, KeyError, TypeError):
        pass
    values = []
    for target in sorted(context.targets):
        for utterance in context.corpus.many(spread(context.corpus.utterances_of(target), HELD_OUT_UTTERANCES)):
            try:
                values.append(measure(utterance))
            except CannotScore:
                continue
    if not values:
        raise BenchmarkError(f"No recording of the scored speakers of {context.corpus.name} can be used to measure {name}.")
    write_sealed(path, {name: float(np.mean(values)), "utterances": len(values)})
    return float(np.mean(values))
