"""Algorithms say how fast their parameters learn in relation to one another, and the harness's optimiser does as told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmark.learning.outer_loop import RATE_SPEED
from benchmark.learning.recall import SPEED
from benchmark.parameters import ParameterGroup
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_backbone
from benchmark.running.training import WEIGHT_DECAY, Budget, fit

LEARNED_RATES = {"meta_sgd": "scales.", "maml_plus_plus": "log_rates", "maml_adam": "log_rates", "meta_lora": "log_rates"}
QUICK = {"memory": ("values.", "project."), "fast_weights": ("values.", "project.")}
BOOSTED = ("metric", "style")


@pytest.mark.parametrize("name", list(registry.find("algorithm")))
def test_each_parameter_is_in_exactly_one_group(name: str) -> None:
    algorithm = registry.load("algorithm", name)(tiny_backbone())
    grouped = [id(parameter) for group in algorithm.parameter_groups() for parameter in group.parameters]
    assert sorted(grouped) == sorted(id(parameter) for parameter in algorithm.parameters())


@pytest.mark.parametrize("name", LEARNED_RATES)
def test_learned_inner_rates_learn_faster_and_are_drawn_nowhere(name: str) -> None:
    algorithm = registry.load("algorithm", name)(tiny_backbone())
    weights, rates = algorithm.parameter_groups()
    named = {id(value): key for key, value in algorithm.named_parameters()}
    assert {named[id(each)] for each in rates.parameters} == {key for key in named.values() if key.startswith(LEARNED_RATES[name])}
    assert (weights.rate, weights.weight_decay) == (1, None) and (rates.rate, rates.weight_decay) == (RATE_SPEED, 0)


@pytest.mark.parametrize("name", QUICK)
def test_new_layers_of_memories_learn_faster_than_the_pretrained_backbone(name: str) -> None:
    algorithm = registry.load("algorithm", name)(tiny_backbone())
    rest, quick = algorithm.parameter_groups()
    named = {id(value): key for key, value in algorithm.named_parameters()}
    assert {named[id(each)] for each in quick.parameters} == {key for key in named.values() if key.startswith(QUICK[name])}
    assert (rest.rate, quick.rate) == (1, SPEED)


@pytest.mark.parametrize("name", BOOSTED)
def test_the_configuration_says_how_fast_an_encoder_learns(name: str) -> None:
    plugin = registry.load("algorithm", name)
    algorithm = plugin(tiny_backbone(), plugin.Config(encoder_boost=7.0))
    backbone, new = algorithm.parameter_groups()
    assert {id(each) for each in algorithm.backbone.parameters()} <= {id(each) for each in backbone.parameters}
    assert new.parameters and (backbone.rate, new.rate) == (1, 7)


EVERY = {name: registry.load("algorithm", name) for name in registry.find("algorithm")}
TUNABLE = [name for name, plugin in EVERY.items() if plugin.trains and plugin.search_space and not plugin.role]


@pytest.mark.parametrize("name", TUNABLE)
def test_every_learner_is_tuned_in_how_fast_its_backbone_learns(name: str) -> None:
    plugin = registry.load("algorithm", name)
    option = "training_boost" if name == "finetune" else "outer_boost"
    assert option in plugin.search_space and option not in plugin.adaptation_only
    plain, boosted = (plugin(tiny_backbone(), plugin.Config(**{option: boost})).parameter_groups() for boost in (1.0, 3.0))
    assert (plain[0].rate, boosted[0].rate) == (1, 3)
    # Learned inner rates have a scale of their own.
    assert [group.rate for group in boosted[1:]] == [(1 if name in LEARNED_RATES else 3) * group.rate for group in plain[1:]]


class Learner(nn.Module):
    """Two pairs of parameters, each pair with rates of its own: one moved by its gradient, one by the decay alone."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.fast = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.decayed, self.kept = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([self.slow, self.decayed]), ParameterGroup([self.fast, self.kept], 30.0, weight_decay=0.0)]

    def meta_step(self, item: object) -> dict[str, float]:
        for parameter, gradient in ((self.slow, 1.0), (self.fast, 1.0), (self.decayed, 0.0), (self.kept, 0.0)):
            parameter.grad = torch.full((1,), gradient)
        return {"loss": 0.0}


def test_the_optimiser_moves_each_group_at_its_own_rate_and_decay(tmp_path: Path) -> None:
    learner, rate = Learner(), 1.0
    fit(learner, lambda step: torch.zeros(1), rate, Budget(steps=1), 0, tmp_path / "x.ckpt")
    # Adam's first step moves a parameter by the rate, whatever its gradient; the schedule scales all rates alike.
    assert float(learner.fast) == pytest.approx(30 * float(learner.slow), rel=1e-4)
    assert 0 < -float(learner.slow) <= rate
    assert float(learner.kept) == 1
    assert 1 - float(learner.decayed) == pytest.approx(-float(learner.slow) * WEIGHT_DECAY, rel=0.02)
