"""Checkpoints that are either whole or absent: the payload is followed by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import torch

from benchmark.plumbing.files import write_atomic

_DIGEST_BYTES = 32


def save(path: Path, value: Any) -> None:
    """Write tensors and plain containers, atomically."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    payload = buffer.getvalue()
    write_atomic(path, lambda temporary: temporary.write_bytes(payload + hashlib.sha256(payload).digest()))


def load(path: Path, quiet: bool = False) -> Any | None:
    """What ``save`` wrote; None if it is missing or damaged, so that the caller rebuilds it. Reports damage unless ``quiet``."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    payload, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        if not quiet:
            print(f"{path} is damaged and will be rebuilt.", file=sys.stderr, flush=True)
        return None
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
