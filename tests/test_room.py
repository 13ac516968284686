"""A model that no memory holds is refused by its size, before that memory is used."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.plumbing import room
from benchmark.plumbing.room import COPIES, memory, within_memory
from tests.cli_helpers import refused


def test_what_does_not_fit_is_refused_before_it_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Linux promises more than there is: torch gets the memory, which would be used when the layer is initialised."""
    monkeypatch.setattr(room, "memory", lambda: 10**9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sentence = r"does not suffice for the backbone: to train or adapt it takes at least 8 GB, .* has 1 GB; choose"
    with pytest.raises(BenchmarkError, match=sentence), within_memory("the backbone"):
        nn.Linear(1000, 500_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes; the layer has two million"


HUGE = """
from torch import nn
from benchmark.algorithms.no_adaptation import PLUGIN as Base
class Huge(Base):
    def __init__(self, backbone, config=Base.Config()):
        super().__init__(backbone, config)
        self.layer = nn.Linear(1000, 500_000)
PLUGIN = Huge
"""


def test_an_algorithm_that_does_not_fit_is_refused_before_the_backbone_is_pretrained(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "huge.py").write_text(HUGE)
    monkeypatch.setattr(room, "memory", lambda: 10**9)
    words = ["run", "--plugin", tmp_path / "huge.py", "--algo", "huge", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run"]
    said = refused([*words, "--metrics", "stoi", "--workers", "1", "--cache", own_cache, "--output", tmp_path / "runs"], 1, capsys)
    assert "does not suffice for huge" in said and not (own_cache / "pretrained").exists()


def test_the_limit_is_what_training_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    size = COPIES * 4 * (7 * 5 + 5 + 5 * 3 + 3)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    monkeypatch.setattr(room, "memory", lambda: size)
    with within_memory("it"):
        torch.manual_seed(0)
        same = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    assert all(map(torch.equal, plain.parameters(), same.parameters())), "no draw is moved"
    monkeypatch.setattr(room, "memory", lambda: size - 1)
    with pytest.raises(BenchmarkError), within_memory("it"):
        nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))  # outside, nothing is counted


def test_a_container_has_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LIMIT", tmp_path / "memory.max")
    machine = memory()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory() == machine > 10**8
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory() == 1_000_000
