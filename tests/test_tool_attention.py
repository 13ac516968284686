"""The command that measures attention: what it calls monotonic, what it prints and draws, its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.mel import MelSpec
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_spec
from benchmark.plumbing import checkpoint
from benchmark.running.building import build, spec_of
from benchmark.utterance import PreparedUtterance
from tools import attention
from tools.attention import Followed, gapless, main, monotonic, report

TINY = ["--backbone.encoder", "16", "--backbone.decoder", "16", "--backbone.attention", "8", "--backbone.prenet", "8"]


def along(*path: int, tokens: int = 6) -> Tensor:
    """Attention that is on one token a step, mostly."""
    return 0.9 * torch.nn.functional.one_hot(torch.tensor(path), tokens).float() + 0.1 / tokens


@pytest.mark.parametrize(
    ("path", "forward", "whole"),
    [
        ((0, 1, 2, 3, 4, 5), True, True),
        ((0, 0, 2, 1, 3, 4), True, True),  # one token back is on its way
        ((1, 1, 2, 3, 4, 4), True, True),  # but for the silence at both ends
        ((0, 1, 3, 1, 4, 5), False, True),  # two back
        ((0, 1, 2, 3, 3, 3), False, True),  # stuck
        ((0, 5, 0, 1, 2, 3), False, True),
        ((0, 1, 2, 4, 4, 5), True, True),  # token 3 takes two steps only
        ((0, 2, 3, 4, 4, 5), True, False),  # token 1 takes three
        ((0, 1, 2, 5, 5, 5), True, False),  # two tokens at once
        ((2, 2, 3, 4, 4, 5), True, False),  # a late start
        ((5, 5, 5, 5, 5, 5), True, False),
    ],
)
def test_monotonic_and_gapless_are_as_defined(path: tuple[int, ...], forward: bool, whole: bool) -> None:
    assert monotonic(along(*path)) is forward
    assert gapless(along(*path), torch.tensor([9.0, 3, 1, 2, 1, 9])) is whole


def test_shares_are_counted() -> None:
    good, gap, bad = along(0, 1, 2, 3, 4, 5), along(0, 1, 2, 5, 5, 5), along(0, 1, 2, 2, 2, 2)
    found = [("a", good, good), ("b", gap, bad), ("c", bad, None), ("d", good, bad)]
    lines = report([Followed(*each, torch.full((6,), 4)) for each in found], 2)
    assert lines[0] == "given the real frames: 75.0 % of 4 sentences monotonic, 50.0 % and without a gap"
    assert lines[1] == "hearing itself:        25.0 % of 4 sentences monotonic, 25.0 % and without a gap; 1 never stopped"


class Made:
    """A corpus of one speaker and two sentences, as much of it as the command asks for."""

    symbols, mel, characters, statistics = tuple("abcdefghij"), MelSpec(), ("a",), tiny_spec().statistics

    def speakers(self, split: str) -> list[str]:
        return ["s"]

    def utterance_ids(self, speaker: str) -> list[str]:
        return ["u", "v"]

    def __getitem__(self, name: str) -> PreparedUtterance:
        return PreparedUtterance(
            name, "s", "text", (("a",) * 4,), np.array([1, 3, 4, 5, 6, 1]), np.full(6, 4), np.full((24, self.mel.n_mels), -5, np.float32),
            np.zeros(24, np.float32), np.zeros(24, np.float32), np.zeros(23 * 256, np.int16),
        )  # fmt: skip


def test_a_pretrained_backbone_is_measured_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(attention, "_newest", lambda *_: Made())
    plugin = registry.load("backbone", "tacotron2")
    model = build(plugin, plugin.Config(encoder=16, decoder=16, attention=8, prenet=8), spec_of(Made()), 0)  # type: ignore[arg-type]
    words = ["--pretrained", str(tmp_path / "model.pt"), "--dataset", "espeak", "--backbone", "tacotron2"]
    for bias, found in ((-99.0, "; 2 never stopped"), (99.0, "; 0 never stopped")):
        torch.nn.init.constant_(model.stop.bias, bias)  # type: ignore[arg-type, union-attr]
        checkpoint.save(tmp_path / "model.pt", model.state_dict())
        assert main([*words, *TINY, "--plot", str(tmp_path / "paths.png"), "--plots", "2"]) == 0
        said = capsys.readouterr().out
        assert "of 2 sentences monotonic, " in said and f"without a gap{found}" in said
        assert (tmp_path / "paths.png").read_bytes().startswith(b"\x89PNG")
    assert main(words) == 1
    assert "is not of tacotron2 with these settings and corpus" in capsys.readouterr().err
    assert main([*words[:-1], "fastspeech2"]) == 1
    (tmp_path / "model.pt").write_bytes(b"")
    assert main(words) == 1
    assert "is missing or damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([], 2, "Name one of --run DIR and --pretrained FILE."),
        (["--run", "nowhere"], 2, "There is no run folder nowhere"),
        (["--pretrained", "x.pt", "--dataset", "espeak"], 1, "holds no prepared corpus of espeak"),
        (["--run", "x", "--sentences", "0"], 2, "--sentences and --plots must be at least 1."),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], status: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--cache", str(tmp_path)]) == status
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("error: ") and error.count("\n") == 1
