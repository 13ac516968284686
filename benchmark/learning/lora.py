"""Low-rank adapters: a few numbers per weight matrix instead of all of it. A convolution's is (out, in * taps)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.algorithm import AdaptedModel
from benchmark.backbone import Backbone
from benchmark.errors import UsageError

A, B = ".lora_A", ".lora_B"


def ranks(backbone: Backbone, names: Sequence[str], rank: int, linear: bool = True) -> dict[str, int]:
    """The linear layers' weights among the named parameters, and each one's rank.

    That is ``rank``, or the layer's smaller side if that is less: no change of its weight has a higher rank.

    Args:
        backbone: has the parameters.
        names: of parameters.
        rank: at least 1.
        linear: False for all parameters of two dimensions or more, those of convolutions and recurrent layers too.

    Raises:
        UsageError: there is no such layer, or ``rank`` is larger than the smaller side of every one.
    """
    weights = {name: backbone.get_parameter(name) for name in names if backbone.get_parameter(name).dim() > 1}
    if linear:
        layers = {f"{name}.weight" for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
        weights = {name: weight for name, weight in weights.items() if name in layers}
    sides = {name: min(weight.flatten(1).shape) for name, weight in weights.items()}
    if not sides:
        raise UsageError("lora_rank needs groups with linear layers in them; the chosen groups have none.")
    if rank > max(sides.values()):
        largest = max(sides, key=sides.__getitem__)
        most = f"the largest, {largest}, takes a rank of up to {sides[largest]}"
        raise UsageError(f"lora_rank {rank} is larger than every layer: {most}; lower lora_rank.")
    return {name: min(rank, side) for name, side in sides.items()}


def sizes(backbone: Backbone, chosen: Mapping[str, int]) -> dict[str, int]:
    """How many numbers each adapter holds."""
    shapes = {name: backbone.get_parameter(name).flatten(1).shape for name in chosen}
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
        out, into = weight.flatten(1).shape
        # Uniform within 1/sqrt(in), as in the authors' code and in PEFT.
        adapters[name + A] = nn.init.kaiming_uniform_(weight.new_empty(rank, into), a=math.sqrt(5))
        adapters[name + B] = weight.new_zeros(out, rank)
    return adapters


def merged(weights: Mapping[str, Tensor], values: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """W + (alpha / rank) B A for each adapted weight W: Hu et al., "LoRA" (ICLR 2022), section 4.1, equation 3.

    Args:
        weights: W by name.
        values: adapters by name; other values are passed on unchanged.
        alpha: the update's scale before it is divided by the rank.
    """
    result = {name: value for name, value in values.items() if not name.endswith((A, B))}
    for key, down in values.items():
        if key.endswith(A):
            name = key.removesuffix(A)
            result[name] = weights[name] + alpha / down.shape[0] * (values[name + B] @ down).view_as(weights[name])
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
        return merged(frozen(self.backbone), super().replaced(), self.alpha)


def frozen(backbone: Backbone) -> dict[str, Tensor]:
    """The backbone's parameters, detached."""
    return {name: parameter.detach() for name, parameter in backbone.named_parameters()}
