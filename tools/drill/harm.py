"""Ways to damage a file, each a function of its bytes and of a random generator."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

Harm = Callable[[Path, random.Random], bytes | None]
"""The damaged content of a file; None if the file can't be damaged so."""


class Malicious:
    """Unpickled, it makes a file, which shows that code was run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.mark,)  # type: ignore[return-value]


def flip(path: Path, draw: random.Random) -> bytes | None:
    """One bit is the other."""
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content) or None


def truncate(path: Path, draw: random.Random) -> bytes | None:
    """The end is missing."""
    content = path.read_bytes()
    return content[: draw.randrange(1, len(content))] if len(content) > 1 else None


def empty(path: Path, draw: random.Random) -> bytes:
    """Nothing is left."""
    return b""


def foreign(path: Path, draw: random.Random) -> bytes:
    """Another program's file, of the same format where that can be."""
    made: list[bytes] = [b"\0" * 512, b"PK\3\4 another program's\n"]
    if path.suffix in (".json", ".jsonl", ".journal"):
        made = [b"[]\n", b'{"a": 1}\n', b"[" * 100_000, b"null\n", b'{"a": NaN}\n', b"\xff\xfe{\0}\0"]
    elif path.suffix in (".csv", ".yaml"):
        made = [b"a,b\n1,2\n", b"- a\n- b\n", b"a: &x [1]\nb: [*x, *x]\n", b"\xff\xfea\0,\0b\0", b'"' * 1000]
    elif path.suffix in (".pt", ".ckpt", ".training", ".aligned"):
        made += [_saved([1, 2]), _digested(_saved([1, 2])), _digested(_saved({"state_dict": {}})), _digested(pickle.dumps("text"))]
    elif path.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, np.zeros(3))
        made += [stream.getvalue()]
    return draw.choice(made)


def malicious(path: Path, draw: random.Random) -> bytes | None:
    """A pickle that runs code where it is read as one, with the digest that belongs to it."""
    bomb = Malicious(path.parent / "code-was-run")
    if path.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, np.array([bomb], dtype=object), allow_pickle=True)
        return stream.getvalue()
    return _digested(_saved(bomb)) if path.suffix in (".pt", ".ckpt", ".training", ".aligned") else None


def edit(path: Path, draw: random.Random) -> bytes | None:
    """One digit of a number is another, or one number of an array; the file's form stays."""
    content = path.read_bytes()
    if path.suffix == ".npy":
        array = np.load(io.BytesIO(content))
        if not array.size:
            return None
        array.flat[draw.randrange(array.size)] += 1
        stream = io.BytesIO()
        np.save(stream, array)
        return stream.getvalue()
    if path.suffix == ".wav" and len(content) > 100:
        changed = bytearray(content)
        place = draw.randrange(50, len(content)) & ~1
        changed[place] ^= 64
        return bytes(changed)
    if path.suffix not in (".json", ".jsonl", ".journal", ".csv", ".yaml"):
        return None
    digits = [match.start() for match in re.finditer(rb"(?<![0-9a-zA-Z-])[0-9.]*[0-9](?![0-9a-zA-Z-])", content)]
    if not digits:
        return None
    start = draw.choice(digits)
    place = next(at for at in range(start, len(content)) if content[at : at + 1].isdigit())
    other = draw.choice([digit for digit in b"123456789" if digit != content[place]])
    return content[:place] + bytes([other]) + content[place + 1 :]


def _saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _digested(payload: bytes) -> bytes:
    """With the digest that the project's checkpoints end with."""
    return payload + hashlib.sha256(payload).digest()


HARMS: dict[str, Harm] = {
    "flip": flip, "truncate": truncate, "empty": empty, "foreign": foreign, "malicious": malicious, "edit": edit,
}  # fmt: skip
