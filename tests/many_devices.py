"""What two processes train: imported by a test, and run by torchrun, which starts the program once a process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.algorithm import Algorithm, Task
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch
from benchmark.running import ranks
from benchmark.running.hardware import Hardware
from benchmark.running.training import Budget, fit

ALGORITHMS = ("reptile", "maml", "finetune")
BUDGET = Budget(steps=20)
RATE = 3e-4
SEED = 7


@dataclass(frozen=True)
class Tasks:
    """Four tasks a step. From step ``dies`` on the process is to fail; in step ``spoilt`` adaptation fails, in the second process."""

    dies: int = 99
    spoilt: int = 99

    def __call__(self, step: int) -> list[Task]:
        if step >= self.dies:
            raise RuntimeError("killed")
        seeds = [8 * step + 2 * i for i in range(4)]
        tasks = [Task(tiny_batch(i, 2, seed), tiny_batch(i, 2, seed + 1), seed) for i, seed in enumerate(seeds)]
        if step == self.spoilt:
            tasks[1].support.mels.fill_(torch.nan)
        return tasks


def algorithm(name: str, seed: int = 0) -> Algorithm:
    """With a tiny backbone, its weights drawn from ``seed``."""
    plugin = registry.load("algorithm", name)
    made: Algorithm = plugin(tiny_backbone(seed=seed), plugin.Config())
    return made


if __name__ == "__main__":
    hardware = Hardware("cpu", 2)
    ranks.join(hardware)
    for each in ALGORITHMS:
        learner = algorithm(each)
        spent = fit(learner, Tasks(), RATE, BUDGET, SEED, Path(sys.argv[1], f"{each}.ckpt"), hardware=hardware)
        torch.save([learner.state_dict(), spent], Path(sys.argv[1], f"{each}-{hardware.rank}.pt"))
