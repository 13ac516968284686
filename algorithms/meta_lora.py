"""Meta-learned adapters: a speaker is a few low-rank changes of the weights, whose start and rates are learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from benchmark.algorithm import Adapted
from benchmark.backbone import Backbone
from benchmark.batch import Batch
from benchmark.learning import lora
from benchmark.learning.inner_loop import descend, dotless, select
from benchmark.learning.lora import LoRAModel
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import PositiveFloat, PositiveInt

from .maml_adam import MAMLAdam


class MetaLoRA(MAMLAdam):
    """MAML (Finn, Abbeel & Levine, ICML 2017, equation 1) on low-rank adapters (Hu et al., "LoRA", ICLR 2022, equation 3).

    Each weight matrix W becomes W + B A with A of shape (rank, in) and B of shape (out, rank); a convolution's inputs are those of all
    its taps. The inner loop moves A, B and what has one dimension (biases, the new speaker's vector) by Adam's steps, as
    :class:`MAMLAdam` does, and nothing else is stored for a speaker. The outer loop learns where A and B start, W, and a rate for each
    of A, B and the vectors in each step:

        A_k, B_k = Adam step k of L_support(W + B A);    minimise L_query(W + B_K A_K) over W, A_0, B_0 and the rates.

    So training chooses the directions in which weights may move for a new speaker; fine-tuning with adapters draws them at random.
    """

    search_space: ClassVar = {
        "lora_rank": (4, 8), "adapter_lr": (1e-2, 3e-2, 1e-1), "speaker_lr": (0.03, 0.1, 0.3), "first_order": (False, True),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(MAMLAdam.Config):
        """Settings of inner and outer loop.

        Attributes:
            lora_rank: of every adapter, at least 1; less where a layer is narrower, and B A then counts lora_rank / rank times.
            adapter_lr: initial rate of the adapters, above 0; ``inner_lr`` is that of biases.
        """

        lora_rank: PositiveInt = 8
        adapter_lr: PositiveFloat = 3e-2

    def __init__(self, backbone: Backbone, config: Config | None = None) -> None:
        super().__init__(backbone, config)
        self.adapters = nn.ParameterDict({dotless(name): value for name, value in lora.initial(backbone, self.ranks).items()})
        self.initial_rates |= {name: self.config.adapter_lr for name in lora.sizes(backbone, self.ranks)}

    def choose(self, backbone: Backbone) -> tuple[str, ...]:
        """See :meth:`InnerLoopAlgorithm.choose`: adapters and vectors."""
        names = select(backbone, self.config.groups)
        self.ranks = lora.ranks(backbone, names, self.config.lora_rank, linear=False)
        vectors = tuple(name for name in names if backbone.get_parameter(name).dim() == 1)
        return *lora.sizes(backbone, self.ranks), *vectors

    def start(self, learned: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See :meth:`InnerLoopAlgorithm.start`."""
        return {
            name: learned[f"backbone.{name}" if lora.weight_of(name) == name else f"adapters.{dotless(name)}"] for name in self.names
        }

    def place(self, learned: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See :meth:`InnerLoopAlgorithm.place`: W + B A."""
        weights = {name: learned[f"backbone.{name}"] for name in self.ranks}
        return lora.merged(weights, values, self.config.lora_rank)

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """See :meth:`Algorithm.adapt`."""
        learned = {name: parameter.detach() for name, parameter in self.named_parameters()}
        start, place = self.start(learned), partial(self.place, learned)
        for step, values in descend(self.backbone, self.names, support, self.stepper(), steps, start, place):
            yield step, LoRAModel(self.backbone, values, alpha=self.config.lora_rank)

    def adapted_parameters(self) -> dict[str, int]:
        """See :meth:`Algorithm.adapted_parameters`."""
        return {name: value.numel() for name, value in self.start(dict(self.named_parameters())).items()}


PLUGIN = MetaLoRA
