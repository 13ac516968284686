"""The hardware that a run uses, in Lightning's terms."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmark.errors import UsageError
from benchmark.plumbing.words import listed

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
STRATEGIES = ("auto", "ddp", "ddp_spawn")
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class Hardware:
    """Hardware options for Lightning's Trainer; the first device of that kind also adapts and predicts.

    Attributes:
        accelerator: one of ``ACCELERATORS``.
        devices: number of devices that train together on one machine, at least 1; each has its own process.
        strategy: "ddp_spawn" starts processes when a training needs them; "ddp" starts the whole program once per process, as
            torchrun and SLURM do; "auto" is "ddp" if torchrun or SLURM started this program, else "ddp_spawn".
        precision: of training, one of ``PRECISIONS``.

    Raises:
        UsageError: a value is not possible.
    """

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        reasons = {
            "accelerator": "", "strategy": "; algorithms write gradients themselves, which other strategies don't see",
            "precision": "; algorithms write gradients themselves, so no GradScaler scales them, and weights stay float32",
        }  # fmt: skip
        for (name, reason), known in zip(reasons.items(), (ACCELERATORS, STRATEGIES, PRECISIONS), strict=True):
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"--{name} must be {listed(known, 'or')}, not {value}{reason}.")
        if self.devices < 1:
            raise UsageError(f"--devices must be at least 1, not {self.devices}.")
        if self.launched and self.strategy == "ddp_spawn":
            raise UsageError("--strategy ddp_spawn starts its processes itself; leave it out under torchrun or srun.")
        if self.processes % self.devices:
            raise UsageError(f"{self.processes} processes were started, not a multiple of --devices {self.devices}; start one per device.")

    @property
    def device(self) -> str:
        """The device's type in torch; part of a run's identity, because types of devices give different numbers."""
        import torch

        if self.accelerator in ("cpu", "cuda", "mps"):
            return self.accelerator
        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
        return "cpu" if self.accelerator == "auto" else "cuda"

    @property
    def identity(self) -> list[str]:
        """What changes the numbers of a pretraining; the number of processes does, because losses are averaged per process first."""
        return [self.device, self.precision, *([f"{self.processes} processes"] if self.processes > 1 else [])]

    def require(self) -> None:
        """Refuse devices that this machine does not have.

        Raises:
            UsageError: there are none of that kind, or too few.
        """
        import torch

        there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(self.device, self.devices)
        if self.devices > there:
            raise UsageError(f"--accelerator {self.accelerator} --devices {self.devices}: this machine has only {there}.")

    @property
    def launched(self) -> bool:
        """Whether torchrun or srun started this program once for each device."""
        if "TORCHELASTIC_RUN_ID" in os.environ:
            return int(os.environ["WORLD_SIZE"]) > 1
        # The same test as Lightning's. But tasks of srun may also be separate runs, each on one device.
        tasks = os.environ.get("SLURM_NTASKS", "1") if os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive") else "1"
        return int(tasks) > 1 and (self.devices > 1 or self.strategy == "ddp")

    @property
    def processes(self) -> int:
        """The number of processes that train together, on all machines."""
        if self.launched:
            return int(os.environ["WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_NTASKS"])
        return self.devices

    @property
    def repeats_program(self) -> bool:
        """Whether every process that takes part in the training runs the whole program."""
        return self.processes > 1 and (self.launched or self.strategy == "ddp")

    @property
    def rank(self) -> int:
        """This process's number among those that run the program; 0 writes files and evaluates, the others only train."""
        if not self.repeats_program:
            return 0
        names = ("RANK", "LOCAL_RANK") if "TORCHELASTIC_RUN_ID" in os.environ or not self.launched else ("SLURM_PROCID",)
        # Lightning numbers the processes of one machine (LOCAL_RANK), torchrun those of all machines (RANK).
        return int(next((os.environ[name] for name in names if name in os.environ), 0))

    def check_share(self, count: int, what: str) -> None:
        """Refuse a number that the processes can't share evenly.

        Raises:
            UsageError: ``count`` is not a multiple of the number of processes; the message begins with ``what``.
        """
        if count % self.processes:
            raise UsageError(f"{what} is {count}, which {self.processes} processes can't share evenly; make it a multiple of that.")
