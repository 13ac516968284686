"""Vocos and HiFi-GAN, and the losses and discriminators that they share."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
from torch import Tensor

from benchmark.errors import UsageError
from benchmark.mel import MelSpec, log_mel
from benchmark.plugins import registry
from benchmark.vocoder import Segments
from benchmark.vocoders import _training as shared
from benchmark.vocoders.hifigan import HifiGan
from benchmark.vocoders.vocos import Vocos

SPEC = MelSpec()
BOTH = pytest.mark.parametrize("kind", [Vocos, HifiGan])


def tones(rows: int = 2, frames: int = 17) -> Segments:
    """Harmonic tones of 120 Hz and more, and their mels."""
    time = torch.arange((frames - 1) * SPEC.hop_length) / SPEC.sample_rate
    pitches = 120.0 + 60 * torch.arange(rows)
    harmonics = [0.2 / k * torch.sin(2 * torch.pi * k * pitches[:, None] * time) for k in range(1, 9)]
    audio = torch.stack(harmonics).sum(0)
    return Segments(torch.stack([log_mel(each, SPEC) for each in audio]), audio)


def made(kind: Any, **values: Any) -> Any:
    torch.manual_seed(0)
    return kind(replace(kind.tiny(), **values))


@BOTH
@pytest.mark.parametrize("frames", [4, 17, 40])
def test_a_waveform_has_a_hop_for_each_frame_but_one(kind: Any, frames: int) -> None:
    assert len(made(kind).decode(torch.full((frames, SPEC.n_mels), -5.0))) == (frames - 1) * SPEC.hop_length


@BOTH
def test_samples_hear_the_frames_around_them(kind: Any) -> None:
    """A sample lies at its 256th part among the frames, and hears as far to one side as to the other, give or take a frame."""
    mels = torch.full((1, 80, SPEC.n_mels), -5.0, requires_grad=True)
    wave = made(kind).eval().waveform(mels)[0]
    for sample in (40 * 256, 40 * 256 + 100, 41 * 256 - 1):
        (heard,) = torch.autograd.grad(wave[sample], mels, retain_graph=True)
        frames = heard[0].abs().sum(dim=1).nonzero().flatten() - sample / 256
        assert len(frames) > 4 and abs(float(frames.min() + frames.max())) <= 1


def test_phases_have_32_bits_whatever_the_rest_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs would cast them, GPUs refuse them."""
    polar, seen = torch.polar, []

    def noted(*both: Tensor) -> Tensor:
        seen.append({each.dtype for each in both})
        return polar(*both)

    monkeypatch.setattr(torch, "polar", noted)
    example = registry.load("vocoder", "trained_vocoder", [Path(__file__).resolve().parents[1] / "examples" / "trained_vocoder.py"])
    segments = tones()
    for vocoder in (made(Vocos), made(example)):
        with torch.autocast("cpu", torch.bfloat16):
            vocoder.training_step(segments)
    assert len(seen) > 1 and all(each == {torch.float32} for each in seen)


class Halved(HifiGan):
    """A plugin that builds on HiFi-GAN."""

    def waveform(self, mels: Tensor) -> Tensor:
        return super().waveform(mels) / 2


def test_a_copy_of_hifigan_is_of_its_class_and_precision() -> None:
    vocoder = Halved(HifiGan.tiny()).double().eval()
    mels = tones().mels.double()
    for other in (copy.deepcopy(vocoder), pickle.loads(pickle.dumps(vocoder))):
        assert torch.equal(other.waveform(mels), vocoder.waveform(mels))


@BOTH
def test_pieces_that_are_too_short_for_the_losses_are_refused(kind: Any) -> None:
    assert made(kind).training_step(tones(frames=6))["loss"] > 0
    for frames in (2, 5):
        with pytest.raises(UsageError, match=f"Pieces of {frames} frames are too short .* set vocoder_training.frames to 6 or more."):
            made(kind).training_step(tones(frames=17)._replace(mels=tones().mels[:, :frames], audio=tones().audio[:, : (frames - 1) * 256]))


@BOTH
def test_spectral_losses_fall(kind: Any) -> None:
    vocoder, segments = made(kind, adversarial_part=0.0), tones()
    optimizer = torch.optim.Adam(vocoder.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(vocoder.training_step(segments)["loss"])
        optimizer.step()
    assert losses[-1] < 0.85 * losses[0]


def gradients(vocoder: Any) -> dict[str, Tensor]:
    return {name: each.grad.clone() for name, each in vocoder.named_parameters() if each.grad is not None}


def test_discriminators_join_in_the_last_part_and_learn_from_their_own_loss_alone() -> None:
    vocoder, segments = made(Vocos, adversarial_part=0.25), tones()
    assert "critic" not in vocoder.training_step(segments._replace(progress=0.74))
    assert not any(name.startswith("critics") for name in gradients(vocoder))
    vocoder.zero_grad()
    logs = vocoder.training_step(segments._replace(progress=0.75))
    assert logs.keys() >= {"critic", "adversarial", "features"}
    found = gradients(vocoder)
    alone = copy.deepcopy(vocoder)
    alone.zero_grad()
    shared.critic_loss(alone.critics, vocoder.waveform(segments.mels), segments.audio).backward()  # type: ignore[no-untyped-call]
    expected = gradients(alone)
    assert expected and all(torch.allclose(found[name], each, atol=1e-7) for name, each in expected.items())


def test_the_published_discriminators_are_eight_and_learn_from_their_own_loss() -> None:
    vocoder = made(HifiGan, critics="published")
    assert [len(outputs) for outputs in vocoder.critics(tones(1).audio)] == [6] * 5 + [8] * 3
    logs = vocoder.training_step(tones(1))
    assert logs.keys() >= {"critic", "adversarial", "features"} and all(map(math.isfinite, logs.values()))
    found = gradients(vocoder)
    assert all(float(found[name].abs().max()) > 0 for name, _ in vocoder.named_parameters() if name.endswith("conv.bias"))
    assert not any(name.startswith("critics") for name in [*vocoder.adaptable_parameters(), *vocoder.decoding_state()])


def test_discriminators_learn_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    critics, real = shared.Critics(2), tones(4).audio
    optimizer = torch.optim.Adam(critics.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = shared.critic_loss(critics, 0.2 * torch.randn_like(real), real)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_losses_of_a_perfect_copy_are_nothing() -> None:
    segments = tones()
    assert float(shared.stft_loss(segments.audio, segments.audio)) == 0
    assert float(shared.mel_loss(segments.audio, segments.audio, SPEC)) == 0
    _, features = shared.adversarial_loss(shared.Critics(2), segments.audio, segments.audio)
    assert float(features.detach()) == 0


def test_a_piece_of_a_recording_is_compared_with_itself_at_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mel of the recording goes on beyond a piece's ends, and no generator could make that there."""
    recording = tones(frames=49)
    piece = Segments(recording.mels[:, 8:41], recording.audio[:, 8 * SPEC.hop_length : 40 * SPEC.hop_length])
    alone = torch.stack([log_mel(each, SPEC) for each in piece.audio])
    assert float((alone - piece.mels).abs()[:, [0, -1]].mean()) > 0.1
    vocoder = made(Vocos)
    monkeypatch.setattr(vocoder, "waveform", lambda mels: piece.audio)
    assert float(vocoder.loss(piece)["mel"]) == 0


def test_mel_errors_are_those_of_the_speech_that_everything_else_sees() -> None:
    torch.manual_seed(0)
    ours, theirs = 0.1 * torch.randn(2, 4096), 0.1 * torch.randn(2, 4096)
    expected = float((torch.stack([log_mel(a, SPEC) - log_mel(b, SPEC) for a, b in zip(ours, theirs, strict=True)])).abs().mean())
    assert float(shared.mel_loss(ours, theirs, SPEC)) == pytest.approx(expected, rel=1e-3)


def test_the_spectral_loss_is_that_of_its_equations() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 4096), torch.randn(2, 4096)
    total = 0.0
    for size in (512, 1024):
        transform = torchaudio.transforms.Spectrogram(size, hop_length=size // 4, power=1.0)
        a, b = transform(ours), transform(theirs)
        total += float((a.log() - b.log()).abs().mean() + torch.linalg.norm(a - b) / torch.linalg.norm(b)) / 2
    assert float(shared.stft_loss(ours, theirs, (512, 1024))) == pytest.approx(total, rel=1e-4)
    assert float(shared.stft_loss(0.5 * theirs, theirs)) == pytest.approx(0.5 + 0.6931, rel=1e-3)


@pytest.mark.parametrize(("size", "millions"), [("v1", 13.92), ("v2", 0.92), ("v3", 1.46)])
def test_generators_have_as_many_parameters_as_the_paper_says(size: str, millions: float) -> None:
    vocoder = HifiGan(HifiGan.Config(size=size, adversarial_part=0.0))  # type: ignore[arg-type]
    # Weight normalisation keeps a length for each output channel beside the weights.
    count = sum(each.numel() for name, each in vocoder.named_parameters() if not name.endswith("original0"))
    assert count / 1e6 == pytest.approx(millions, rel=0.01)
