"""Training ends with its budget, and a killed one resumes to the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark import checkpoint
from benchmark.batch import Batch
from benchmark.conformance import tiny_backbone, tiny_batch
from benchmark.errors import BenchmarkError
from benchmark.pretraining import Pretraining
from benchmark.training import Budget, fit


def item(step: int) -> Batch:
    return tiny_batch(step % 4, 2, step)


class Killed(Exception):
    pass


def test_resuming_gives_the_weights_of_an_undisturbed_training(tmp_path: Path) -> None:
    whole, cut = Pretraining(tiny_backbone()), Pretraining(tiny_backbone())
    fit(whole, item, 1e-2, Budget(steps=25), 0, tmp_path / "whole.ckpt")

    def deadly(step: int) -> Batch:
        if step >= 17:
            raise Killed
        return item(step)

    with pytest.raises(Killed):
        fit(cut, deadly, 1e-2, Budget(steps=25), 0, tmp_path / "cut.ckpt", checkpoint_seconds=0)
    resumed = Pretraining(tiny_backbone(seed=5))
    spent = fit(resumed, item, 1e-2, Budget(steps=25), 0, tmp_path / "cut.ckpt")
    assert spent["steps"] == 25
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    # And once more: a finished training is not repeated.
    again = Pretraining(tiny_backbone(seed=6))
    fit(again, deadly, 1e-2, Budget(steps=25), 0, tmp_path / "cut.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_flop_budget_is_met_within_a_step(tmp_path: Path) -> None:
    learner = Pretraining(tiny_backbone())
    one = fit(learner, item, 1e-3, Budget(steps=1), 0, tmp_path / "one.ckpt")["flops"]
    spent = fit(learner, item, 1e-3, Budget(flops=10.5 * one), 0, tmp_path / "ten.ckpt")
    assert spent["steps"] == 11
    assert spent["flops"] == pytest.approx(11 * one)


def test_divergence_is_one_sentence_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    learner = Pretraining(tiny_backbone())

    def poisoned(step: int) -> Batch:
        batch = item(step)
        return batch if step < 3 else Batch(**{**batch.__dict__, "mels": batch.mels * float("nan")})

    with pytest.raises(BenchmarkError, match="diverged at step 3"):
        fit(learner, poisoned, 1e-3, Budget(steps=9), 0, tmp_path / "x.ckpt", checkpoint_seconds=0)
    state = checkpoint.load(tmp_path / "x.ckpt")
    assert state is not None and state["progress"]["step"] == 3


def test_damaged_checkpoint_is_never_used(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"x": torch.ones(3)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert checkpoint.load(path) is None
    path.write_bytes(content[:40])
    assert checkpoint.load(path) is None
