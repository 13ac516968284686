"""Fast weights: support phones are written into a matrix by outer products; queries read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import SynthesisBackbone
from benchmark.learning.recall import Cell, RecallLearner
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import Between0And1, Checked, PositiveFloat, PositiveInt

RULES = ("sum", "delta")


def write_sum(matrix: Tensor, key: Tensor, value: Tensor, rate: Tensor, decay: Tensor) -> Tensor:
    """A <- decay * A + rate * v k^T (Ba et al. 2016, equation 1): associations with one key add up.

    Args:
        matrix: A, (B, V, K).
        key: (B, K), of length 1.
        value: (B, V).
        rate: (B, 1), 0 to 1.
        decay: scalar, 0 to 1.
    """
    return decay * matrix + rate.unsqueeze(-1) * value.unsqueeze(-1) * key.unsqueeze(1)


def write_delta(matrix: Tensor, key: Tensor, value: Tensor, rate: Tensor, decay: Tensor) -> Tensor:
    """A <- decay * A + rate * (v - decay * A k) k^T (Schlag et al. 2021, section 4.2): v replaces what the key held.

    After a write with rate 1, reading the key gives exactly v. Shapes as in :func:`write_sum`.
    """
    faded = decay * matrix
    return write_sum(faded, key, value - (faded @ key.unsqueeze(-1)).squeeze(-1), rate, torch.ones_like(decay))


class FastWeights(Cell):
    """A matrix A of fast weights, written by outer products and read by A k.

    Ba et al., "Using Fast Weights to Attend to the Recent Past" (NeurIPS 2016), and Schlag et al., "Linear Transformers Are
    Secretly Fast Weight Programmers" (ICML 2021). Keys are normalised to length 1. The rate at which a pair is written
    is a learned function of the pair; the decay is one learned number.

    Args:
        rule: "sum" (:func:`write_sum`) or "delta" (:func:`write_delta`).
        key_dim: K.
        value_dim: V.
        decay: initial share of the matrix that a write keeps; above 0 and below 1.
    """

    def __init__(self, rule: str, key_dim: int, value_dim: int, decay: float = 0.999) -> None:
        super().__init__()
        self.key_dim, self.value_dim, self.shape = key_dim, value_dim, (value_dim, key_dim)
        self.write = {"sum": write_sum, "delta": write_delta}[rule]
        self.rate = nn.Linear(key_dim + value_dim, 1)
        nn.init.zeros_(self.rate.weight)
        nn.init.zeros_(self.rate.bias)
        self.decay_logit = nn.Parameter(torch.tensor(decay).logit())

    def store(self, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`Cell.store`."""
        rates = self.rate(torch.cat([keys, values], dim=-1)).sigmoid()
        keys, decay = F.normalize(keys, dim=-1, eps=1e-6), self.decay_logit.sigmoid()
        matrix = values.new_zeros(len(values), *self.shape)
        steps = zip(keys.unbind(1), values.unbind(1), rates.unbind(1), (mask > 0).unbind(1), strict=True)
        for key, value, rate, inside in steps:
            matrix = torch.where(inside[:, None, None], self.write(matrix, key, value, rate, decay), matrix)
        return matrix

    def read(self, memory: Tensor, keys: Tensor) -> Tensor:
        """See :meth:`Cell.read`: A k."""
        return F.normalize(keys, dim=-1, eps=1e-6) @ memory.transpose(1, 2)


class FastWeightMemory(RecallLearner):
    """Ba et al. (NeurIPS 2016), or the delta rule of Schlag et al. (ICML 2021): see :class:`FastWeights`.

    Adaptation writes the support into the matrix, without gradient steps; results are at 0 adaptation steps.
    """

    search_space: ClassVar = {
        "rule": RULES, "key_dim": (32, 64, 128), "value_dim": (32, 64), "decay": (0.95, 0.99, 0.999),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(Checked):
        """Size of the matrix, and how it is written.

        Attributes:
            rule: "delta" (a write replaces what its key held) or "sum" (outer products add up).
            key_dim: columns of the matrix, at least 1.
            value_dim: rows of the matrix, at least 1.
            decay: initial share of the matrix that a write keeps, above 0 and below 1; with "sum" use about 0.95, or reads
                grow with the support.
            outer_boost: the backbone's learning rate as a multiple of the run's, above 0; new layers learn ten times as fast.
        """

        rule: Literal["sum", "delta"] = "delta"
        key_dim: PositiveInt = 64
        value_dim: PositiveInt = 64
        decay: Between0And1 = 0.999
        outer_boost: PositiveFloat = 1.0

    def __init__(self, backbone: SynthesisBackbone, config: Config | None = None) -> None:
        c = config or self.Config()
        super().__init__(backbone, c, FastWeights(c.rule, c.key_dim, c.value_dim, c.decay))


PLUGIN = FastWeightMemory
