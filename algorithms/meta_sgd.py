"""Meta-SGD: MAML that also learns a signed rate for every single parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone
from benchmark.learning.inner_loop import dotless, speaker_vector
from benchmark.learning.outer_loop import InnerLoopAlgorithm
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import NonNegativeFloat, PositiveFloat

EPSILON = 0.1
"""Adam's epsilon in multiples of the root mean square of all adapted parameters' gradients. No rate is more than ten times what that
would give, even where the pretraining left no gradient, as in the embeddings of rare phones."""


class MetaSGD(InnerLoopAlgorithm):
    """Li et al., "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning" (2017), equations 2 and 3.

    Inner loop: theta_k = theta_(k-1) - alpha * grad L_support(theta_(k-1)), elementwise; the outer loop learns theta and alpha.
    The paper takes one step; here the same rates serve all ``inner_steps``. They are learned as multiples of the initial rate a,
    alpha = a * s with s = 1 at first. A rate may become negative, so that its parameter climbs. That is good for the steps
    it was trained for but would go on without end, so after ``inner_steps`` such parameters stay where they are.
    All speakers share the rates: none are stored per speaker.

    Rates start alike, or, with ``adam_lr``, as Adam's did for each number at the end of the pretraining: a = adam_lr / (sqrt(v) + epsilon)
    (Kingma & Ba, ICLR 2015, algorithm 1), where v is the running mean of its squared gradients, without its bias.
    """

    search_space: ClassVar = {
        "inner_lr": (0.03, 0.1, 0.2), "adam_lr": (0.0, 1e-4, 3e-4, 1e-3), "speaker_lr": (0.0, 1.0, 3.0), "first_order": (False, True),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopAlgorithm.Config):
        """Settings of inner and outer loop.

        Attributes:
            inner_lr: initial rate of every parameter, above 0.
            adam_lr: start from Adam's rates of the pretraining instead, scaled by this; 0: don't. ``speaker_lr``, if it is given, and
                the rates of what was not pretrained, such as an adapting vocoder, stay as they are.
        """

        inner_lr: PositiveFloat = 0.2
        adam_lr: NonNegativeFloat = 0.0

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.scales = nn.ParameterDict()
        for name in self.names:
            self.scales[dotless(name)] = nn.Parameter(torch.ones_like(backbone.get_parameter(name)))
        self.wants_moments = self.config.adam_lr > 0
        self.bases = nn.Module()
        for name in self.names if self.wants_moments else ():
            self.bases.register_buffer(dotless(name), torch.full_like(backbone.get_parameter(name), self.initial_rates[name]).detach())

    def take_moments(self, moments: Mapping[str, Tensor]) -> None:
        """See :meth:`Algorithm.take_moments`."""
        given = speaker_vector(self.backbone) if self.config.speaker_lr else ()
        own = {name: moments[name] for name in self.names if name in moments and name not in given}
        if own:
            epsilon = EPSILON * torch.cat([each.flatten() for each in own.values()]).mean().sqrt()
            for name, each in own.items():
                self.bases.get_buffer(dotless(name)).copy_(self.config.adam_lr / (each.sqrt() + epsilon))

    def learned_rates(self) -> list[nn.Parameter]:
        """See :meth:`InnerLoopAlgorithm.learned_rates`."""
        return list(self.scales.parameters())

    def rate(self, step: int, name: str) -> Tensor:
        """See :meth:`InnerLoopAlgorithm.rate`; the same in every step, but not negative beyond ``inner_steps``."""
        base = self.bases.get_buffer(dotless(name)) if self.wants_moments else self.initial_rates[name]
        rate: Tensor = base * self.scales[dotless(name)]
        return rate if step < self.config.inner_steps else rate.clamp_min(0.0)


PLUGIN = MetaSGD
