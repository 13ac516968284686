"""Meta-gradients through a whole backbone against finite differences."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from pytest import approx
from torch import Tensor

from benchmark.backbone import Backbone
from benchmark.batch import NEW_SPEAKER, Batch
from benchmark.plugins import registry
from benchmark.plugins.conformance.tiny import tiny_batch
from benchmark.task import Task


def in_double(batch: Batch) -> Batch:
    """The same batch in double precision."""
    values = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return replace(batch, **{name: value.double() for name, value in values.items() if value.is_floating_point()})


def assert_meta_gradients(backbone: Backbone, step: float = 1e-6, rel: float = 1e-5) -> None:
    """MAML's gradient through two inner steps is the slope of its loss along random directions.

    Args:
        backbone: small; it is put into double precision.
        step: along a direction, to either side.
        rel: tolerance. Losses have kinks, so it is not that of a smooth function.
    """
    plugin = registry.load("algorithm", "maml")
    algorithm = plugin(backbone, plugin.Config(inner_steps=2, inner_lr=0.1)).double()
    support, query = (in_double(tiny_batch(NEW_SPEAKER, 2, seed)) for seed in (0, 1))
    task = Task(support, query)
    algorithm.meta_step([task])
    # The mean speaker follows the training speakers' vectors without teaching them anything.
    parameters = [backbone.get_parameter(name) for name in backbone.adaptable_groups()["all"]]
    gradient = [torch.as_tensor(p.grad).clone() for p in parameters]
    assert sum(bool(grad.any()) for grad in gradient) > 0.9 * len(gradient)
    generator = torch.Generator().manual_seed(0)

    def move(directions: list[Tensor], distance: float) -> float:
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=distance)
        return float(algorithm.meta_step([task])["loss"])

    for _ in range(3):
        directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        ahead, behind = move(directions, step), move(directions, -2 * step)
        move(directions, step)
        slope = sum(float((grad * direction).sum()) for grad, direction in zip(gradient, directions, strict=True))
        assert (ahead - behind) / (2 * step) == approx(slope, rel=rel)
