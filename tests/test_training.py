"""Training ends with its budget, and a killed one resumes to the same weights."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from benchmark.algorithm import Task
from benchmark.batch import Batch
from benchmark.errors import BenchmarkError
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.plumbing import checkpoint
from benchmark.running.pretraining import Pretraining
from benchmark.running.training import Budget, fit


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


def test_meta_training_that_overflows_stops_and_keeps_weights_that_work(tmp_path: Path) -> None:
    plugin = registry.load("algorithm", "maml")
    algorithm, path = plugin(tiny_backbone(), plugin.Config(inner_steps=1)), tmp_path / "x.ckpt"

    def tasks(step: int) -> list[Task]:
        if step == 3:
            with torch.no_grad():  # finite, but too large for a float32 loss
                algorithm.backbone.get_parameter("output.weight").mul_(1e38)
        return [Task(tiny_batch(0, 2, step), tiny_batch(0, 2, step + 100))]

    with pytest.raises(BenchmarkError, match=r"diverged at step [23]: .*lower the learning rate.* kept in .*x\.ckpt"):
        fit(algorithm, tasks, 1e-3, Budget(steps=9), 0, path)
    state = checkpoint.load(path)
    assert state is not None and state["progress"]["step"] == 1
    algorithm.load_state_dict({name.removeprefix("learner."): value for name, value in state["state_dict"].items()})
    assert algorithm.meta_step(tasks(0))["loss"] < 10


def test_a_rate_that_overflows_the_weights_at_once_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"diverged at step 0: the weights are not finite.*nothing was trained yet"):
        fit(Pretraining(tiny_backbone()), item, 1e39, Budget(steps=9), 0, tmp_path / "x.ckpt")


def test_flops_of_steps_that_become_dearer_are_counted_right(tmp_path: Path) -> None:
    plugin = registry.load("algorithm", "maml_plus_plus")

    def spent(steps: int, **schedule: int) -> float:
        algorithm = plugin(tiny_backbone(), plugin.Config(inner_steps=2, **schedule))
        tasks = [Task(tiny_batch(0), tiny_batch(0, 2, 1))]
        return fit(algorithm, lambda step: tasks, 1e-4, Budget(steps=steps), 0, tmp_path / f"{steps}{schedule}.ckpt")["flops"]

    # Equal batches cost the same in every step of a phase.
    first = spent(1, annealing_steps=0, first_order_steps=9)
    second = spent(1, annealing_steps=0, first_order_steps=0)
    both = spent(1, annealing_steps=9, first_order_steps=0)
    assert first < second < both
    assert spent(13, annealing_steps=7, first_order_steps=0) == pytest.approx(7 * both + 6 * second)
    assert spent(13, annealing_steps=0, first_order_steps=7) == pytest.approx(7 * first + 6 * second)


def test_flops_of_steps_that_become_dearer_without_a_word_are_right_in_the_end(tmp_path: Path) -> None:
    """Discriminators that join a vocoder's training, say."""

    def spent(steps: int, sizes: tuple[int, int], path: str) -> float:
        size = [tiny_batch(0, count) for count in sizes]
        return fit(Pretraining(tiny_backbone()), lambda step: size[step >= 20], 1e-4, Budget(steps=steps), 0, tmp_path / path)["flops"]

    one, two = spent(1, (2, 2), "one"), spent(1, (4, 4), "two")
    assert spent(40, (2, 4), "both") == pytest.approx(20 * one + 20 * two)
    assert two > 1.5 * one


def test_ctrl_c_in_training_stays_one_and_the_next_is_heard_too(tmp_path: Path) -> None:
    def interrupted(step: int) -> Batch:
        if step == 3:
            signal.raise_signal(signal.SIGINT)
        return item(step)

    with pytest.raises(KeyboardInterrupt):
        fit(Pretraining(tiny_backbone()), interrupted, 1e-3, Budget(steps=9), 0, tmp_path / "x.ckpt")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert fit(Pretraining(tiny_backbone()), item, 1e-3, Budget(steps=9), 0, tmp_path / "x.ckpt")["steps"] == 9
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_damaged_checkpoint_is_never_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"x": torch.ones(3)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert checkpoint.load(path) is None
    path.write_bytes(content[:40])
    assert checkpoint.load(path) is None
    assert capsys.readouterr().err == 2 * f"{path} is damaged and will be rebuilt.\n"
    assert checkpoint.load(path, quiet=True) is None and checkpoint.load(tmp_path / "none.pt") is None
    assert capsys.readouterr().err == ""
