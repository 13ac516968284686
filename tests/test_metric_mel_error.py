"""Mel error: the loss of a model that is given the durations, and nothing where there is no mel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.errors import CannotScore
from benchmark.metrics.mel_error import MelError
from tests.metric_helpers import sample

DEVIATION = (0.5, 2.0)


@pytest.fixture
def metric() -> MelError:
    made, context = MelError(), SimpleNamespace(corpus=SimpleNamespace(statistics=SimpleNamespace(mel_std=DEVIATION)))
    made.prepare(context)  # type: ignore[arg-type]
    return made


def value(metric: MelError, mel: Any, reference: Any) -> float:
    return metric.score(sample(np.zeros(0, np.float32), mel=mel, reference_mel=reference))["mel_error"]


def test_bands_are_scaled_by_their_deviation(metric: MelError) -> None:
    reference = np.zeros((3, 2), np.float32)
    assert value(metric, reference, reference) == 0
    # Off by 1 in the first band, 2 deviations, in one of three frames; by 4 in the second, 2 deviations, everywhere.
    off = np.array([[1, 4], [0, -4], [0, 4]], np.float32)
    assert value(metric, off, reference) == pytest.approx((2 + 2 + 2 + 2) / 6)


def test_what_can_not_be_compared_gets_no_number(metric: MelError) -> None:
    mel = np.zeros((3, 2), np.float32)
    for one, other in ((None, mel), (mel, None), (mel, mel[:2])):
        with pytest.raises(CannotScore):
            value(metric, one, other)
