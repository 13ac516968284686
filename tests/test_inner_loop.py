"""The inner loops against algebra and finite differences, not against themselves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark import registry
from benchmark.algorithm import Task
from benchmark.backbone import Backbone
from benchmark.batch import Batch
from benchmark.conformance import tiny_backbone, tiny_batch
from benchmark.errors import AdaptationFailed, UsageError
from benchmark.inner_loop import descend, select


class Quadratic(Backbone):
    """loss = 0.5 * a * (w - target)^2, the curvature a and the target being read from the batch."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.new_speaker = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        a, target = batch.pitch[0, 0], batch.energy[0, 0]
        return {"loss": (0.5 * a * (self.new_speaker - target) ** 2).sum()}

    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def speaker_vectors(self) -> Tensor:
        raise NotImplementedError

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        return {"all": ("new_speaker",)}


def point(a: float, target: float) -> Batch:
    """A batch that only says a curvature and a target."""
    one = torch.zeros(1, 1, dtype=torch.long)
    real = partial(torch.full, (1, 1), dtype=torch.float64)
    return Batch(one, one[0], one, real(0.0)[None], one[0], real(a), real(target), one[0])


def outer_gradient(name: str, **options: Any) -> float:
    plugin = registry.load("algorithm", name)
    model = Quadratic()
    algorithm = plugin(model, plugin.Config(**options))
    algorithm.meta_step([Task(point(3.0, 1.0), point(5.0, -1.0))])
    assert model.new_speaker.grad is not None
    return float(model.new_speaker.grad)


ALPHA, W = 0.1, 2.0


def test_maml_one_step_equals_algebra() -> None:
    adapted = W - ALPHA * 3 * (W - 1)
    assert outer_gradient("maml", inner_steps=1, inner_lr=ALPHA) == pytest.approx((1 - ALPHA * 3) * 5 * (adapted + 1), rel=1e-12)


def test_maml_three_steps_equal_algebra() -> None:
    shrink = (1 - ALPHA * 3) ** 3
    adapted = 1 + shrink * (W - 1)
    assert outer_gradient("maml", inner_steps=3, inner_lr=ALPHA) == pytest.approx(shrink * 5 * (adapted + 1), rel=1e-12)


def test_first_order_maml_drops_the_jacobian() -> None:
    adapted = W - ALPHA * 3 * (W - 1)
    assert outer_gradient("maml", inner_steps=1, inner_lr=ALPHA, first_order=True) == pytest.approx(5 * (adapted + 1), rel=1e-12)


def test_orders_agree_without_an_inner_loop() -> None:
    first = outer_gradient("maml", inner_steps=2, inner_lr=0.0, first_order=True)
    assert outer_gradient("maml", inner_steps=2, inner_lr=0.0) == pytest.approx(first, rel=1e-12) == pytest.approx(5 * (W + 1))


def test_reptile_equals_algebra() -> None:
    after_support = W - ALPHA * 3 * (W - 1)
    after_query = after_support - ALPHA * 5 * (after_support + 1)
    expected = (W - after_query) / (2 * ALPHA)
    assert outer_gradient("reptile", inner_steps=2, inner_lr=ALPHA, optimizer="sgd") == pytest.approx(expected, rel=1e-12)


def test_maml_on_the_real_backbone_equals_finite_differences() -> None:
    plugin = registry.load("algorithm", "maml")
    model = tiny_backbone().double()
    algorithm = plugin(model, plugin.Config(inner_steps=2, inner_lr=0.05, groups=("decoder", "embedding")))

    def double(batch: Batch) -> Batch:
        return Batch(**{k: v.double() if v.is_floating_point() else v for k, v in batch.__dict__.items()})

    tasks = [Task(double(tiny_batch(0, 2, 1)), double(tiny_batch(0, 2, 2)))]
    algorithm.meta_step(tasks)
    parameter = dict(model.named_parameters())["decoder.blocks.0.project.weight"]
    assert parameter.grad is not None
    grad = parameter.grad.clone()
    direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # Small, for the absolute error's kinks make the inner loop jump where a difference straddles one.
    epsilon = 1e-7
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(direction, alpha=sign * epsilon)
        values.append(algorithm.meta_step(tasks)["loss"])
        with torch.no_grad():
            parameter.sub_(direction, alpha=sign * epsilon)
    assert float((grad * direction).sum()) == pytest.approx((values[0] - values[1]) / (2 * epsilon), rel=1e-4)
    model.zero_grad()
    fomaml = plugin(model, plugin.Config(inner_steps=2, inner_lr=0.05, groups=("decoder", "embedding"), first_order=True))
    fomaml.meta_step(tasks)
    assert not torch.allclose(grad, parameter.grad if parameter.grad is not None else grad, rtol=1e-3)


def test_descend_equals_torch_training_and_leaves_the_model_alone() -> None:
    model, reference = tiny_backbone().eval(), tiny_backbone().eval()
    batch = tiny_batch(-1)
    before = {n: p.clone() for n, p in model.named_parameters()}
    names = select(model, ("all",))
    yielded = dict(descend(model, names, batch, partial(torch.optim.Adam, lr=1e-2), [0, 3]))
    own = dict(reference.named_parameters())
    optimizer = torch.optim.Adam([own[name] for name in names], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=False)
        reference.loss(batch)["loss"].backward()
        for name in names:
            if own[name].grad is None:
                own[name].grad = torch.zeros_like(own[name])
        optimizer.step()
    assert all(torch.equal(yielded[0][name], before[name]) for name in names)
    assert all(torch.allclose(yielded[3][name], own[name], atol=1e-7) for name in names)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_unknown_group_and_nan_loss() -> None:
    model = tiny_backbone()
    with pytest.raises(UsageError, match="no group 'tail'"):
        select(model, ("tail",))
    with torch.no_grad():
        model.new_speaker.fill_(float("nan"))
    with pytest.raises(AdaptationFailed, match="not finite"):
        list(descend(model, ("new_speaker",), tiny_batch(-1), partial(torch.optim.SGD, lr=0.1), [1]))
