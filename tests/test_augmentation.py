"""What augmentation must keep: alignment, energy's meaning, untouched audio where nothing was to be touched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.augmentation import AUGMENTATIONS, augment, retimed
from benchmark.batch import Batch
from benchmark.conformance import tiny_backbone, tiny_batch


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
        found = augment(batch, kinds, 1.0)
        assert torch.equal(found.durations.sum(1), found.mel_lengths) and int(found.mel_lengths.min()) > 0
        assert found.tokens.shape == found.durations.shape == found.pitch.shape == found.energy.shape
        assert found.tokens.shape[1] == int(found.token_lengths.max()) and found.mels.shape[1] == int(found.mel_lengths.max())
        for row in range(3):
            assert not found.mels[row, found.mel_lengths[row] :].any() and not found.durations[row, found.token_lengths[row] :].any()
        assert torch.isfinite(model.loss(found)["loss"])
    torch.manual_seed(19)
    assert torch.equal(augment(batch, kinds, 1.0).mels, found.mels)


def test_no_kind_and_same_durations_change_nothing() -> None:
    batch = uneven()
    assert augment(batch, (), 1.0) is batch
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
    assert float(augment(batch, ("speed",), 1.0).mel_lengths.float().mean()) == pytest.approx(24, rel=0.01)
    louder = augment(batch, ("gain",), 0.5)
    shift = (louder.mels - batch.mels)[:, 0, 0]
    assert torch.allclose(louder.energy - batch.energy, shift.unsqueeze(1) / 0.5, atol=1e-5)
    assert 0.3 < float(shift.abs().max()) <= 0.3451 and torch.equal(louder.pitch, batch.pitch)
    noisy = augment(batch, ("noise",), 1.0)
    assert torch.equal(noisy.mels, batch.mels) and float((noisy.pitch - batch.pitch).std()) == pytest.approx(0.2, rel=0.1)
