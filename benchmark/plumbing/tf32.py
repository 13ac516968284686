"""Importing speechbrain turns TF32 on for all of torch, which changes numbers on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tf32_kept() -> Iterator[None]:
    """Leave torch's TF32 flags as they are, whatever is imported meanwhile."""
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = flags
