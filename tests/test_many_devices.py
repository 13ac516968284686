"""Two processes train what one trains, however they are started; what can't be had is refused in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from benchmark.batch import Batch
from benchmark.cli import main
from benchmark.errors import BenchmarkError, TrainingDiverged, UsageError
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.running.hardware import Hardware
from benchmark.running.pretraining import Pretraining
from benchmark.running.ranks import share
from benchmark.running.training import Budget, fit
from benchmark.vocoder import Segments
from tests.many_devices import ALGORITHMS, BUDGET, RATE, SEED, Tasks, algorithm

Weights = dict[str, torch.Tensor]


def apart(one: Weights, other: Weights) -> float:
    """The largest difference between two sets of weights."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


class Alone(NamedTuple):
    """What one process makes of a training: the weights, what it spent, the loss of each step."""

    weights: Weights
    spent: dict[str, float]
    losses: list[float]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Alone]:
    """By algorithm."""
    found = {}
    for name in ALGORITHMS:
        losses: list[float] = []
        one, path = algorithm(name), tmp_path_factory.mktemp(name) / "one.ckpt"
        spent = fit(one, Tasks(), RATE, BUDGET, SEED, path, lambda _, logs, heard=losses: heard.append(logs["loss"]))  # type: ignore[misc]
        found[name] = Alone(one.state_dict(), spent, losses)
    return found


def test_two_processes_train_what_one_trains(alone: dict[str, Alone], tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(repository / "tests" / "many_devices.py"), str(tmp_path)]
    path = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([*command, *script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ALGORITHMS:
        for rank in (0, 1):
            weights, spent = torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)
            assert apart(alone[name].weights, weights) < 1e-5, name
            assert spent["steps"] == BUDGET.steps and spent["flops"] == alone[name].spent["flops"] > 0
        assert apart(alone[name].weights, algorithm(name).state_dict()) > 1e-3, "nothing was learned"


@pytest.mark.parametrize("name", ["reptile", *(pytest.param(name, marks=pytest.mark.slow) for name in ("maml", "finetune"))])
def test_what_is_cut_off_in_spawned_processes_goes_on_to_the_same_weights(name: str, alone: dict[str, Alone], tmp_path: Path) -> None:
    heard: list[float] = []

    def hear(part: float, logs: dict[str, float]) -> None:
        heard.append(logs["loss"])

    def train(tasks: Tasks, hardware: Hardware = Hardware("cpu", 2)) -> tuple[Weights, dict[str, float]]:
        learner = algorithm(name, seed=len(heard))
        spent = fit(learner, tasks, RATE, BUDGET, SEED, tmp_path / "two.ckpt", hear, checkpoint_seconds=0, hardware=hardware)
        return learner.state_dict(), spent

    with pytest.raises(BenchmarkError, match=r"^A training process died \(killed, .* run the same command again"):
        train(Tasks(dies=3))
    assert 0 < len(heard) < 4
    # Two processes again, until adaptation fails in one of them: the same sentence as from one process.
    with pytest.raises(TrainingDiverged, match=r"^Training diverged at step 7: .*loss .*not finite; lower "):
        train(Tasks(spoilt=7))
    assert len(heard) == 7
    # The rest by one.
    weights, spent = train(Tasks(), Hardware("cpu"))
    assert apart(alone[name].weights, weights) < 1e-5
    assert spent["steps"] == BUDGET.steps and heard == pytest.approx(alone[name].losses, rel=1e-4)
    assert "MASTER_PORT" not in os.environ


def test_mixed_precision_reaches_forward_passes_and_the_inner_loop_moves(tmp_path: Path) -> None:
    class Watched(Pretraining):
        def meta_step(self, batch: Batch) -> dict[str, float]:
            found.append(torch.is_autocast_enabled("cpu"))
            return super().meta_step(batch)

    found: list[bool] = []
    half = Hardware("cpu", precision="bf16-mixed")
    fit(Watched(tiny_backbone()), lambda step: tiny_batch(0, 2, step), RATE, Budget(steps=2), 0, tmp_path / "a.ckpt", hardware=half)
    fit(Watched(tiny_backbone()), lambda step: tiny_batch(0, 2, step), RATE, Budget(steps=2), 0, tmp_path / "b.ckpt")
    assert found == [True, True, False, False]
    full, mixed = algorithm("reptile"), algorithm("reptile")
    fit(full, Tasks(), RATE, Budget(steps=2), SEED, tmp_path / "full.ckpt")
    fit(mixed, Tasks(), RATE, Budget(steps=2), SEED, tmp_path / "mixed.ckpt", hardware=half)
    assert 0 < apart(full.state_dict(), mixed.state_dict()) < 2 * 2 * RATE + 1e-5
    assert all(value.dtype != torch.bfloat16 for value in mixed.state_dict().values())


def test_shares_are_every_nth_task_or_row() -> None:
    batch = tiny_batch(0, 6)
    pieces = Segments(torch.arange(6.0).view(6, 1, 1), torch.arange(6.0).view(6, 1))
    assert share([1, 2, 3, 4], 1, 2) == [2, 4]
    assert torch.equal(share(batch, 2, 3).mels, batch.mels[[2, 5]])
    assert share(pieces, 0, 2).audio.flatten().tolist() == [0, 2, 4]
    assert share(batch, 0, 1) is batch
    for item in ([1, 2, 3], tiny_batch(0, 3), Segments(pieces.mels[:3], pieces.audio[:3])):
        with pytest.raises(UsageError, match="3 tasks or utterances, which 2 processes can't share evenly"):
            share(item, 0, 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--precision", "16-mixed"], "--precision must be 32-true or bf16-mixed, not 16-mixed; "),
        (["--strategy", "fsdp"], "--strategy must be auto, ddp or ddp_spawn, not fsdp; "),
        (["--accelerator", "abacus"], "--accelerator must be auto, cpu, gpu, cuda or mps, not abacus."),
        (["--devices", "0"], "must be a whole number, at least 1, not 0"),
        (["--accelerator", "cpu", "--devices", "3"], "pretrain.batch_size is 16, which 3 processes can't share evenly"),
        (["--accelerator", "cpu", "--devices", "4"], "meta.tasks is 2, which 4 processes can't share evenly"),
    ],
)
def test_what_cant_be_had_is_one_sentence(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "--algo", "reptile", "--dataset", "espeak", "--preset", "smoke", "--output", str(tmp_path)]
    assert main([*run, "--cache", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_who_writes_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert (Hardware("cpu", 2).rank, Hardware("cpu", 2).repeats_program, Hardware("cpu", 2, "ddp").repeats_program) == (0, False, True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert (Hardware("cpu", 2, "ddp").rank, Hardware("cpu", 2).rank, Hardware("cpu").rank) == (1, 0, 0)
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    two_nodes = Hardware("cpu", 2)
    assert (two_nodes.rank, two_nodes.processes) == (3, 4)
    # Four runs side by side, each on its own device, are no training of four.
    assert (Hardware("cpu").rank, Hardware("cpu").processes) == (0, 1)
    with pytest.raises(UsageError, match="4 processes were started, not a multiple of --devices 3"):
        Hardware("cpu", 3)
    with pytest.raises(UsageError, match="ddp_spawn starts its processes itself"):
        Hardware("cpu", 2, "ddp_spawn")
