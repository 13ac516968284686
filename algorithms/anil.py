"""ANIL: MAML whose inner loop adapts the head alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmark.learning.outer_loop import InnerLoopAlgorithm
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import Names


class ANIL(InnerLoopAlgorithm):
    """Raghu et al., "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML" (ICLR 2020), section 4.

    MAML's two loops. Only the head adapts to a new speaker; the outer loop learns the body, which is then reused unchanged.
    """

    search_space: ClassVar = {
        "inner_lr": (0.1, 0.2, 0.5, 1.0), "speaker_lr": (0.0, 3.0), "groups": (("output",), ("embedding", "output")),
        "first_order": (False, True), "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(InnerLoopAlgorithm.Config):
        """Settings of inner and outer loop.

        Attributes:
            groups: parameter groups adapted in the inner loop and at test time: the head.
        """

        groups: Names = ("output",)


PLUGIN = ANIL
