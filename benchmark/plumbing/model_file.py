"""A model file: all that a trained model needs to speak or to transcribe, in the safetensors format, which holds no code.

Tensors are called "PART/NAME". The file's metadata hold the facts as JSON, sealed with a digest of themselves, among them a digest of the
tensors, so that any change is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plumbing.files import parsed, sealed, unsealed, write_atomic

SHIPPED = Path(__file__).parents[1] / "models" / "default.safetensors"
"""The model file that comes with this package."""
FORMAT = 1
"""Raise it when a file written before can no longer be read."""
KEY = "few-shot-tts-benchmark"
"""Of the facts in a file's metadata."""
NETWORKS = ("algorithm", "vocoder", "metric")
"""The first words of the parts that half precision rounds; the others are small, and stay as they are."""


@dataclass(frozen=True)
class Bundle:
    """The content of a model file.

    Attributes:
        facts: what JSON holds: settings, frontend, provenance.
        tensors: by "PART/NAME".
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of a part; none if it is not there."""
        start = f"{name}/"
        return {each.removeprefix(start): value for each, value in self.tensors.items() if each.startswith(start)}

    def halved(self) -> Bundle:
        """The same with networks in 16 bits: what has more and is not beyond their range (65504) is rounded."""
        return Bundle(self.facts, {name: _half(value) if name.startswith(NETWORKS) else value for name, value in self.tensors.items()})

    def sizes(self) -> Iterator[tuple[str, int, int]]:
        """Each part's numbers and bytes, in order."""
        for part in dict.fromkeys(name.partition("/")[0] for name in self.tensors):
            some = self.part(part).values()
            yield part, sum(each.numel() for each in some), sum(each.numel() * each.element_size() for each in some)


def _half(value: Tensor) -> Tensor:
    if value.dtype not in (torch.float32, torch.float64):
        return value
    half = value.half()
    return half if torch.equal(half.isfinite(), value.isfinite()) else value


def write(path: Path, bundle: Bundle) -> None:
    """Write a model file, atomically.

    Raises:
        BenchmarkError: the folder can't be written to, or the disk is full.
    """
    facts = sealed({**bundle.facts, "format": FORMAT, "tensors": digest_of_tensors(bundle.tensors)})
    # Copies, because some tensors are views of others, which the format does not hold.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in bundle.tensors.items()}
    write_atomic(path, lambda temporary: save_file(tensors, temporary, {KEY: json.dumps(facts, sort_keys=True, allow_nan=False)}))


def content_digest(path: Path, part: str) -> str:
    """SHA-256 of the tensors of a part of a model file, whatever else is in it; errors as of :func:`read`."""
    return digest_of_tensors(read(path).part(part))


def is_model(path: Path) -> bool:
    """Whether a file looks like one that :func:`write` wrote; it may be damaged all the same."""
    try:
        with safe_open(path, "pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read(path: Path) -> Bundle:
    """The content of a model file.

    Raises:
        UsageError: there is no such file.
        BenchmarkError: it is no model file, is damaged, or has another format.
    """
    if not path.is_file():
        raise UsageError(f"There is no model file {path}; name one that 'export' wrote, or a finished run's folder (--run).")
    again = "copy or export it again"
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if text else {}  # noqa: SIM118 - it is no mapping
        facts = parsed(text) if text else None
    except OSError as error:
        raise BenchmarkError(f"The model file {path} can't be read ({error.strerror or error}); {again}.") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is no model file, or was cut short or damaged; {again}.") from error
    if not isinstance(facts, dict):
        raise BenchmarkError(f"{path} is a model of another program; name a file that 'export' wrote.")
    if facts.get("format") != FORMAT:
        known = f"this version reads format {FORMAT}"
        raise BenchmarkError(f"The model file {path} has format {facts.get('format')}, and {known}; export its run again.")
    content = unsealed(facts, path, "model file")
    if content.get("tensors") != digest_of_tensors(tensors):
        raise BenchmarkError(f"The model file {path} was changed or damaged: its weights are not those that were written; {again}.")
    return Bundle(content, tensors)


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        state.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        state.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return state.hexdigest()
