"""PESQ: the scale's top for identical speech, a failure instead of a number where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmark.audio import Audio
from benchmark.errors import CannotScore
from benchmark.metric import Sample
from benchmark.metrics._pesq_utterances import utterances
from benchmark.metrics.pesq import PESQ
from tests.metric_helpers import sample, say, unusable_audio

METRIC = PESQ()
TOP = 0.999 + 4.0 / (1.0 + math.exp(-1.3669 * 4.5 + 3.8224))
"""P.862.2, eq. 1, for a signal without disturbance (y = 4.5)."""


def value(audio: np.ndarray, reference: np.ndarray) -> float:
    return METRIC.score(sample(audio, reference))["pesq"]


def test_identical_speech_gets_the_top_of_the_scale() -> None:
    audio, _ = say("aiuesaeusa")
    assert pytest.approx(4.64, abs=0.005) == TOP
    assert value(audio, audio) == pytest.approx(TOP, abs=1e-4)


def test_loudness_does_not_count() -> None:
    audio, _ = say("aiuesaeusa")
    assert value(audio * np.float32(0.25), audio) == pytest.approx(TOP, abs=0.02)


def test_more_noise_is_worse() -> None:
    audio, _ = say("aiuesaeusa")
    noise = np.random.default_rng(0).normal(size=len(audio)).astype(np.float32)
    values = [value(audio + np.float32(level) * noise, audio) for level in (0.0003, 0.003, 0.03)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 1.0


def test_a_vocoders_lost_last_hop_is_forgiven_but_other_durations_are_not() -> None:
    audio, _ = say("aiuesaeusa")
    assert value(audio[:-200], audio) > 4.5
    with pytest.raises(CannotScore, match="not aligned"):
        value(audio[:-2000], audio)


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str) -> None:
    bad = unusable_audio()[what]
    good, _ = say("aiuesaiues")
    for audio, reference in ((bad, good[: len(bad)]), (good[: len(bad)], bad), (bad, bad)):
        with pytest.raises(CannotScore):
            value(audio, reference)


def test_a_signal_without_an_utterance_says_so() -> None:
    speech, _ = say("aiuesaeusa")
    burst = np.zeros_like(speech)
    burst[:400] = speech[8000:8400]
    with pytest.raises(CannotScore, match="PESQ gives no value: No utterances"):
        value(speech, burst)


def bursts(count: int, pause: float = 0.25) -> Audio:
    """So many bursts of noise of 0.3 s, each followed by near silence."""
    generator = np.random.default_rng(0)
    parts = [generator.normal(0, level, round(seconds * 16_000)) for _ in range(count) for level, seconds in ((0.1, 0.3), (1e-5, pause))]
    return np.concatenate(parts).astype(np.float32)


def score(speech: Audio) -> float:
    return METRIC.score(Sample(0.9 * speech, speech, (), "s", ()))["pesq"]


def under(speech: Audio, kind: str) -> Audio:
    """Speech with something under it that changes what a threshold on the level finds, but not what PESQ finds after its filters."""
    time = np.arange(len(speech)) / 16_000
    noise = np.random.default_rng(1).normal(0, 1, len(speech))
    rumble = np.fft.irfft(np.where(np.fft.rfftfreq(len(speech), 1 / 16_000) < 40, np.fft.rfft(noise), 0), len(speech))
    sounds = {"10 Hz": 0.3 * np.sin(20 * np.pi * time), "15 Hz": np.sin(30 * np.pi * time), "rumble": 10 * rumble, "hiss": 0.003 * noise}
    return (speech + sounds[kind]).astype(np.float32)


@pytest.mark.parametrize("kind", ["10 Hz", "15 Hz", "rumble", "hiss"])
def test_sound_under_speech_hides_no_pause(kind: str) -> None:
    assert utterances(under(bursts(40), kind), bursts(40)) == 40
    with pytest.raises(CannotScore, match="more than 49 stretches of speech between pauses, and there are 60"):
        score(under(bursts(60), kind))


def test_the_count_is_exact_where_room_ends() -> None:
    """60 utterances end the process, 51 to 58 give numbers from overwritten memory."""
    assert 1 <= score(bursts(49)) <= 4.65
    for count in (50, 51, 58):
        with pytest.raises(CannotScore, match=f"there are {count}$"):
            score(bursts(count))


def test_counting_changes_no_value() -> None:
    from pesq import pesq

    speech = bursts(36)
    noisy = speech + np.random.default_rng(2).normal(0, 0.01, len(speech)).astype(np.float32)
    expected = pesq(16_000, speech, noisy, "wb")
    assert value(noisy, speech) == expected == value(noisy, speech)


def test_forty_bursts_and_long_steady_speech_still_score_and_too_long_speech_does_not() -> None:
    for speech in (bursts(40), np.tile(bursts(2, 0.1), 40)):
        assert 1 <= score(speech) <= 4.65
    with pytest.raises(CannotScore, match="more than 90 s"):
        score(np.tile(bursts(2, 0.1), 120))
