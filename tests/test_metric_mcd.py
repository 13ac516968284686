"""MCD: zero for identical speech, blind to loudness, equal to what independent tools give."""

from __future__ import annotations

import numpy as np
import pytest
import pyworld

from benchmark.audio import SAMPLE_RATE
from benchmark.errors import CannotScore
from benchmark.metrics.mcd import DECIBEL, MCD
from benchmark.scoring.world import analyse, path, warping
from tests.metric_helpers import FORMANTS, SPEC, sample, say, unusable_audio

METRIC = MCD()
# Computed apart from this code with pysptk 1.0.1, for the spectrum of the test that uses them.
GOLDEN_SPTK = [
    0.593550506581, 0.456002073826, -0.610084041669, 0.150924042308, 0.152163075281, -0.071588342127,
    0.222694226222, -0.086537082771, -0.01118077154, -0.030711826347, 0.069723852906, -0.038955239934,
    -0.016828175516, 0.04268175137, -0.027832125559, -0.005591427292, 0.032029124782, -0.039142359361,
    0.028425095209, -0.008356393777, -0.012269712728, 0.027802872741, -0.036245881074, 0.038215499143,
    -0.035574949783,
]  # fmt: skip


def value(audio: np.ndarray, reference: np.ndarray) -> float:
    return METRIC.score(sample(audio, reference))["mcd"]


def test_identical_speech_has_no_distortion() -> None:
    audio, _ = say("aiuesae")
    assert value(audio, audio) == 0.0


def test_loudness_is_not_distortion() -> None:
    audio, _ = say("aiuesae")
    assert value(audio * np.float32(10 ** (-12 / 20)), audio) < 0.1


def test_another_sentence_is_further_away_than_the_same_one_said_again() -> None:
    reference, _ = say("aiuesaeu", seed=1)
    again, _ = say("aiuesaeu", seed=2)
    other, _ = say("usiaisea", seed=3)
    noise = np.random.default_rng(0).normal(0, 0.1, len(reference)).astype(np.float32)
    assert value(again, reference) < value(other, reference) < value(noise, reference)


def test_mel_cepstra_equal_those_of_sptk() -> None:
    """``pysptk.sp2mc(spectrum, 24, 0.41)`` gave GOLDEN_SPTK."""
    omega = np.linspace(0.0, np.pi, 513)
    spectrum = np.exp(2.0 * (0.3 + 0.8 * np.cos(omega) - 0.5 * np.cos(3 * omega) + 0.2 * np.cos(11 * omega)))
    cepstra = np.fft.irfft(np.log(spectrum))[:513]
    cepstra[0] /= 2.0
    np.testing.assert_allclose(cepstra @ warping(513), GOLDEN_SPTK, atol=1e-9)


def test_distortion_equals_a_hand_computed_path() -> None:
    reference = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    synthesised = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 5.0]])
    # The cheapest path: (0,0) (0,1) (1,2) (2,2), with distances 0, 0, 1, 1.
    assert path(reference, synthesised)[1] == pytest.approx(2.0 / 4.0)
    assert pytest.approx(6.14185, abs=1e-5) == DECIBEL


def cepstra(phones: str, pitch: float, tract: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Audio, and mel-cepstra 1 … 24 without any pitch tracker, shape (frames, 24).

    WORLD's envelope with the pitch that the audio was made with; cosine series over the warped frequency by quadrature.
    """
    audio, durations = say(phones, pitch, tract, seed)
    times = np.arange(len(audio) // 80 + 1) * 0.005
    ends = np.cumsum(durations[:-1]) * SPEC.hop_length / SAMPLE_RATE
    voiced = np.isin(np.array([" ", *phones, " "])[np.searchsorted(ends, times, side="right")], list(FORMANTS))
    true = np.where(voiced, pitch * (1.0 - 0.2 * times * SAMPLE_RATE / len(audio)), 0.0)
    envelope = pyworld.cheaptrick(audio.astype(np.float64), true, times, SAMPLE_RATE)
    warped = (np.arange(4000) + 0.5) * np.pi / 4000
    # The inverse of an all-pass is the one with the opposite constant.
    omega = warped - 2.0 * np.arctan(0.41 * np.sin(warped) / (1.0 + 0.41 * np.cos(warped)))
    places = np.linspace(0.0, np.pi, envelope.shape[1])
    logs = np.stack([np.interp(omega, places, 0.5 * np.log(frame)) for frame in envelope])
    return audio, logs @ np.cos(np.outer(warped, np.arange(1, 25))) * 2.0 / 4000


def test_value_equals_an_independent_calculation() -> None:
    reference, wanted = cepstra("aiuesaeu", 120.0, 1.0, 1)
    again, said = cepstra("aiuesaeu", 140.0, 1.1, 2)
    distances = np.sqrt(((wanted[:, None] - said[None]) ** 2).sum(-1))
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for (i, j), distance in np.ndenumerate(distances):
        before = [best[step] for step in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if step in best]
        total, steps = min(before, default=(0.0, 0))
        best[i, j] = (total + float(distance), steps + 1)
    total, steps = best[i, j]
    assert value(again, reference) == pytest.approx(6.14185 * total / steps, rel=0.02)


def test_an_octave_does_not_hide_the_envelope_of_a_low_voice() -> None:
    """With a tracker that doubles pitches below 71 Hz it was 4.9 dB."""
    low, _ = say("aiueaiue", pitch=60.0)
    high, _ = say("aiueaiue", pitch=120.0)
    assert value(high, low) < 2.0


def test_analysis_is_deterministic_and_has_a_frame_every_5_ms() -> None:
    audio, _ = say("aiu")
    cepstra = analyse(audio).cepstra
    assert cepstra.shape == (len(audio) // 80 + 1, 25)
    np.testing.assert_array_equal(cepstra, analyse(audio + np.float32(0)).cepstra)


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str) -> None:
    audio, _ = say("aiu")
    with pytest.raises(CannotScore):
        METRIC.score(sample(unusable_audio()[what], audio))
    with pytest.raises(CannotScore):
        METRIC.score(sample(audio, unusable_audio()[what]))
