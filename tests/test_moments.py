"""What an algorithm may know of the pretraining's gradients: kept beside the weights, made again where it is missing, used by Meta-SGD."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.cli import main
from benchmark.plugins import registry
from benchmark.plumbing import checkpoint
from benchmark.running import pretraining
from benchmark.settings.schema import PretrainSettings
from tests.test_identity import CORPUS
from tests.toy_backbones import Linear, points

RUN = [
    "run", "--algo", "meta_sgd", "--algo.adam_lr", "1e-4", "--algo.groups", "embedding,output", "--dataset", "espeak", "--preset", "smoke",
    "--fast-dev-run", "--metrics", "stoi", "--workers", "1",
]  # fmt: skip
X, Y = torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]]), torch.tensor([1.0, 0.0, -1.0])


class OneLayer(Linear):
    """As the harness builds a backbone; one weight is in no loss."""

    def __init__(self, spec: Any, config: Any) -> None:
        super().__init__(head=torch.tensor([0.3, -0.2]), idle=torch.ones(3))


def pretraining_of(cache: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """Arguments of a pretraining whose every batch is the same three points."""
    monkeypatch.setattr(pretraining.BatchSampler, "__call__", lambda self, step: points(X[None], Y[None]))
    return OneLayer, OneLayer.Config(), "code", CORPUS, PretrainSettings(steps=3, learning_rate=0.1), 0, cache


def test_the_moments_are_those_of_adam_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Tensor] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *args: Any, **more: Any) -> Any:
        seen.append(self.param_groups[0]["params"][0].grad.clone())
        return step(self, *args, **more)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    arguments = pretraining_of(tmp_path, monkeypatch)
    model, _ = pretraining.pretrained(*arguments)
    moments = pretraining.second_moments(*arguments)
    assert len(seen) == 3 and moments.keys() == {"head", "idle"} and not moments["idle"].any()
    powers = torch.tensor([0.98**2, 0.98, 1.0])
    torch.testing.assert_close(moments["head"], (powers[:, None] * torch.stack(seen) ** 2).sum(0) / powers.sum())

    # A cached pretraining without them, or with damaged ones, is done again, and its weights are the same to the bit.
    (kept,) = (tmp_path / "pretrained").glob("*.moments")
    for harm in (kept.unlink, lambda: kept.write_bytes(b"nonsense")):
        harm()
        capsys.readouterr()
        assert all(map(torch.equal, pretraining.second_moments(*arguments).values(), moments.values()))
        assert "cached without its optimiser's state" in capsys.readouterr().out
    weights = checkpoint.load(next((tmp_path / "pretrained").glob("*.pt")))
    assert weights is not None and all(map(torch.equal, model.state_dict().values(), weights.values()))
    assert not list((tmp_path / "pretrained").glob("*.training"))


def test_meta_sgd_starts_from_adams_rates() -> None:
    plugin = registry.load("algorithm", "meta_sgd")
    algorithm = plugin(Linear(head=torch.tensor([0.3, -0.2]), body=torch.eye(2)), plugin.Config(inner_steps=1, adam_lr=0.01))
    assert algorithm.wants_moments and not plugin(Linear(head=torch.ones(2))).wants_moments
    moments = {"head": torch.tensor([4.0, 0.0]), "body": torch.tensor([[1.0, 1.0], [1.0, 1.0]]), "vocoder": torch.ones(9)}
    algorithm.take_moments(moments)
    epsilon = 0.1 * (8 / 6) ** 0.5
    expected = {"head": torch.tensor([0.01 / (2 + epsilon), 0.01 / epsilon]), "body": torch.full((2, 2), 0.01 / (1 + epsilon))}
    with torch.no_grad():
        algorithm.scales["head"].copy_(torch.tensor([1.0, -3.0]))
    support = points(X[None], Y[None])
    ((_, voice),) = algorithm.adapt(support, [1])
    head, gradient = torch.tensor([0.3, -0.2]), X.T @ (X @ torch.tensor([0.3, -0.2]) - Y) / 3
    torch.testing.assert_close(voice.stored["head"], head - torch.tensor([1.0, -3.0]) * expected["head"] * gradient)
    torch.testing.assert_close(voice.stored["body"], torch.eye(2) - expected["body"] * torch.outer(gradient, head))
    # They are part of what a run keeps.
    again = plugin(Linear(head=torch.zeros(2), body=torch.zeros(2, 2)), algorithm.config)
    again.load_state_dict(algorithm.state_dict())
    assert torch.equal(again.rate(0, "head"), algorithm.rate(0, "head"))


def test_a_run_hands_them_over(cache: Path, tmp_path: Path, in_this_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = registry.load("algorithm", "meta_sgd")
    taken: list[dict[str, Tensor]] = []
    take = plugin.take_moments

    def taking(self: Any, moments: dict[str, Tensor]) -> None:
        taken.append(moments)
        take(self, moments)

    monkeypatch.setattr(plugin, "take_moments", taking)
    assert main([*RUN, "--cache", str(cache), "--output", str(tmp_path)]) == 0
    (moments,) = taken
    assert all(float(moments[name].abs().sum()) > 0 for name in ("new_speaker", "output.weight"))
    (result,) = tmp_path.glob("*/result.json")
    assert json.loads(result.read_text())["config"]["algo"]["adam_lr"] == 1e-4
