"""WaveNet's probabilities are probabilities, it looks at nothing to come, and its queues change nothing."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from scipy.stats import logistic
from torch import Tensor

from benchmark.mel import log_mel
from benchmark.vocoder import Segments
from benchmark.vocoders import wavenet
from benchmark.vocoders._wavenet_generation import draw_index, draw_logistic, draw_sample
from benchmark.vocoders.wavenet import LEAST_LOG_SCALE, WaveNet, compress, expand, logistics_log_probability

FRAMES = 5
SAMPLES = (FRAMES - 1) * 256
OUTPUTS = ["whitened", "logistics", "mu_law"]


def small(output: str = "whitened", **values: Any) -> WaveNet:
    """A network whose random weights are large enough to matter."""
    torch.manual_seed(0)
    sizes = {"mixtures": 3, "levels": 16, "layers": 6, "cycle": 3, "channels": 6, "skip_channels": 5, "condition_channels": 4}
    vocoder = WaveNet(WaveNet.Config(output=output, **{**sizes, **values}))  # type: ignore[arg-type]
    for parameter in vocoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return vocoder.eval()


def mels(frames: int = FRAMES) -> Tensor:
    return torch.randn(frames, 80, generator=torch.Generator().manual_seed(3)) - 4


@pytest.mark.parametrize("output", OUTPUTS)
def test_queues_make_the_samples_that_are_made_from_scratch(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vocoder, samples = small(output, temperature=0.9), 200
    made = vocoder.decode(mels())
    limit = np.float32(np.inf if output == "whitened" else 1)
    rule, draws = (output != "mu_law", np.float32(0.9), np.float32(LEAST_LOG_SCALE), limit), vocoder.draws(SAMPLES)
    with torch.no_grad():
        condition = vocoder.upsampling(mels()[None])
        inputs = torch.zeros(1, samples + 1)
        for t in range(samples):
            predicted = vocoder(inputs[:, : t + 1], condition[:, :, : t + 1])[0, -1]
            inputs[0, t + 1] = float(draw_sample(predicted.numpy(), draws[t], rule))
    plain = expand(inputs[0, 1:], 16) if output == "mu_law" else inputs[0, 1:]
    given = vocoder.whitening(made[None], vocoder.whitening.filters(mels()[None]))[0] if output == "whitened" else made
    torch.testing.assert_close(given[:samples], plain, atol=1e-3 if output == "whitened" else 2e-5, rtol=0)
    assert made.std() > 0.01
    # Nor does it matter where one chunk ends and the next begins, or what comes later.
    monkeypatch.setattr(wavenet, "CHUNK", 100)
    torch.testing.assert_close(vocoder.decode(mels()), made, atol=2e-5, rtol=0)


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_prediction_depends_on_the_past_alone(output: str) -> None:
    vocoder = small(output)
    inputs = torch.randn(1, 64, requires_grad=True)
    predicted = vocoder(inputs, torch.randn(1, 4, 64))
    (seen,) = torch.autograd.grad(predicted[0, 40].sum(), inputs)
    # Two cycles of dilations 1, 2 and 4, and the sample itself: 15 inputs, each of them the sample before.
    assert seen[0].nonzero().flatten().tolist() == list(range(26, 41))
    audio = 0.3 * torch.rand(1, SAMPLES)
    with torch.no_grad():
        before = vocoder.log_probability(audio, mels()[None])
        audio[:, 500:] = 0.9
        after = vocoder.log_probability(audio, mels()[None])
    assert torch.equal(after[:, :500], before[:, :500]) and not torch.equal(after[:, 500], before[:, 500])


@pytest.mark.parametrize("levels", [2, 8, 9])
def test_the_probabilities_of_all_continuations_sum_to_one(levels: int) -> None:
    vocoder = small("mu_law", levels=levels)
    every = expand(wavenet.companded(torch.cartesian_prod(torch.arange(levels), torch.arange(levels)), levels), levels)
    audio = 0.2 * torch.randn(1, SAMPLES, generator=torch.Generator().manual_seed(1)).repeat(len(every), 1)
    audio[:, 600:602] = every
    with torch.no_grad():
        condition = mels()[None].expand(len(every), -1, -1)
        pairs = vocoder.log_probability(audio, condition)[:, 600:602].sum(dim=1).exp()
    assert float(pairs.sum()) == pytest.approx(1, abs=1e-5) and (pairs > 0).all() and pairs.unique().numel() > levels


def test_whitened_probabilities_of_a_sample_sum_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    depth, vocoder = 64, small()
    monkeypatch.setattr(wavenet, "logistics_log_probability", partial(logistics_log_probability, depth=depth))
    audio = 0.2 * torch.randn(1, 256, generator=torch.Generator().manual_seed(1)).repeat(depth, 1)
    audio[:, 150] = torch.linspace(-1, 1, depth)
    with torch.no_grad():
        mass = vocoder.log_probability(audio, mels(2)[None].expand(depth, -1, -1))[:, 150].exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3) and (mass > 1e-3).sum() > 3


@pytest.mark.parametrize("depth", [2, 7, 256, 2**16])
def test_a_mixture_of_logistics_is_a_distribution_over_the_values_of_a_sample(depth: int) -> None:
    generator = torch.Generator().manual_seed(depth)
    parameters = torch.randn(4, 9, generator=generator, dtype=torch.float64).float()
    parameters[:, 6:] = torch.tensor([[-12.0, -6.0, -1.0], [-7.0, -3.0, 0.0], [1.0, 4.0, 8.0], [-9.0, -9.0, -9.0]])
    values = torch.linspace(-1, 1, depth, dtype=torch.float64).float()
    mass = logistics_log_probability(parameters[:, None], values.expand(4, -1), depth).double().exp()
    torch.testing.assert_close(mass.sum(dim=1), torch.ones(4, dtype=torch.float64), atol=2e-3, rtol=0)


def test_the_mass_of_a_value_is_scipys() -> None:
    odds, means, log_scales = [0.3, -0.5], [0.1, -0.4], [-3.0, -1.5]
    values = torch.tensor([-1.0, -0.4, 0.0, 0.09, 0.11, 1.0])
    ours = logistics_log_probability(torch.tensor([*odds, *means, *log_scales]).expand(6, -1), values)
    half, share = 1 / 65535, np.exp(odds) / np.exp(odds).sum()
    x = values.double().numpy()[:, None]
    over, under = (logistic.cdf(x + sign * half, means, np.exp(log_scales)) for sign in (1, -1))
    over[-1], under[0] = 1, 0
    np.testing.assert_allclose(ours.double().exp().numpy(), (over - under) @ share, rtol=1e-3)


def test_draws_have_the_distribution_that_is_predicted() -> None:
    predicted = np.array([0.5, -1.0, 0.2, -0.3, -2.0, -3.0], np.float32)
    one = np.float32(1)
    grid = np.stack(np.meshgrid(*2 * [(np.arange(200) + 0.5) / 200]), -1).reshape(-1, 2).astype(np.float32)
    made = np.array([draw_logistic(predicted, draw, one, np.float32(LEAST_LOG_SCALE), one) for draw in grid])
    share = np.exp(predicted[:2]) / np.exp(predicted[:2]).sum()
    for value in (-0.5, -0.3, 0.0, 0.2, 0.4):
        expected = logistic.cdf(value, predicted[2:4], np.exp(predicted[4:])) @ share
        assert np.mean(made <= value) == pytest.approx(expected, abs=0.006)
    counts = np.bincount([draw_index(predicted, draw, np.float32(2)) for draw in grid[:200, 0]], minlength=6) / 200
    np.testing.assert_allclose(counts, np.exp(predicted / 2) / np.exp(predicted / 2).sum(), atol=0.006)


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_mu_law_is_torchaudios(levels: int) -> None:
    audio = torch.linspace(-1, 1, 999)
    level = compress(audio, levels)
    assert torch.equal(level, torchaudio.functional.mu_law_encoding(audio, levels))
    torch.testing.assert_close(
        expand(wavenet.companded(level, levels), levels), torchaudio.functional.mu_law_decoding(level, levels), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("output", OUTPUTS)
def test_it_learns(output: str) -> None:
    time = torch.arange(SAMPLES) / 16000
    audio = (0.2 * (2 * math.pi * 200 * time).sin() + 0.1 * (2 * math.pi * 400 * time).sin())[None]
    vocoder = WaveNet(WaveNet.Config(output=output, channels=8, skip_channels=8, condition_channels=4, layers=5))  # type: ignore[arg-type]
    segments = Segments(log_mel(audio[0], vocoder.mel)[None], audio)
    optimizer = torch.optim.AdamW(vocoder.parameters(), 1e-2, betas=(0.9, 0.98))
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        losses.append(vocoder.training_step(segments)["loss"])
        torch.nn.utils.clip_grad_norm_(vocoder.parameters(), 1.0)
        optimizer.step()
    assert losses[-1] < losses[0] - 1  # nats a sample


def test_samples_hear_the_frames_around_them() -> None:
    upsampling = small().upsampling
    for parameter in upsampling.parameters():
        torch.nn.init.ones_(parameter)
    shown = torch.zeros(1, 9, 80, requires_grad=True)
    condition = upsampling(shown)
    assert condition.shape == (1, 4, 8 * 256)
    for sample in (3, 4 * 256, 1100, 8 * 256 - 4):
        (heard,) = torch.autograd.grad(condition[0, 0, sample], shown, retain_graph=True)
        frames = heard[0].sum(dim=1).nonzero().flatten() * 256
        assert float((frames - sample).abs().max()) < 512 and float((frames - sample).abs().min()) <= 128


def test_decoding_leaves_torchs_generator_alone() -> None:
    vocoder, mel = small(), mels()
    before = torch.get_rng_state()
    vocoder.decode(mel)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_papers_sizes_can_be_made() -> None:
    with torch.device("meta"):
        vocoder = WaveNet(WaveNet.Config(layers=30, channels=256, skip_channels=256, condition_channels=80))
    assert vocoder.config.dilations[9:12] == [512, 1, 2] and sum(each.numel() for each in vocoder.parameters()) > 1e7
