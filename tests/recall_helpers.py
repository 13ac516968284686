"""Associative recall, the task that memories are for: pairs are shown, then one of their keys; what was its value?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.learning.recall import Cell

SYMBOLS, LABELS, PAIRS, WIDTH = 24, 8, 8, 16


class Recaller(nn.Module):
    """Embeddings, the memory under test, a linear read-out."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.keys, self.values = nn.Embedding(SYMBOLS, WIDTH), nn.Embedding(LABELS, WIDTH)
        self.output = nn.Linear(WIDTH, LABELS)

    def forward(self, keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
        """Symbols and labels (B, L) and a symbol (B,) to scores (B, LABELS)."""
        memory = self.cell.store(self.keys(keys), self.values(values), torch.ones_like(keys))
        return self.output(self.cell.read(memory, self.keys(query)[:, None]).squeeze(1))  # type: ignore[no-any-return]


class Control(nn.Module):
    """The same with an LSTM, which has to keep all pairs in its state: the control of Santoro et al. and of Ba et al."""

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.keys, self.values = nn.Embedding(SYMBOLS, WIDTH), nn.Embedding(LABELS, WIDTH)
        self.lstm = nn.LSTM(2 * WIDTH, hidden, batch_first=True)
        self.output = nn.Linear(hidden, LABELS)

    def forward(self, keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
        """See :class:`Recaller`."""
        pairs = torch.cat([self.keys(keys), self.values(values)], dim=-1)
        last = torch.cat([self.keys(query), torch.zeros(len(query), WIDTH)], dim=-1)[:, None]
        return self.output(self.lstm(torch.cat([pairs, last], dim=1))[0][:, -1])  # type: ignore[no-any-return]


def size(model: nn.Module) -> int:
    """How many parameters it has."""
    return sum(parameter.numel() for parameter in model.parameters())


def episodes(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Different symbols and random labels (count, PAIRS), one of the symbols, and its label."""
    keys = torch.rand(count, SYMBOLS).argsort(1)[:, :PAIRS]
    values = torch.randint(LABELS, (count, PAIRS))
    asked = torch.randint(PAIRS, (count, 1))
    return keys, values, keys.gather(1, asked).squeeze(1), values.gather(1, asked).squeeze(1)


def recall_accuracy(model: nn.Module, steps: int) -> float:
    """Share of labels recalled after so many steps of Adam on 64 episodes each; guessing gives 1 / LABELS."""
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        keys, values, query, answer = episodes(64)
        optimizer.zero_grad()
        F.cross_entropy(model(keys, values, query), answer).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        keys, values, query, answer = episodes(1000)
        return float((model(keys, values, query).argmax(-1) == answer).float().mean())
