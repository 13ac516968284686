"""ANIL: MAML whose inner loop adapts the head alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmark.learning.outer_loop import InnerLoopAlgorithm
from benchmark.settings.ranges import Names


class ANIL(InnerLoopAlgorithm):
    """Raghu et al., "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML" (ICLR 2020), section 4.

    MAML's two loops. Only the head adapts to a new speaker; the outer loop learns the body, which is then reused unchanged.
    """

    search_space: ClassVar = {
        "inner_lr": (0.1, 0.2, 0.5, 1.0), "inner_steps": (1, 3), "groups": (("output",), ("decoder", "output"), ("embedding", "output")),
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopAlgorithm.Config):
        """Settings of inner and outer loop.

        Attributes:
            groups: parameter groups adapted in the inner loop and at test time: the head.
        """

        groups: Names = ("output",)


PLUGIN = ANIL
