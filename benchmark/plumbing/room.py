"""Is there memory for a model? Asked before it is built: Linux promises more memory than there is, and then kills who uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from benchmark.errors import BenchmarkError

COPIES = 4
"""Of each weight while a model trains: itself, its gradient, and AdamW's two moments."""
OVERFLOW = "Storage size calculation overflowed"
"""In torch's error about a tensor that no number of bytes can hold."""
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""A container's limit, where Linux runs in one."""


def require_room(build: Callable[[], torch.nn.Module], what: str) -> None:
    """Refuse a model that this machine's memory can't train, by its size, before any of it is allocated.

    The model is built once on torch's device "meta", which holds shapes alone. A model that can't be built there is not checked.

    Args:
        build: builds it. What it draws from torch's generator is drawn again later.
        what: what the model is, "the backbone".

    Raises:
        BenchmarkError: it is too large.
    """
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model = build()
    except Exception as error:
        if OVERFLOW in str(error):
            raise BenchmarkError(f"The memory does not suffice for {what}, which no machine can address; choose smaller sizes.") from error
        return  # a plugin's code computes with its weights; building it tells what else is wrong
    every = [*model.parameters(), *model.buffers()]
    weights = sum(each.numel() for each in every)
    need, there = COPIES * sum(each.numel() * each.element_size() for each in every), memory()
    if need > there:
        raise BenchmarkError(
            f"The memory does not suffice for {what}: {weights:,} weights take {need / 1e9:,.0f} GB to train, and this machine has "
            f"{there / 1e9:,.0f} GB; choose smaller sizes."
        )


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's if that is less."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        there = min(there, int(LIMIT.read_text()))
    return there
