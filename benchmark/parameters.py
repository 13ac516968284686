"""Parameters grouped by learning rate."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

OUTER_BOOSTS = (0.3, 1.0, 3.0)
"""The learning rates of training that ``tune`` chooses from for most algorithms, as multiples of the run's."""


class ParameterGroup(NamedTuple):
    """Parameters that the harness's optimiser updates at one rate.

    Attributes:
        parameters: each belongs to exactly one group.
        rate: learning rate, in multiples of the run's.
        weight_decay: None for the run's.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    weight_decay: float | None = None
