"""Pitch and energy lie on the mel's frames and say what the signal is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from benchmark.data.features import energy, pitch
from benchmark.mel import MelSpec, log_mel

SPEC = MelSpec()
RATE = SPEC.sample_rate


def buzz(frequency: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """A voice-like sum of harmonics that follows ``frequency`` in Hz, sample by sample."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return np.asarray(0.1 * np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0), np.float32)


@pytest.mark.parametrize("samples", [8000, 8191, 8192, 8193, 12345])
def test_as_many_frames_as_the_mel(samples: int) -> None:
    audio = buzz(np.full(samples, 150.0))
    frames = len(log_mel(torch.from_numpy(audio), SPEC))
    assert frames == SPEC.frames(samples) == len(pitch(audio, SPEC)) == len(energy(audio, SPEC))


@pytest.mark.parametrize("frequency", [75.0, 120.0, 220.0, 330.0, 450.0])
def test_pitch_of_a_steady_voice(frequency: float) -> None:
    f0 = pitch(buzz(np.full(RATE, frequency)), SPEC)[5:-5]
    assert np.mean(f0 > 0) > 0.9
    assert np.median(f0[f0 > 0]) == pytest.approx(frequency, rel=0.01)


def test_pitch_follows_a_glide_at_the_right_frames() -> None:
    f0 = pitch(buzz(np.linspace(100.0, 300.0, 2 * RATE)), SPEC)
    times = np.arange(len(f0)) * SPEC.seconds_per_frame
    voiced = f0 > 0
    voiced[:4] = voiced[-4:] = False
    assert voiced.mean() > 0.85
    assert np.abs(f0[voiced] - (100 + 100 * times[voiced])).max() < 6


def test_noise_and_silence_have_no_pitch() -> None:
    assert (pitch(np.zeros(RATE, np.float32), SPEC) == 0).all()
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert np.mean(pitch(noise, SPEC) > 0) < 0.3


def test_energy_is_the_log_of_the_root_mean_square() -> None:
    tone = np.asarray(0.2 * np.sin(2 * np.pi * 250 * np.arange(RATE) / RATE), np.float32)
    inner = energy(tone, SPEC)[3:-3]
    assert inner == pytest.approx(np.log(0.2 / np.sqrt(2)), abs=0.01)
    assert energy(tone / np.float32(10), SPEC)[3:-3] == pytest.approx(inner - np.log(10), abs=1e-3)
    # The definition, frame by frame, on a signal that changes.
    noise = np.random.default_rng(0).normal(0, 0.1, 5000).astype(np.float32) * np.linspace(0, 1, 5000, dtype=np.float32)
    padded = np.pad(noise.astype(np.float64), SPEC.win_length // 2)
    expected = [
        0.5 * np.log(max(float(np.mean(padded[i * SPEC.hop_length :][: SPEC.win_length] ** 2)), 1e-10))
        for i in range(SPEC.frames(5000))
    ]
    assert energy(noise, SPEC) == pytest.approx(np.array(expected), abs=1e-5)


def test_silence_has_a_finite_energy() -> None:
    assert np.isfinite(energy(np.zeros(4000, np.float32), SPEC)).all()
