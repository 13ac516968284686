"""F0 and voicing errors against signals whose pitch is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metrics.f0 import F0
from benchmark.scoring.pitch_floor import FLOOR, LOW_FLOOR, pitch_floor
from benchmark.scoring.world import FRAME_PERIOD, analyse
from tests.metric_helpers import FORMANTS, resonate, sample, say, unusable_audio

METRIC = F0()


def vowel(pitch: float, phone: str = "a", seconds: float = 0.6) -> Audio:
    """A steady vowel: Rosenberg's (1971) glottal pulses through formants."""
    rng = np.random.default_rng(0)
    samples = round(seconds * SAMPLE_RATE)
    phase = np.arange(samples) * pitch / SAMPLE_RATE % 1.0
    closing = np.where(phase < 0.56, np.cos(np.pi / 2 * (phase - 0.4) / 0.16), 0.0)
    flow = np.where(phase < 0.4, 0.5 * (1.0 - np.cos(np.pi * phase / 0.4)), closing)
    audio = resonate(np.diff(flow, prepend=0.0) + rng.normal(0, 1e-3, samples), FORMANTS[phone])
    return (0.1 * audio / np.sqrt(np.mean(audio**2))).astype(np.float32)


def test_identical_speech_has_no_error() -> None:
    audio, _ = say("aiuesae")
    assert METRIC.score(sample(audio)) == {"f0_rmse": 0.0, "vuv_error": 0.0}


@pytest.mark.parametrize("pitch", [55.0, 60.0, 65.0, 68.0, 70.0, 72.0, 80.0, 90.0])
@pytest.mark.parametrize("phone", ["a", "i"])
def test_low_voices_are_not_doubled(phone: str, pitch: float) -> None:
    """With Harvest's own floor of 71 Hz, those below it were an octave off, or lost."""
    audio = vowel(pitch, phone)
    found = analyse(audio).pitch[5:-5]
    assert found == pytest.approx(np.full(len(found), pitch), rel=0.005)
    # Through the metric: against a voice an octave above, which no floor touches.
    value = METRIC.score(sample(vowel(2 * pitch, phone), audio))
    assert value["f0_rmse"] == pytest.approx(1200.0, abs=10.0)
    assert value["vuv_error"] < 1.0


def test_two_low_voices_differ_by_as_much_as_they_do() -> None:
    assert METRIC.score(sample(vowel(66.0), vowel(65.0)))["f0_rmse"] == pytest.approx(1200 * np.log2(66 / 65), abs=3.0)
    reference, _ = say("aiueaiue", pitch=60.0)
    audio, _ = say("aiueaiue", pitch=120.0)
    value = METRIC.score(sample(audio, reference))
    assert value["f0_rmse"] == pytest.approx(1200.0, rel=0.02)
    assert value["vuv_error"] < 6.0


def test_a_voice_that_is_low_in_half_of_the_speech_is_low() -> None:
    low, high = vowel(60.0), vowel(120.0)
    value = METRIC.score(sample(np.concatenate([low, high]), np.concatenate([low, low])))
    assert value["f0_rmse"] == pytest.approx(1200 * np.sqrt(0.5), rel=0.05)


@pytest.mark.parametrize("hum", [50.0, 60.0])
@pytest.mark.parametrize(("pitch", "floor"), [(65.0, LOW_FLOOR), (120.0, FLOOR)])
def test_mains_hum_is_no_voice(pitch: float, floor: float, hum: float) -> None:
    """35 dB below the speech: neither is it voiced in the pauses of a low voice, nor does it make another voice low."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    audio = np.concatenate([pause, vowel(pitch), pause])
    turns = hum * np.arange(len(audio)) / SAMPLE_RATE
    waves = np.array([np.sin(2 * np.pi * k * turns) / k for k in (1, 2, 3)])
    audio = audio + (0.1 * 10 ** (-35 / 20) * waves.sum(axis=0)).astype(np.float32)
    assert pitch_floor(audio.astype(np.float64), FRAME_PERIOD) == floor
    found = analyse(audio).pitch
    # 50 ms around the vowel's ends are left out.
    assert (found[:90] == 0).all() and (found[-90:] == 0).all()
    assert found[110:-110] == pytest.approx(np.full(len(found) - 220, pitch), rel=0.02)


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
