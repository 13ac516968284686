"""WaveGlow is invertible, knows its own density, learns, and places the mel where the samples are."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor

from benchmark.mel import log_mel
from benchmark.vocoder import Segments
from benchmark.vocoders.waveglow import Upsampling, WaveGlow

SMALL = WaveGlow.Config(group=16, flows=4, early_every=2, early_channels=4, layers=2, channels=8, skip_channels=6, condition_channels=5)


def tone(frames: int = 17, pitch: float = 200.0) -> Segments:
    """Two pieces of a buzz that swells, the second one louder."""
    time = torch.arange((frames - 1) * 256) / 16000
    wave = sum((2 * math.pi * pitch * k * time).sin() / k for k in (1, 2, 3)) * torch.linspace(0.02, 0.15, len(time))
    audio = torch.stack([wave, 1.5 * wave])  # type: ignore[list-item]
    return Segments(torch.stack([log_mel(each, WaveGlow().mel) for each in audio]), audio)


def trained(vocoder: WaveGlow, steps: int, rate: float = 3e-3) -> list[float]:
    """Losses of training as a run trains."""
    optimizer = torch.optim.AdamW(vocoder.parameters(), rate, betas=(0.9, 0.98))
    segments, losses = tone(), []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(vocoder.training_step(segments)["loss"])
        torch.nn.utils.clip_grad_norm_(vocoder.parameters(), 1.0)
        optimizer.step()
    return losses


@pytest.fixture(scope="module")
def learned() -> tuple[WaveGlow, list[float]]:
    torch.manual_seed(0)
    vocoder = WaveGlow(SMALL)
    return vocoder, trained(vocoder, 80)


def test_noise_and_back_is_the_waveform_before_training_and_after(learned: tuple[WaveGlow, list[float]]) -> None:
    torch.manual_seed(1)
    segments = tone()
    for vocoder in (WaveGlow(), WaveGlow(SMALL), learned[0]):
        with torch.no_grad():
            noise, _ = vocoder.to_noise(segments.audio, segments.mels)
            torch.testing.assert_close(vocoder.from_noise(noise, segments.mels), segments.audio, atol=1e-4, rtol=0)
    # The other way round, rounded samples would be divided by levels as low as 1e-4.
    vocoder, mels, noise = copy.deepcopy(learned[0]).double(), segments.mels.double(), torch.randn_like(segments.audio).double()
    with torch.no_grad():
        again, _ = vocoder.to_noise(vocoder.from_noise(noise, mels), mels)
    torch.testing.assert_close(again, noise, atol=1e-6, rtol=0)


@pytest.mark.parametrize("whitened", [True, False])
def test_a_new_one_rotates_samples_and_no_more(whitened: bool) -> None:
    torch.manual_seed(0)
    vocoder = WaveGlow(dataclasses.replace(SMALL, whitened=whitened))
    assert all(torch.linalg.det(flow.mixing) > 0 for flow in vocoder.flows)
    segments = tone()
    noise, log_det = vocoder.to_noise(segments.audio, segments.mels)
    filters = vocoder.whitening.filters(segments.mels)
    given = vocoder.whitening(segments.audio, filters) if whitened else segments.audio
    torch.testing.assert_close(noise.norm(dim=1), given.norm(dim=1))
    expected = -vocoder.whitening.levels(filters).log().sum(dim=1) if whitened else torch.zeros(2)
    torch.testing.assert_close(log_det, expected, atol=1e-3, rtol=1e-5)


def test_the_log_determinant_is_that_of_the_jacobian() -> None:
    torch.manual_seed(0)
    vocoder = WaveGlow(SMALL).double()
    for parameter in vocoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    mels, audio = torch.randn(1, 2, 80).double() - 4, 0.1 * torch.randn(256).double()

    def noise(wave: Tensor) -> Tensor:
        return vocoder.to_noise(wave[None], mels)[0][0]

    jacobian = torch.autograd.functional.jacobian(noise, audio)  # type: ignore[no-untyped-call]
    expected = torch.linalg.slogdet(jacobian)[1]
    _, log_det = vocoder.to_noise(audio[None], mels)
    assert float(log_det.detach()) == pytest.approx(float(expected), abs=1e-3)
    assert abs(float(expected) + float(vocoder.whitening.levels(vocoder.whitening.filters(mels)).log().sum())) > 1  # not a new one's


def test_the_loss_is_the_negative_log_density_of_the_noise(learned: tuple[WaveGlow, list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    vocoder, segments = learned[0], tone()
    monkeypatch.setattr("benchmark.vocoders.waveglow.DEQUANTISATION", 0.0)
    with torch.no_grad():
        noise, log_det = vocoder.to_noise(segments.audio, segments.mels)
    density = torch.distributions.Normal(0, 1).log_prob(noise).sum(dim=1) + log_det
    assert vocoder.training_step(segments)["loss"] == pytest.approx(float(-density.mean()) / segments.audio.shape[1], abs=1e-5)


def test_it_learns(learned: tuple[WaveGlow, list[float]]) -> None:
    vocoder, losses = learned
    assert losses[-1] < losses[0] - 0.5  # nats a sample
    segments = tone()
    with torch.no_grad():
        made = vocoder.decode(segments.mels[0])
    assert made.shape == segments.audio[0].shape and made.abs().max() <= 1
    # What the mel says matters: it swells, and does not fade.
    fading = vocoder.training_step(Segments(segments.mels.flip(1), segments.audio))
    assert vocoder.training_step(segments)["loss"] < fading["loss"]


def test_decoding_leaves_torchs_generator_alone_and_has_the_temperature_of_its_config(learned: tuple[WaveGlow, list[float]]) -> None:
    mel = tone().mels[0]
    still = WaveGlow(dataclasses.replace(SMALL, sigma=0.0))
    still.load_state_dict(learned[0].state_dict())
    before = torch.get_rng_state()
    first, second = learned[0].decode(mel), still.decode(mel)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)
    torch.testing.assert_close(second[None], still.from_noise(torch.zeros(1, 16 * 256), mel[None]).clamp(-1, 1))


@pytest.mark.parametrize("group", [8, 128, 256])
def test_each_group_of_samples_hears_the_frames_around_it(group: int) -> None:
    upsampling = Upsampling(WaveGlow().mel, group, 3)
    for parameter in upsampling.parameters():
        torch.nn.init.ones_(parameter)
    mels = torch.zeros(1, 13, 80, requires_grad=True)
    condition = upsampling(mels)
    assert condition.shape == (1, 3, 12 * 256 // group)
    position = condition.shape[2] // 2
    (heard,) = torch.autograd.grad(condition[0, 0, position], mels)
    frames = heard[0].sum(dim=1).nonzero().flatten().float()
    # Four frames, two before the group's middle and two after.
    middle = (position + 0.5) * group / 256
    assert len(frames) == 4 and float((frames - middle).abs().max()) <= 2


def test_the_papers_sizes_have_as_many_parameters_as_are_reported() -> None:
    sizes = {
        "group": 8, "flows": 12, "early_every": 4, "early_channels": 2, "layers": 8, "channels": 512, "skip_channels": 512,
        "condition_channels": 640, "whitened": False, "separable": False,
    }  # fmt: skip
    with torch.device("meta"):
        vocoder = WaveGlow(WaveGlow.Config(**sizes))  # type: ignore[arg-type]
    # Ping et al., "WaveFlow" (ICML 2020), table 2: 268.29 million, of the authors' code, whose skip connections are 512 wide as well
    # and whose convolutions, but for the last, have weight normalisation: one number more for each output.
    gains = sum(
        len(layer.weight) for name, layer in vocoder.flows.named_modules() if isinstance(layer, torch.nn.Conv1d) and "end" not in name
    )
    assert (sum(each.numel() for each in vocoder.parameters()) + gains) / 1e6 == pytest.approx(268.29, abs=0.006)
    assert vocoder.config.sizes == [8, 8, 8, 8, 6, 6, 6, 6, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"group": 96}, "group must be even and divide the hop, 256, which 96 does not"),
        ({"group": 1}, "group must be even"),
        ({"early_channels": 3}, "early_channels must be even, not 3"),
        ({"early_channels": 64}, "early_channels must leave some of the group's 128 channels to the last of 8 flows"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(values: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WaveGlow.Config(**values)  # type: ignore[arg-type]
