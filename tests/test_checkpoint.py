"""A checkpoint is whole or counts as absent, whatever damaged it, and nothing in it is run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from benchmark.plumbing import checkpoint


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def module() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Linear(2, 3)


def sealed(payload: bytes) -> bytes:
    """With the digest that a forger would add."""
    return payload + hashlib.sha256(payload).digest()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "another program's")
    return buffer.getvalue()


def test_what_was_saved_is_taken(tmp_path: Path) -> None:
    saved, fresh = module(), torch.nn.Linear(2, 3)
    checkpoint.save(tmp_path / "a.pt", saved.state_dict())
    assert checkpoint.load(tmp_path / "a.pt", checkpoint.into(fresh)) is not None
    assert torch.equal(fresh.weight, torch.as_tensor(saved.weight)) and checkpoint.load(tmp_path / "b.pt") is None
    assert checkpoint.load(tmp_path) is None


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty", "foreign", "sealed foreign", "pickle", "list", "shapes", "names", "a number"])
def test_damage_of_any_kind_is_told_and_changes_nothing(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, fresh = tmp_path / "a.pt", torch.nn.Linear(2, 3)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    state = module().state_dict()
    others = {"list": [1, 2], "shapes": {**state, "weight": torch.zeros(4, 2)}, "names": {"weight": state["weight"]}, "a number": 3.0}
    checkpoint.save(path, others.get(kind, state))
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes({
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], "cut": content[:middle], "empty": b"",
        "foreign": zipped(), "sealed foreign": sealed(zipped()), "pickle": sealed(pickle.dumps(Evil(tmp_path / "run"))),
    }.get(kind, content))  # fmt: skip
    assert checkpoint.load(path, checkpoint.into(fresh)) is None
    assert capsys.readouterr().err == f"{path} is damaged and will be rebuilt.\n"
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    assert not (tmp_path / "run").exists()
    assert checkpoint.load(path, checkpoint.into(fresh), quiet=True) is None and capsys.readouterr().err == ""
