"""Checkpoints that are either whole or absent: the payload is followed by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmark.plumbing.files import write_atomic

_DIGEST_BYTES = 32
T = TypeVar("T")


def save(path: Path, value: Any) -> None:
    """Write tensors and plain containers, atomically."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    payload = buffer.getvalue()
    write_atomic(path, lambda temporary: temporary.write_bytes(payload + hashlib.sha256(payload).digest()))


def load(path: Path, use: Callable[[Any], T] = lambda state: state, quiet: bool = False) -> T | None:
    """What ``use`` makes of what ``save`` wrote; None if the file is missing or damaged, so that the caller rebuilds it.

    Damaged is whatever ``save`` can't have written there: a changed file, another program's, one with code in it (no code is run), and
    one that ``use`` can't take, which says so by any error. Reports damage unless ``quiet``.

    Args:
        path: of the checkpoint.
        use: called with the content; must change nothing if it raises (as :func:`into` does).
        quiet: whether not to report damage.
    """
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        payload, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("another digest")
        return use(torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True))
    except MemoryError:
        raise
    except Exception:  # torch.load and uses of strange content raise many kinds
        if not quiet:
            print(f"{path} is damaged and will be rebuilt.", file=sys.stderr, flush=True)
        return None


def into(module: torch.nn.Module) -> Callable[[Any], dict[str, Any]]:
    """A use of a checkpoint: put weights into a module, unless their names or shapes are not the module's."""

    def use(state: Any) -> dict[str, Any]:
        require_fit(state, module)
        module.load_state_dict(state)
        return dict(state)

    return use


def require_fit(state: Any, module: torch.nn.Module) -> None:
    """Raise an error, of any kind, unless a state has a module's names and shapes."""
    if _shapes(state) != _shapes(module.state_dict()):
        raise ValueError("the weights are of another module")


def _shapes(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "shape", None) for name, value in state.items()}
