"""Low-rank adapters: a few numbers per linear layer instead of all of its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.algorithm import AdaptedModel
from benchmark.backbone import Backbone
from benchmark.errors import UsageError

A, B = ".lora_A", ".lora_B"


def ranks(backbone: Backbone, names: Sequence[str], rank: int) -> dict[str, int]:
    """The linear layers' weights among the named parameters, and each one's rank.

    That is ``rank``, or the layer's smaller side if that is less: no change of its weight has a higher rank.

    Raises:
        UsageError: there is no linear layer, or ``rank`` is larger than the smaller side of every one.
    """
    weights = {f"{name}.weight": module.weight for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    sides = {name: min(weights[name].shape) for name in names if name in weights}
    if not sides:
        raise UsageError("lora_rank needs groups with linear layers in them; the chosen groups have none.")
    if rank > max(sides.values()):
        largest = max(sides, key=sides.__getitem__)
        most = f"the largest, {largest}, takes a rank of up to {sides[largest]}"
        raise UsageError(f"lora_rank {rank} is larger than every layer: {most}; lower lora_rank.")
    return {name: min(rank, side) for name, side in sides.items()}


def sizes(backbone: Backbone, chosen: Mapping[str, int]) -> dict[str, int]:
    """How many numbers each adapter holds."""
    shapes = {name: backbone.get_parameter(name).shape for name in chosen}
    return {name + end: rank * shapes[name][1 if end == A else 0] for name, rank in chosen.items() for end in (A, B)}


def weight_of(name: str) -> str:
    """The weight that an adapter belongs to; any other name is returned unchanged."""
    return name.removesuffix(A).removesuffix(B)


def initial(backbone: Backbone, chosen: Mapping[str, int]) -> dict[str, Tensor]:
    """Adapters that change nothing yet: A of shape (rank, in) is random, B of shape (out, rank) is zero.

    Args:
        backbone: has the adapted layers.
        chosen: weight names and ranks, from :func:`ranks`.
    """
    adapters: dict[str, Tensor] = {}
    for name, rank in chosen.items():
        weight = backbone.get_parameter(name)
        out, into = weight.shape
        # Uniform within 1/sqrt(in), as in the authors' code and in PEFT.
        adapters[name + A] = nn.init.kaiming_uniform_(weight.new_empty(rank, into), a=math.sqrt(5))
        adapters[name + B] = weight.new_zeros(out, rank)
    return adapters


def merged(backbone: Backbone, values: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """W + (alpha / rank) B A for each adapted weight W: Hu et al., "LoRA" (ICLR 2022), section 4.1, equation 3.

    Args:
        backbone: holds W.
        values: adapters by name; other values are passed on unchanged.
        alpha: the update's scale before it is divided by the rank.
    """
    result = {name: value for name, value in values.items() if not name.endswith((A, B))}
    for key, down in values.items():
        if key.endswith(A):
            name = key.removesuffix(A)
            result[name] = backbone.get_parameter(name).detach() + alpha / down.shape[0] * (values[name + B] @ down)
    return result


@dataclass(frozen=True)
class LoRAModel(AdaptedModel):
    """A model that is stored as adapters.

    Attributes:
        alpha: see :func:`merged`.
    """

    alpha: float = 1.0

    def replaced(self) -> dict[str, Tensor]:
        """See :meth:`AdaptedModel.replaced`."""
        return merged(self.backbone, super().replaced(), self.alpha)
