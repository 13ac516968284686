"""The values that are known for real speech: a metric that misses them measures something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
import torchaudio

from benchmark import mel as mels
from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.metrics.mcd import MCD
from benchmark.metrics.naturalness import Naturalness
from benchmark.metrics.pesq import PESQ
from benchmark.metrics.speaker_similarity import embed
from benchmark.metrics.stoi import STOI
from benchmark.scoring.verification import equal_error_rate, normalised, verification_trials
from benchmark.scoring.world import analyse
from tests.metric_helpers import SPEC, sample

SILENCE = 6400
"""Samples of the 0.5 s of silence at either end that are left out."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def voices(speechocean762_root: Path) -> dict[str, list[Audio]]:
    """Four utterances of each of eight adults."""
    train = speechocean762_root / "train"
    ages = dict(line.split() for line in (train / "spk2age").read_text().splitlines())
    files = dict(line.split(maxsplit=1) for line in (train / "wav.scp").read_text().splitlines())
    spoken = dict(line.split(maxsplit=1) for line in (train / "spk2utt").read_text().splitlines())
    adults = sorted(speaker for speaker, age in ages.items() if int(age) >= 18)[:24:3]
    voices: dict[str, list[Audio]] = {}
    for speaker in adults:
        paths = [speechocean762_root / files[name].strip() for name in spoken[speaker].split()[:8:2]]
        voices[speaker] = [soundfile.read(path, dtype="float32")[0][SILENCE:-SILENCE] for path in paths]
    return voices


@pytest.fixture(scope="module")
def speech(voices: dict[str, list[Audio]]) -> list[Audio]:
    return [max(utterances, key=len)[:64_000] for utterances in list(voices.values())[:4]]


def griffin_lim(audio: Audio) -> Audio:
    """Speech rebuilt from its mel spectrogram alone."""
    filters = mels._transform(SPEC).mel_scale.fb
    target = mels.log_mel(torch.from_numpy(audio), SPEC).exp().T
    linear = (torch.linalg.pinv(filters.T) @ target).clamp_min(1e-5)
    for _ in range(50):
        linear = linear * (filters @ target) / (filters @ (filters.T @ linear) + 1e-8)
    torch.manual_seed(0)
    invert = torchaudio.transforms.GriffinLim(SPEC.n_fft, n_iter=60, hop_length=SPEC.hop_length, power=1.0)
    return invert(linear).numpy()


def test_griffin_lim_copies(speech: list[Audio]) -> None:
    """Measured before: PESQ 3.0, STOI 0.93, MCD about 4 dB."""
    copies = [griffin_lim(audio) for audio in speech]
    pairs = [sample(copy, audio) for copy, audio in zip(copies, speech, strict=True)]
    assert np.mean([PESQ().score(pair)["pesq"] for pair in pairs]) == pytest.approx(3.0, abs=0.5)
    assert np.mean([STOI().score(pair)["stoi"] for pair in pairs]) == pytest.approx(0.93, abs=0.03)
    assert np.mean([MCD().score(pair)["mcd"] for pair in pairs]) == pytest.approx(4.0, abs=0.7)


def test_loudness_alone(speech: list[Audio]) -> None:
    """−12 dB costs nothing; rounding it to 16 bits costs, as measured before, about 0.5 dB of MCD on average."""
    quiet = [audio * np.float32(10 ** (-12 / 20)) for audio in speech]
    assert max(MCD().score(sample(q, audio))["mcd"] for q, audio in zip(quiet, speech, strict=True)) < 0.05
    rounded = [(np.round(audio * 32768) / 32768).astype(np.float32) for audio in quiet]
    pairs = [sample(r, audio) for r, audio in zip(rounded, speech, strict=True)]
    assert np.mean([MCD().score(pair)["mcd"] for pair in pairs]) < 0.8
    assert min(PESQ().score(pair)["pesq"] for pair in pairs) == pytest.approx(4.64, abs=0.03)


def test_noise(speech: list[Audio]) -> None:
    """White noise instead of speech: MCD about 13 to 15 dB, PESQ at its bottom."""
    for audio in speech:
        noise = np.random.default_rng(0).normal(0, 0.1, len(audio)).astype(np.float32)
        assert MCD().score(sample(noise, audio))["mcd"] > 10.0
        assert PESQ().score(sample(noise, audio))["pesq"] < 1.3
        assert STOI().score(sample(noise, audio))["stoi"] < 0.5


def test_naturalness_falls_with_damage(speech: list[Audio]) -> None:
    """Measured before, on eight utterances: recordings 3.3, Griffin-Lim 2.7, clipped 2.4, in white noise 3.1, 2.5 and 1.8."""

    def mean(spoken: list[Audio]) -> float:
        return float(np.mean([Naturalness().score(sample(audio))["naturalness"] for audio in spoken]))

    real = mean(speech)
    assert 2.7 < real < 3.8
    assert mean([griffin_lim(audio) for audio in speech]) < real - 0.2
    assert mean([np.clip(audio, -0.02, 0.02) for audio in speech]) < real - 0.4
    white = [np.random.default_rng(0).normal(size=len(audio)).astype(np.float32) for audio in speech]
    noisy = [mean([audio + np.float32(level) * w for audio, w in zip(speech, white, strict=True)]) for level in (0.001, 0.01, 0.1)]
    assert [real, *noisy] == sorted([real, *noisy], reverse=True) and noisy[-1] < 2.0


def test_voices_are_told_apart(voices: dict[str, list[Audio]], speech: list[Audio]) -> None:
    """Measured before, on 20 adults: EER 1.9 %, same 0.88, different 0.58; a copy keeps most of the voice."""
    embeddings = {speaker: np.stack([embed(audio) for audio in own]) for speaker, own in voices.items()}
    same, different = verification_trials(embeddings)
    assert equal_error_rate(same, different) < 0.07
    assert same.mean() == pytest.approx(0.87, abs=0.05)
    assert different.mean() == pytest.approx(0.58, abs=0.08)
    speaker = next(iter(voices))
    copied = float(embed(griffin_lim(speech[0])) @ normalised(embeddings[speaker].mean(axis=0)))
    assert copied > different.mean() + 0.5 * (same.mean() - different.mean())


def test_a_lowered_voice_is_measured_as_such(speech: list[Audio]) -> None:
    """Played more slowly, at 60 Hz. Measured before, on 32 recordings of men: 6 % of the frames were right with a floor of 71 Hz."""
    pitches = [analyse(audio).pitch for audio in speech]
    middle = [np.median(pitch[pitch > 0]) for pitch in pitches]
    lowest = int(np.argmin(middle))
    rate = 60.0 / middle[lowest]
    slow = soxr.resample(speech[lowest], SAMPLE_RATE, SAMPLE_RATE / rate)
    found = analyse(slow).pitch
    frames = np.minimum(np.round(np.arange(len(found)) * rate).astype(int), len(pitches[lowest]) - 1)
    wanted = rate * pitches[lowest][frames]
    both = (found > 0) & (wanted > 0)
    right = np.abs(np.log2(found[both] / wanted[both])) < 1 / 12
    assert right.mean() > 0.9
    assert right.sum() > 0.7 * np.sum(wanted > 0)
