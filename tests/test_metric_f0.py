"""F0 and voicing errors against signals whose pitch is known."""

from __future__ import annotations

import os
import pickle
import sys

import numpy as np
import pytest

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metrics.f0 import F0
from benchmark.scoring import pitch as pitches
from benchmark.scoring.world import FRAME_PERIOD, analyse
from tests.metric_helpers import FORMANTS, resonate, sample, say, unusable_audio

METRIC = F0()


def vowel(pitch: float, phone: str = "a", seconds: float = 0.6) -> Audio:
    """A steady vowel."""
    return sung(np.full(round(seconds * SAMPLE_RATE), pitch), phone)


def sung(pitch: np.ndarray, phone: str = "a") -> Audio:
    """A vowel whose pitch is given sample by sample: Rosenberg's (1971) glottal pulses through formants."""
    rng = np.random.default_rng(0)
    phase = (np.cumsum(pitch) - pitch[0]) / SAMPLE_RATE % 1.0
    closing = np.where(phase < 0.56, np.cos(np.pi / 2 * (phase - 0.4) / 0.16), 0.0)
    flow = np.where(phase < 0.4, 0.5 * (1.0 - np.cos(np.pi * phase / 0.4)), closing)
    audio = resonate(np.diff(flow, prepend=0.0) + rng.normal(0, 1e-3, len(pitch)), FORMANTS[phone])
    return (0.1 * audio / np.sqrt(np.mean(audio**2))).astype(np.float32)


def times(pitch: np.ndarray) -> np.ndarray:
    """Seconds of the frames of an analysis."""
    return np.arange(len(pitch)) * FRAME_PERIOD / 1000.0


def test_identical_speech_has_no_error() -> None:
    audio, _ = say("aiuesae")
    assert METRIC.score(sample(audio)) == {"f0_rmse": 0.0, "vuv_error": 0.0}


@pytest.mark.parametrize("pitch", [50.0, 55.0, 65.0, 72.0, 90.0, 140.0, 220.0, 390.0, 700.0])
@pytest.mark.parametrize("phone", ["a", "i"])
def test_the_pitch_of_low_and_high_voices_is_found(phone: str, pitch: float) -> None:
    found = analyse(vowel(pitch, phone)).pitch
    # The voice begins and ends within 30 ms of where it does.
    assert found[6:-6] == pytest.approx(np.full(len(found) - 12, pitch), rel=0.008)


@pytest.mark.parametrize("pitch", [50.0, 65.0, 90.0, 220.0])
def test_an_octave_is_1200_cents(pitch: float) -> None:
    value = METRIC.score(sample(vowel(2 * pitch), vowel(pitch)))
    assert value["f0_rmse"] == pytest.approx(1200.0, abs=10.0)
    assert value["vuv_error"] < 5.0


@pytest.mark.parametrize(("start", "end"), [(80.0, 320.0), (320.0, 80.0)])
def test_a_glide_is_found_when_it_sounds(start: float, end: float) -> None:
    """A shift by a frame of the network, 16 ms, would be 38 cents."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    found = analyse(sung(start * (end / start) ** seconds)).pitch
    cents = 1200 * np.log2(found / (start * (end / start) ** times(found)))[10:-10]
    assert abs(np.mean(cents)) < 3.0 and np.abs(cents).max() < 20.0


def test_voicing_begins_and_ends_with_the_voice() -> None:
    pause = np.random.default_rng(0).normal(0, 1e-3, SAMPLE_RATE // 2).astype(np.float32)
    found = analyse(np.concatenate([pause, vowel(120.0), pause])).pitch
    voiced = times(found)[found > 0]
    assert voiced[[0, -1]] == pytest.approx([0.5, 1.1], abs=0.02)
    assert np.diff(voiced).max() < 0.006


@pytest.mark.parametrize("colour", ["white", "a", "s"])
def test_noise_has_no_pitch(colour: str) -> None:
    noise = np.random.default_rng(0).normal(size=2 * SAMPLE_RATE)
    noise = {"white": noise, "a": resonate(noise, FORMANTS["a"]), "s": np.diff(noise)}[colour]
    found = analyse((0.1 * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)).pitch
    assert np.mean(found > 0) < 0.01


def test_silence_has_no_pitch() -> None:
    assert not analyse(np.zeros(SAMPLE_RATE, np.float32)).pitch.any()


def test_loudness_changes_nothing() -> None:
    reference, _ = say("aiueaiue")
    audio, _ = say("aiueaiue", pitch=140.0)
    assert METRIC.score(sample(audio * np.float32(2**-4), reference)) == METRIC.score(sample(audio, reference))


def test_the_detector_is_not_pickled_with_the_metric_and_starts_no_threads() -> None:
    """Scoring is spread over processes, one for each core."""
    audio, _ = say("aiu")
    before = len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0
    pitches._detector.cache_clear()
    pitches.track(audio, np.arange(10) / 100.0)
    assert not before or len(os.listdir("/proc/self/task")) == before
    copy = pickle.loads(pickle.dumps(METRIC))
    assert copy.score(sample(audio)) == {"f0_rmse": 0.0, "vuv_error": 0.0}


def test_two_low_voices_differ_by_as_much_as_they_do() -> None:
    assert METRIC.score(sample(vowel(65.0), vowel(60.0)))["f0_rmse"] == pytest.approx(1200 * np.log2(65 / 60), abs=10.0)
    reference, _ = say("aiueaiue", pitch=70.0)
    audio, _ = say("aiueaiue", pitch=140.0)
    value = METRIC.score(sample(audio, reference))
    assert value["f0_rmse"] == pytest.approx(1200.0, rel=0.02)
    assert value["vuv_error"] < 6.0


@pytest.mark.parametrize("hum", [50.0, 60.0])
@pytest.mark.parametrize("pitch", [65.0, 120.0])
def test_mains_hum_is_no_voice(pitch: float, hum: float) -> None:
    """35 dB below the speech."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    audio = np.concatenate([pause, vowel(pitch), pause])
    turns = hum * np.arange(len(audio)) / SAMPLE_RATE
    waves = np.array([np.sin(2 * np.pi * k * turns) / k for k in (1, 2, 3)])
    audio = audio + (0.1 * 10 ** (-35 / 20) * waves.sum(axis=0)).astype(np.float32)
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
