"""STOI: 1 for identical speech, the paper's value for noisy speech, a failure where pystoi would warn and say 1e-5."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import CannotScore
from benchmark.metrics.stoi import STOI
from tests.metric_helpers import sample, say, unusable_audio

METRIC = STOI()
GOLDEN_NOISY = 0.95506
GOLDEN_NOISY_EXTENDED = 0.92384
"""From separate implementations of the papers' equations with loops and scipy's polyphase resampling."""


def value(audio: np.ndarray, reference: np.ndarray) -> float:
    return METRIC.score(sample(audio, reference))["stoi"]


def test_identical_speech_scores_one() -> None:
    audio, _ = say("aiuesaeusa")
    assert value(audio, audio) == pytest.approx(1.0, abs=1e-6)


def test_extended_stoi_is_one_for_identical_speech_and_the_papers_value_for_noisy_speech() -> None:
    audio, _ = say("aiuesaeusa", seed=1)
    assert METRIC.score(sample(audio))["estoi"] == pytest.approx(1.0, abs=1e-6)
    noise = np.random.default_rng(0).normal(0, 0.02, len(audio)).astype(np.float32)
    assert METRIC.score(sample(audio + noise, audio))["estoi"] == pytest.approx(GOLDEN_NOISY_EXTENDED, abs=0.003)


def test_the_same_speech_has_the_same_value_to_the_last_bit() -> None:
    audio, _ = say("aiuesaeusa", seed=1)
    noise = np.random.default_rng(0).normal(0, 0.1, len(audio)).astype(np.float32)
    np.random.seed(7)
    first = np.random.random()
    np.random.seed(7)
    values = [METRIC.score(sample(audio + noise, audio)) for _ in range(3)]
    assert values[0] == values[1] == values[2]
    assert np.random.random() == first, "the caller's random numbers were disturbed"


def test_loudness_does_not_count() -> None:
    audio, _ = say("aiuesaeusa")
    assert value(audio * np.float32(0.25), audio) == pytest.approx(1.0, abs=1e-6)


def test_noisy_speech_gets_the_papers_value() -> None:
    audio, _ = say("aiuesaeusa", seed=1)
    noise = np.random.default_rng(0).normal(0, 0.02, len(audio)).astype(np.float32)
    assert value(audio + noise, audio) == pytest.approx(GOLDEN_NOISY, abs=0.005)


def test_more_noise_is_worse_and_noise_alone_is_near_zero() -> None:
    audio, _ = say("aiuesaeusa")
    noise = np.random.default_rng(0).normal(size=len(audio)).astype(np.float32)
    values = [value(audio + np.float32(level) * noise, audio) for level in (0.003, 0.03, 0.3)]
    assert values == sorted(values, reverse=True)
    assert abs(value(noise, audio)) < 0.5 < values[0]


def test_too_little_speech_is_a_failure_not_1e_minus_5() -> None:
    audio, _ = say("a")
    padded = np.concatenate([audio, np.zeros(16_000, np.float32)])
    with pytest.raises(CannotScore, match="Not enough STFT frames"):
        value(padded, padded)


def test_other_durations_are_refused() -> None:
    audio, _ = say("aiuesaeusa")
    with pytest.raises(CannotScore, match="not aligned"):
        value(audio[:-2000], audio)


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str) -> None:
    bad = unusable_audio()[what]
    good, _ = say("aiuesaiues")
    for audio, reference in ((bad, good[: len(bad)]), (good[: len(bad)], bad), (bad, bad)):
        with pytest.raises(CannotScore):
            value(audio, reference)
