"""Training in several processes: each learns from its share, all take the same step, and the first one writes files.

Lightning starts and connects the processes. A *rank* is the number of a process, from 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from benchmark.errors import UsageError
from benchmark.plugins import registry
from benchmark.plugins.importing import imported_files
from benchmark.plumbing import checkpoint
from benchmark.plumbing.locks import locked
from benchmark.running.hardware import Hardware

T = TypeVar("T")
PATIENCE = timedelta(days=30)
"""How long the other processes wait for the first, which may be preparing a corpus or evaluating a run."""


class PluginFiles:
    """Imports ``--plugin`` files where it is unpickled."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = tuple(files)
        registry.register(self.files)

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return PluginFiles, (self.files,)


class Unwrapped(DDPStrategy):
    """Lightning's DDP without torch's wrapper, which reduces gradients inside ``backward``; ours are written by hand."""

    def __init__(self, **options: Any) -> None:
        # Set first, so that a process that receives this imports the user's plugins before it unpickles their objects.
        self.plugins = PluginFiles(imported_files())
        super().__init__(**options)

    def configure_ddp(self) -> None:
        """Don't wrap the module; give all ranks the weights of rank 0."""
        assert self.model is not None
        for value in self.model.state_dict().values():
            dist.broadcast(value, 0)


def strategy(hardware: Hardware) -> DDPStrategy | str:
    """The strategy for Lightning's Trainer."""
    if hardware.processes == 1:
        return "auto"
    options: dict[str, Any] = {"process_group_backend": _backend(hardware), "timeout": PATIENCE}
    if hardware.repeats_program:
        return Unwrapped(**options)
    # Given explicitly, because inside a SLURM job Lightning would count the job's tasks.
    return Unwrapped(start_method="spawn", cluster_environment=LightningEnvironment(), **options)


def _backend(hardware: Hardware) -> str:
    # gloo carries plain values, so that they need not pass through the GPU.
    return "cpu:gloo,cuda:nccl" if hardware.device == "cuda" else "gloo"


def join(hardware: Hardware) -> None:
    """Connect the processes that torchrun or srun started, before they first have to agree on anything.

    If Lightning starts the program again, it connects the processes itself, in the first training that is not done yet.
    """
    if not hardware.launched or dist.is_initialized():
        return
    environment = TorchElasticEnvironment() if TorchElasticEnvironment.detect() else SLURMEnvironment()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    dist.init_process_group(_backend(hardware), timeout=PATIENCE, rank=hardware.rank, world_size=hardware.processes)


def count() -> int:
    """The number of connected processes; 1 if none are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def agreed(value: T) -> T:
    """Rank 0's value, on all ranks; the caller's value if no processes are connected (yet)."""
    box = [value]
    if count() > 1:
        dist.broadcast_object_list(box, 0)
    return box[0]


def gathered(value: T) -> list[T]:
    """All ranks' values in rank order, on every rank."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return cast(list[T], values)


def share(item: Any, rank: int, processes: int) -> Any:
    """A rank's part of a step's item: of n processes, rank r takes tasks (or rows of a batch) r, r + n, r + 2n ...

    Args:
        item: a list, or a batch with ``rows``.
        rank: from 0.
        processes: how many train together.

    Raises:
        UsageError: the parts would not be equal, so their mean would not be the mean of the whole.
    """
    if processes == 1:
        return item
    length = len(item) if isinstance(item, list) else len(item.mels)
    if length % processes:
        raise UsageError(f"A step learns from {length} tasks or utterances, which {processes} processes can't share evenly.")
    part = slice(rank, None, processes)
    return item[part] if isinstance(item, list) else item.rows(part)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Set each ``.grad`` to the mean over ranks; a gradient missing on some ranks counts there as zero."""
    if count() == 1:
        return
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    there = torch.tensor([parameter.grad is not None for parameter in learned], dtype=torch.uint8, device=learned[0].device)
    dist.all_reduce(there, dist.ReduceOp.MAX)
    reached = [parameter for parameter, found in zip(learned, there.tolist(), strict=True) if found]
    if not reached:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in reached])
    dist.all_reduce(flat)
    for parameter, mean in zip(reached, (flat / count()).split([p.numel() for p in reached]), strict=True):
        parameter.grad = mean.view_as(parameter)


def made_once(path: Path, waiting: str, make: Callable[[], dict[str, Any]], take: Callable[[Any], object], rank: int) -> None:
    """Take the weights in the checkpoint ``path``; if there is none, all ranks train them now and rank 0 saves them there.

    Only rank 0 takes the lock; it holds it while all ranks train.

    Args:
        path: of the checkpoint.
        waiting: message to print if another run is training them.
        make: trains; unfinished work is in ``path`` with the suffix ".training".
        take: called with the weights; raises if they don't fit, and has then changed nothing.
        rank: of this process among those that run the program.
    """
    taken = checkpoint.load(path, _noted(take), quiet=True)
    alone = rank == 0 and taken is None
    with locked(path.with_suffix(".lock"), waiting) if alone else nullcontext():
        if alone:
            taken = checkpoint.load(path, _noted(take))
        if agreed(taken is None):
            state = make()
            if rank == 0:
                checkpoint.save(path, state)
                path.with_suffix(".training").unlink(missing_ok=True)
            take(state)
        elif taken is None:
            # Another run finished it while rank 0 waited.
            taken = checkpoint.load(path, _noted(take))
            assert taken


def _noted(take: Callable[[Any], object]) -> Callable[[Any], bool]:
    """True once the weights are taken."""
    return lambda state: (take(state), True)[1]
