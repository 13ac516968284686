"""F0 and voicing errors against signals whose pitch is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import CannotScore
from benchmark.metrics.f0 import F0
from tests.metric_helpers import FORMANTS, resonate, sample, say, unusable_audio

METRIC = F0()


def test_identical_speech_has_no_error() -> None:
    audio, _ = say("aiuesae")
    assert METRIC.score(sample(audio)) == {"f0_rmse": 0.0, "vuv_error": 0.0}


@pytest.mark.parametrize("semitones", [-3, 2])
def test_a_transposed_voice_is_off_by_so_many_cents(semitones: int) -> None:
    reference, _ = say("aiueaiue", pitch=120.0)
    audio, _ = say("aiueaiue", pitch=120.0 * 2 ** (semitones / 12))
    value = METRIC.score(sample(audio, reference))
    assert value["f0_rmse"] == pytest.approx(100.0 * abs(semitones), rel=0.1)
    assert value["vuv_error"] < 6.0


def test_a_constant_shift_and_a_spread_add_as_squares() -> None:
    """An octave in half of the speech and none in the other half is 1200 · √½ cents."""
    low, _ = say("aaaaaaaa", pitch=110.0)
    high, _ = say("aaaaaaaa", pitch=220.0)
    half = len(low) // 2
    value = METRIC.score(sample(np.concatenate([low[:half], high[half:]]), low))
    assert value["f0_rmse"] == pytest.approx(1200 * np.sqrt(0.5), rel=0.1)


def test_whispered_vowels_are_voicing_errors() -> None:
    reference, durations = say("aeaeaeae")
    audio = reference.copy()
    start = 256 * sum(durations[:3])
    end = start + 256 * durations[3]
    whisper = resonate(np.random.default_rng(0).normal(size=end - start), FORMANTS["a"])
    audio[start:end] = 0.1 * whisper / np.sqrt(np.mean(whisper**2))
    # Warping passes over some of it, so no more than its share of the frames.
    assert 0.3 < METRIC.score(sample(audio, reference))["vuv_error"] / (100 * durations[3] / sum(durations)) < 1.1


def test_nothing_voiced_gets_no_number() -> None:
    reference, _ = say("aiue")
    noise = np.random.default_rng(0).normal(0, 0.1, len(reference)).astype(np.float32)
    with pytest.raises(CannotScore, match="voiced"):
        METRIC.score(sample(noise * np.float32(0.5), noise))


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str) -> None:
    audio, _ = say("aiu")
    for one in (sample(unusable_audio()[what], audio), sample(audio, unusable_audio()[what])):
        with pytest.raises(CannotScore):
            METRIC.score(one)
