"""A model that no memory holds is refused by its size, before any of it is allocated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.plumbing import room
from benchmark.plumbing.room import COPIES, memory, require_room


def test_what_does_not_fit_is_refused_without_being_built() -> None:
    built: list[torch.device] = []

    def build() -> nn.Module:
        model = nn.Linear(100_000, 500_000)  # 200 GB, which Linux may promise and then kill for
        built.append(model.weight.device)
        return model

    with pytest.raises(BenchmarkError, match=r"does not suffice for the backbone: 50,000,500,000 weights take 800 GB to train, .* smaller"):
        require_room(build, "the backbone")
    assert built == [torch.device("meta")]
    with pytest.raises(BenchmarkError, match="does not suffice for the backbone"):
        require_room(lambda: nn.Linear(10**15, 10**15), "the backbone")


def test_the_limit_is_what_training_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.random.get_rng_state()
    size = COPIES * 4 * (7 * 5 + 5)
    monkeypatch.setattr(room, "memory", lambda: size)
    require_room(lambda: nn.Linear(7, 5), "it")
    monkeypatch.setattr(room, "memory", lambda: size - 1)
    with pytest.raises(BenchmarkError):
        require_room(lambda: nn.Linear(7, 5), "it")
    assert torch.equal(torch.random.get_rng_state(), state), "no draw is moved"


def test_a_model_that_computes_with_its_weights_is_left_to_its_building() -> None:
    def build() -> nn.Module:
        model = nn.Linear(2, 2)
        float(model.weight.sum())
        return model

    require_room(build, "it")


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LIMIT", tmp_path / "memory.max")
    machine = memory()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory() == machine > 10**8
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory() == 1_000_000
