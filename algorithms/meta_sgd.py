"""Meta-SGD: MAML that also learns a signed rate for every single parameter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone
from benchmark.learning.outer_loop import InnerLoopAlgorithm
from benchmark.settings.ranges import PositiveFloat


class MetaSGD(InnerLoopAlgorithm):
    """Li et al., "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning" (2017), equations 2 and 3.

    Inner loop: theta_k = theta_(k-1) - alpha * grad L_support(theta_(k-1)), elementwise; the outer loop learns theta and alpha.
    The paper takes one step; here the same rates serve all ``inner_steps``. They are learned as multiples of the initial rate,
    alpha = inner_lr * s with s = 1 at first. A rate may become negative, so that its parameter climbs. That is good for the steps
    it was trained for but would go on without end, so after ``inner_steps`` such parameters stay where they are.
    All speakers share the rates: none are stored per speaker.
    """

    @dataclass(frozen=True)
    class Config(InnerLoopAlgorithm.Config):
        """Settings of inner and outer loop.

        Attributes:
            inner_lr: initial rate of every parameter, above 0.
        """

        inner_lr: PositiveFloat = 0.2

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.scales = nn.ParameterDict()
        for name in self.names:
            self.scales[_key(name)] = nn.Parameter(torch.ones_like(backbone.get_parameter(name)))

    def learned_rates(self) -> list[nn.Parameter]:
        """See :meth:`InnerLoopAlgorithm.learned_rates`."""
        return list(self.scales.parameters())

    def rate(self, step: int, name: str) -> Tensor:
        """See :meth:`InnerLoopAlgorithm.rate`; the same in every step, but not negative beyond ``inner_steps``."""
        rate: Tensor = self.config.inner_lr * self.scales[_key(name)]
        return rate if step < self.config.inner_steps else rate.clamp_min(0.0)


def _key(name: str) -> str:
    """Parameter names can't contain dots."""
    return name.replace(".", "/")


PLUGIN = MetaSGD
