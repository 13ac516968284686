"""Memory-augmented network: support phones are written into an external memory; queries read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbone import SynthesisBackbone
from benchmark.learning.recall import Cell, RecallLearner
from benchmark.parameters import OUTER_BOOSTS
from benchmark.settings.ranges import BelowOne, Checked, PositiveFloat, PositiveInt


def cosines(matrix: Tensor, keys: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i) / (|k| |M(i)|) (Graves et al. 2014, equation 6); 0 for rows of zeros.

    Args:
        matrix: the rows' keys, (B, N, K).
        keys: (B, Q, K).

    Returns:
        (B, Q, N).
    """
    return F.normalize(keys, dim=-1, eps=1e-6) @ F.normalize(matrix, dim=-1, eps=1e-6).transpose(1, 2)


def address(matrix: Tensor, keys: Tensor, strength: Tensor) -> Tensor:
    """Weights over slots by content, softmax_i(strength * K[k, M(i)]) (Graves et al. 2014, equation 5).

    Shapes as in :func:`cosines`; ``strength``, the paper's beta, is a scalar above 0.
    """
    return (strength * cosines(matrix, keys)).softmax(-1)


def erase(matrix: Tensor, weights: Tensor, vector: Tensor) -> Tensor:
    """M(i) * (1 - w(i) e) (Graves et al. 2014, equation 3).

    Args:
        matrix: (B, N, D).
        weights: (B, N), 0 to 1.
        vector: e, (B, D), 0 to 1; 1 erases fully.
    """
    return matrix * (1 - weights.unsqueeze(-1) * vector.unsqueeze(1))


def add(matrix: Tensor, weights: Tensor, vector: Tensor) -> Tensor:
    """M(i) + w(i) a (Graves et al. 2014, equation 4); shapes as in :func:`erase`."""
    return matrix + weights.unsqueeze(-1) * vector.unsqueeze(1)


def least_used(usage: Tensor) -> Tensor:
    """One-hot (B, N) of the least recently used slot, the first of equals (Santoro et al. 2016, section 3.2, with n = 1)."""
    return F.one_hot(usage.argmin(-1), usage.shape[-1]).to(usage.dtype)


class SlotMemory(Cell):
    """N rows M(i) = [key; value], looked up by key.

    Least-recently-used access of Santoro et al., "Meta-Learning with Memory-Augmented Neural Networks" (ICML 2016),
    section 3.2, with erase and add of Graves et al., "Neural Turing Machines" (2014), section 3.2. Writing [k; v]:

        w_read = address(M, k)
        g      = sigmoid(slope * (max_i K[k, M(i)] - threshold))
        w_old  = g * w_read,  w_new = (1 - g) * least_used(u)          Santoro's w_write is their sum
        M     <- f * M                                                 forget
        M(i)  <- M(i) * (1 - w_new(i)) + w_new(i) * [k; v]             overwrite the least recently used slot
        M(i)  <- M(i) * (1 - w_old(i) e) + w_old(i) * e * [k; v]       update the slots of a known key
        u     <- usage_decay * u + w_read + w_old + w_new

    f and e are learned functions of [k; v]. Santoro's g is one learned number, and its w_read is the previous step's,
    because a value arrives one step after its key. Here both arrive together, and g says whether the key is known:
    phones recur all the time, and each should have one slot.

    Args:
        slots: N.
        key_dim: K.
        value_dim: V.
        usage_decay: factor on the slots' usage at each write, 0 to below 1.
    """

    def __init__(self, slots: int, key_dim: int, value_dim: int, usage_decay: float = 0.95) -> None:
        super().__init__()
        self.key_dim, self.value_dim, self.usage_decay = key_dim, value_dim, usage_decay
        row = key_dim + value_dim
        self.shape = slots, row
        self.gates = nn.Linear(row, row + 1)
        nn.init.normal_(self.gates.weight, std=0.1 * row**-0.5)
        nn.init.zeros_(self.gates.bias)
        with torch.no_grad():
            self.gates.bias[-1] = 8.0  # keep nearly all: hundreds of writes follow one another
        self.log_strength = nn.Parameter(torch.tensor(10.0).log())
        self.slope = nn.Parameter(torch.tensor(20.0))
        self.threshold = nn.Parameter(torch.tensor(0.7))

    def store(self, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """See :meth:`Cell.store`."""
        rows = torch.cat([keys, values], dim=-1)
        gates = self.gates(rows).sigmoid()
        matrix, usage = rows.new_zeros(len(rows), *self.shape), rows.new_zeros(len(rows), self.shape[0])
        for row, gate, inside in zip(rows.unbind(1), gates.unbind(1), mask.to(rows.dtype).unsqueeze(-1).unbind(1), strict=True):
            written, used = self.write(matrix, usage, row, gate[:, :-1], gate[:, -1:])
            matrix = torch.where(inside.unsqueeze(-1) > 0, written, matrix)
            usage = torch.where(inside > 0, used, usage)
        return matrix

    def write(self, matrix: Tensor, usage: Tensor, row: Tensor, erasure: Tensor, retention: Tensor) -> tuple[Tensor, Tensor]:
        """One write; see the class.

        Args:
            matrix: (B, N, K + V).
            usage: (B, N).
            row: (B, K + V).
            erasure: e, (B, K + V), 0 to 1.
            retention: f, (B, 1), 0 to 1.

        Returns:
            The matrix and the usage after the write.
        """
        near = cosines(matrix[..., : self.key_dim], row[:, None, : self.key_dim]).squeeze(1)
        read = (self.log_strength.exp() * near).softmax(-1)  # address(), inlined: its cosines are needed twice
        known = (self.slope * (near.amax(-1, keepdim=True) - self.threshold)).sigmoid()
        old, new = known * read, (1 - known) * least_used(usage)
        matrix = retention.unsqueeze(-1) * matrix
        matrix = add(erase(matrix, new, torch.ones_like(row)), new, row)
        matrix = add(erase(matrix, old, erasure), old, erasure * row)
        return matrix, self.usage_decay * usage + read + old + new

    def read(self, memory: Tensor, keys: Tensor) -> Tensor:
        """See :meth:`Cell.read`: the rows' values, weighted by :func:`address`."""
        weights = address(memory[..., : self.key_dim], keys, self.log_strength.exp())
        return weights @ memory[..., self.key_dim :]


class Memory(RecallLearner):
    """Santoro et al. (ICML 2016) with the erase and add of Graves et al. (2014): see :class:`SlotMemory`.

    Adaptation writes the support into the memory, without gradient steps; results are at 0 adaptation steps. Unlike Santoro et al.'s,
    the memory has no recurrent controller and is not told labels a step late: the phones of the support are written once, and reading
    neither counts as usage nor moves anything but the new speaker's vector.
    """

    search_space: ClassVar = {
        "slots": (32, 64, 128), "key_dim": (32, 64), "value_dim": (32, 64, 128), "usage_decay": (0.9, 0.95),
        "outer_boost": OUTER_BOOSTS,
    }  # fmt: skip

    @dataclass(frozen=True)
    class Config(Checked):
        """Size of the memory, and how fast usage fades.

        Attributes:
            slots: rows of the memory, at least 2.
            key_dim: length of a row's key, at least 1.
            value_dim: length of a row's value, at least 1.
            outer_boost: the backbone's learning rate as a multiple of the run's, above 0; new layers learn ten times as fast.
            usage_decay: factor on all slots' usage at each write, 0 to below 1; the least used slot is overwritten next.
        """

        slots: Annotated[int, Ge(2)] = 64
        key_dim: PositiveInt = 64
        value_dim: PositiveInt = 64
        usage_decay: BelowOne = 0.95
        outer_boost: PositiveFloat = 1.0

    def __init__(self, backbone: SynthesisBackbone, config: Config | None = None) -> None:
        c = config or self.Config()
        super().__init__(backbone, c, SlotMemory(c.slots, c.key_dim, c.value_dim, c.usage_decay))


PLUGIN = Memory
