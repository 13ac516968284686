"""How fast parameters learn in relation to one another."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn


class ParameterGroup(NamedTuple):
    """Parameters that the harness's optimiser moves at a rate of their own.

    Attributes:
        parameters: each in one group.
        rate: in multiples of the run's learning rate.
        weight_decay: None for the run's.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    weight_decay: float | None = None
