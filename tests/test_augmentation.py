"""What augmentation must keep: alignment, energy's meaning, untouched audio where nothing was to be touched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torchaudio

from benchmark.batch import Batch
from benchmark.learning.augmentation import AUGMENTATIONS, PITCH, augment, retimed, warped
from benchmark.mel import MelSpec, log_mel
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch

SPEC = tiny_backbone().spec


def uneven() -> Batch:
    """Three utterances of 6, 4 and 1 tokens; frame f of token t holds 100 t + f in band 0; one token lasts nothing."""
    batch = tiny_batch(-1, 3)
    durations = torch.tensor([[4, 5, 0, 6, 3, 6], [3, 3, 4, 5, 0, 0], [2, 0, 0, 0, 0, 0]])
    lengths = durations.sum(1)
    inside = torch.arange(24) < lengths.unsqueeze(1)
    mels = batch.mels * inside.unsqueeze(-1)
    for row, each in enumerate(durations):
        token = torch.repeat_interleave(each)
        mels[row, : lengths[row], 0] = 100.0 * token + torch.cat([torch.arange(int(n)) for n in each])
    spoken = durations > 0
    return replace(
        batch, durations=durations, token_lengths=torch.tensor([6, 4, 1]), mels=mels, mel_lengths=lengths,
        pitch=batch.pitch * spoken, energy=batch.energy * spoken,
    )  # fmt: skip


@pytest.mark.parametrize("kinds", [*[(kind,) for kind in AUGMENTATIONS], AUGMENTATIONS])
def test_batches_stay_whole(kinds: tuple[str, ...]) -> None:
    model, batch = tiny_backbone(), uneven()
    for seed in range(20):
        torch.manual_seed(seed)
        found = augment(batch, kinds, SPEC)
        assert torch.equal(found.durations.sum(1), found.mel_lengths) and int(found.mel_lengths.min()) > 0
        assert found.tokens.shape == found.durations.shape == found.pitch.shape == found.energy.shape
        assert found.tokens.shape[1] == int(found.token_lengths.max()) and found.mels.shape[1] == int(found.mel_lengths.max())
        for row in range(3):
            assert not found.mels[row, found.mel_lengths[row] :].any() and not found.durations[row, found.token_lengths[row] :].any()
        assert torch.isfinite(model.loss(found)["loss"])
    torch.manual_seed(19)
    assert torch.equal(augment(batch, kinds, SPEC).mels, found.mels)


def test_no_kind_and_same_durations_change_nothing() -> None:
    batch = uneven()
    assert augment(batch, (), SPEC) is batch
    same = retimed(batch, batch.durations, torch.arange(6) < batch.token_lengths.unsqueeze(1))
    for name, value in batch.__dict__.items():
        where = slice(None) if name not in ("tokens", "pitch", "energy") else (torch.arange(6) < batch.token_lengths.unsqueeze(1))
        assert torch.equal(getattr(same, name)[where], value[where]), name


def test_retiming_interpolates_within_tokens_and_dropping_drops_their_frames() -> None:
    batch = uneven()
    durations = batch.durations.clone()
    durations[0, 3] = 12
    kept = torch.arange(6) < batch.token_lengths.unsqueeze(1)
    kept[0, 1] = False
    found = retimed(batch, durations, kept)
    assert found.durations[0].tolist() == [4, 0, 12, 3, 6] and int(found.mel_lengths[0]) == 25
    # Token 3's six frames, 300 to 305, over twelve: a quarter before and a quarter after each.
    expected = [300 + (i + 0.5) / 2 - 0.5 for i in range(1, 11)]
    assert found.mels[0, 5:15, 0].tolist() == pytest.approx(expected)
    assert found.mels[0, :4, 0].tolist() == [0, 1, 2, 3] and found.mels[0, 16:19, 0].tolist() == [400, 401, 402]


def test_speed_is_unbiased_and_gain_moves_mel_and_energy_together() -> None:
    batch = tiny_batch(-1, 400)
    torch.manual_seed(0)
    assert float(augment(batch, ("speed",), SPEC).mel_lengths.float().mean()) == pytest.approx(24, rel=0.01)
    louder = augment(batch, ("gain",), replace(SPEC, statistics=replace(SPEC.statistics, energy_std=0.5)))
    shift = (louder.mels - batch.mels)[:, 0, 0]
    assert torch.allclose(louder.energy - batch.energy, shift.unsqueeze(1) / 0.5, atol=1e-5)
    assert 0.3 < float(shift.abs().max()) <= 0.3451 and torch.equal(louder.pitch, batch.pitch)
    noisy = augment(batch, ("noise",), SPEC)
    assert torch.equal(noisy.mels, batch.mels) and float((noisy.pitch - batch.pitch).std()) == pytest.approx(0.2, rel=0.1)


def test_warping_moves_spectra_as_resampling_the_waveform_does() -> None:
    torch.manual_seed(0)
    wave = torch.randn(160_000) * 0.1
    for formant in (600.0, 1500.0, 3500.0):
        wave = wave + 0.5 * torchaudio.functional.bandpass_biquad(torch.randn(160_000), 16_000, formant, 8.0)
    spec = MelSpec()
    before = log_mel(wave, spec).mean(0)
    for faster in (19, 21):
        after = log_mel(torchaudio.functional.resample(wave, faster, 20), spec).mean(0)
        moved = warped(before.view(1, 1, -1), torch.tensor([faster / 20]).log(), spec)[0, 0]
        # Above 7 kHz a slower one has nothing to play. Levels differ a little: noise gets weaker when its band is cut.
        difference, without = ((each - after)[:75] for each in (moved, before))
        assert float((difference - difference.mean()).abs().mean()) < 0.25 * float((without - without.mean()).abs().mean())


def test_pitch_moves_mel_and_pitch_together() -> None:
    batch = uneven()
    batch = replace(batch, pitch=batch.pitch * torch.tensor([1.0, 1, 1, 0, 1, 1]))
    torch.manual_seed(3)
    found = augment(batch, ("pitch",), SPEC)
    shift = (found.pitch - batch.pitch) * SPEC.statistics.pitch_std
    assert torch.equal(shift != 0, batch.pitch != 0) and 0 < float(shift.abs().max()) <= PITCH + 1e-6
    expected = warped(batch.mels, shift[:, 0], SPEC.mel)
    for row, length in enumerate(batch.mel_lengths.tolist()):
        assert torch.allclose(found.mels[row, :length], expected[row, :length], atol=1e-4)
    assert torch.equal(found.energy, batch.energy) and torch.equal(found.durations, batch.durations)
