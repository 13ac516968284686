"""What two processes train: imported by a test, and run by torchrun, which starts the program once a process."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.distributed as dist

from benchmark.algorithm import Algorithm, Task
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.running import ranks
from benchmark.running.hardware import Hardware
from benchmark.running.training import Budget, fit

ALGORITHMS = ("reptile", "maml", "finetune")
BUDGET = Budget(steps=10)
RATE = 3e-4
SEED = 7


@dataclass(frozen=True)
class Tasks:
    """Four tasks a step. At step ``dies`` the second process is killed; in step ``spoilt`` adaptation fails, in the second process."""

    dies: int = 99
    spoilt: int = 99

    def __call__(self, step: int) -> list[Task]:
        if step >= self.dies and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        seeds = [8 * step + 2 * i for i in range(4)]
        tasks = [Task(tiny_batch(i, 2, seed), tiny_batch(i, 2, seed + 1), seed) for i, seed in enumerate(seeds)]
        if step == self.spoilt:
            tasks[1].support.mels.fill_(torch.nan)
        return tasks


def algorithm(name: str, seed: int = 0) -> Algorithm:
    """With a tiny backbone, its weights drawn from ``seed``, and few steps in its inner loop, if it has one."""
    plugin = registry.load("algorithm", name)
    few = {"inner_steps": 2} if any(field.name == "inner_steps" for field in fields(plugin.Config)) else {}
    made: Algorithm = plugin(tiny_backbone(seed=seed), plugin.Config(**few))
    return made


if __name__ == "__main__":
    hardware = Hardware("cpu", 2)
    ranks.join(hardware)
    for each in ALGORITHMS:
        learner = algorithm(each)
        spent = fit(learner, Tasks(), RATE, BUDGET, SEED, Path(sys.argv[1], f"{each}.ckpt"), hardware=hardware)
        torch.save([learner.state_dict(), spent], Path(sys.argv[1], f"{each}-{hardware.rank}.pt"))
