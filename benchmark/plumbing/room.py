"""Is there memory for a model? Asked while it is built: Linux promises more than there is, and kills the process that then uses it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from benchmark.errors import BenchmarkError

COPIES = 4
"""Of each weight while a model trains or adapts: itself, its gradient, and AdamW's two moments."""
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""A container's limit, where Linux runs in one."""


@contextmanager
def within_memory(what: str) -> Iterator[None]:
    """Inside, a model is built; refused as soon as its weights are more than this machine's memory can train or adapt.

    Layers register weights before they fill them, so a weight that is too large is refused before any of its memory is used.

    Args:
        what: what the model is, "the backbone".

    Raises:
        BenchmarkError: it is too large.
    """
    need, there = 0, memory()

    def count(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal need
        need += 0 if weight is None else COPIES * weight.numel() * weight.element_size()
        if need > there:
            raise BenchmarkError(
                f"The memory does not suffice for {what}: to train or adapt it takes at least {need / 1e9:,.0f} GB, and this machine has "
                f"{there / 1e9:,.0f} GB; choose smaller sizes."
            )

    counting = register_module_parameter_registration_hook(count)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        counting.remove()


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's if that is less."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        there = min(there, int(LIMIT.read_text()))
    return there
