"""Whitening takes out of a waveform what its mel tells of its spectrum, and puts it back."""

from __future__ import annotations

import pytest
import scipy.linalg
import scipy.signal
import torch
from torch import Tensor

from benchmark.mel import MelSpec, log_mel, mel_filters
from benchmark.vocoders._whitening import FLOOR, ORDER, Whitening

SPEC = MelSpec()
WHITENING = Whitening(SPEC)


def resonant(samples: int, level: float = 0.01) -> Tensor:
    """Noise through two resonances, at 500 and 1500 Hz."""
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(0)).numpy() * level
    for pitch in (500, 1500):
        pole = 0.95 * torch.polar(torch.tensor(1.0), torch.tensor(2 * torch.pi * pitch / SPEC.sample_rate))
        wave = scipy.signal.lfilter([1.0], [1.0, -2 * float(pole.real), float(pole.abs()) ** 2], wave)
    return torch.from_numpy(wave).float()


def mels_of(wave: Tensor) -> Tensor:
    return log_mel(wave, SPEC)[None]


def test_what_is_left_of_resonant_noise_is_white_and_of_about_unit_variance() -> None:
    wave = resonant(60 * 256)

    def correlations(each: Tensor) -> Tensor:
        return torch.stack([(each[lag:] * each[: len(each) - lag]).mean() for lag in range(1, 20)]) / each.square().mean()

    white = WHITENING(wave[None], WHITENING.filters(mels_of(wave)))[0]
    assert 0.6 < float(white.std()) < 1.2
    assert correlations(wave).abs().max() > 0.8 and correlations(white).abs().max() < 0.2


def test_predictors_are_scipys() -> None:
    mels = mels_of(resonant(20 * 256))
    found = WHITENING.filters(mels)
    power = ((mels[0, 9].double().exp() @ torch.linalg.pinv(mel_filters(SPEC)).double()).clamp_min(0) ** 2).numpy()
    window = scipy.signal.get_window("hann", SPEC.win_length)
    column = scipy.fft.irfft(power)[: ORDER + 1] / (window**2).sum()
    column[0] += FLOOR**2
    expected = scipy.linalg.solve_toeplitz(column[:ORDER], column[1:])
    torch.testing.assert_close(found.coefficients[0, 9].double(), torch.from_numpy(expected), rtol=1e-3, atol=1e-4)
    assert float(found.level[0, 9]) ** 2 == pytest.approx(column[0] - expected @ column[1:], rel=1e-3)


def test_a_waveform_is_had_back() -> None:
    waves = torch.stack([resonant(16 * 256), 0.2 * torch.sin(torch.arange(16 * 256) / 9)])
    filters = WHITENING.filters(torch.cat([mels_of(wave) for wave in waves]))
    torch.testing.assert_close(WHITENING.undo(WHITENING(waves, filters), filters), waves, atol=1e-4, rtol=0)


def test_samples_keep_32_bits_whatever_the_rest_has() -> None:
    wave = resonant(5 * 256)
    filters = WHITENING.filters(mels_of(wave))
    with torch.autocast("cpu", torch.bfloat16):
        found = WHITENING(wave[None], filters)
    assert torch.equal(found, WHITENING(wave[None], filters))


def test_the_jacobian_is_triangular_with_the_levels_on_its_diagonal() -> None:
    wave = resonant(3 * 256).double()
    filters = WHITENING.filters(mels_of(wave.float()).double())
    jacobian = torch.autograd.functional.jacobian(lambda each: WHITENING(each[None], filters)[0], wave)  # type: ignore[no-untyped-call]
    assert torch.equal(jacobian, jacobian.tril())
    torch.testing.assert_close(jacobian.diagonal(), 1 / WHITENING.levels(filters)[0])


def test_silence_is_of_the_least_level_and_not_predicted() -> None:
    filters = WHITENING.filters(torch.full((1, 5, 80), -11.5))
    torch.testing.assert_close(filters.level, torch.full((1, 5), FLOOR), rtol=0.1, atol=0)
    assert not WHITENING(torch.zeros(1, 4 * 256), filters).any()
