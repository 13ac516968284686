"""The slot memory against its papers' equations, written out in loops, and against what a memory is for."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.recall_helpers import Control, Recaller, recall_accuracy, size

plugin = importlib.import_module("benchmark.algorithms.memory")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0


def softmax(scores: list[float]) -> np.ndarray:
    powers = np.array([math.exp(score) for score in scores])
    return np.asarray(powers / powers.sum())


def exact(slots: int = 3) -> plugin.SlotMemory:  # type: ignore[name-defined]
    """A memory whose gates are all but hard: it forgets nothing, and a known row is replaced."""
    cell = plugin.SlotMemory(slots, 4, 2)
    with torch.no_grad():
        cell.gates.weight.zero_()
        cell.gates.bias.fill_(50.0)
        cell.log_strength.fill_(math.log(200.0))
        cell.slope.fill_(200.0)
    return cell


def written(cell: plugin.SlotMemory, order: str, values: Tensor) -> Tensor:  # type: ignore[name-defined]
    """The memory (N, K + V) after writing pairs whose keys, "a" to "d", are orthogonal."""
    keys = torch.eye(4)[["abcd".index(letter) for letter in order]]
    return cell.store(keys[None], values[None], torch.ones(1, len(order)))[0].detach()  # type: ignore[no-any-return]


def test_addressing_is_a_softmax_of_cosines() -> None:
    matrix, keys, beta = normal(2, 5, 3), normal(2, 4, 3, seed=1), 3.7
    matrix[0, 2] = 0
    weights = plugin.address(matrix, keys, torch.tensor(beta))
    for b in range(2):
        for q in range(4):
            expected = softmax([beta * cosine(matrix[b, i].numpy(), keys[b, q].numpy()) for i in range(5)])
            np.testing.assert_allclose(weights[b, q].numpy(), expected, rtol=1e-5)


def test_reading_weighs_values() -> None:
    cell = plugin.SlotMemory(5, 3, 2)
    matrix, keys = normal(1, 5, 5), normal(1, 1, 3, seed=1)
    weights = plugin.address(matrix[..., :3], keys, torch.tensor(10.0))[0, 0]
    expected = sum(weights[i] * matrix[0, i, 3:] for i in range(5))
    torch.testing.assert_close(cell.read(matrix, keys)[0, 0].detach(), expected)


def test_erase_wipes_what_it_is_pointed_at_and_nothing_else() -> None:
    matrix = normal(1, 4, 3)
    erased = plugin.erase(matrix, torch.tensor([[0.0, 1.0, 0.5, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]]))
    assert torch.equal(erased[0, [0, 3]], matrix[0, [0, 3]])
    assert torch.equal(erased[0, 1], matrix[0, 1] * torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(erased[0, 2], matrix[0, 2] * torch.tensor([0.5, 1.0, 0.5]))
    added = plugin.add(torch.zeros_like(matrix), torch.tensor([[0.0, 1.0, 0.5, 0.0]]), torch.tensor([[2.0, 4.0, 6.0]]))
    assert added[0].tolist() == [[0, 0, 0], [2, 4, 6], [1, 2, 3], [0, 0, 0]]


def test_forgetting_leaves_only_what_is_written_then() -> None:
    cell = exact()
    before, row, wipe = normal(1, 3, 6), torch.tensor([[0.0, 0, 0, 1, 5, 6]]), torch.ones(1, 6)
    before[..., 3] = 0  # no slot knows the key
    gone, _ = cell.write(before, torch.tensor([[1.0, 0.0, 1.0]]), row, wipe, torch.zeros(1, 1))
    torch.testing.assert_close(gone[0], torch.stack([0 * row[0], row[0], 0 * row[0]]))
    kept, _ = cell.write(before, torch.tensor([[1.0, 0.0, 1.0]]), row, wipe, torch.ones(1, 1))
    torch.testing.assert_close(kept[0], torch.stack([before[0, 0], row[0], before[0, 2]]))


def test_a_new_key_takes_the_slot_used_least_lately() -> None:
    assert plugin.least_used(torch.tensor([[3.0, 0.5, 0.5, 2.0]])).tolist() == [[0, 1, 0, 0]]
    values = normal(5, 2)
    full = written(exact(), "abcd", values[:4])  # the fourth takes the first one's slot
    torch.testing.assert_close(full, torch.cat([torch.eye(4)[[3, 1, 2]], values[[3, 1, 2]]], dim=1))
    spared = written(exact(), "abcad", values)  # "a" was just used: "b" goes
    torch.testing.assert_close(spared, torch.cat([torch.eye(4)[[0, 3, 2]], values[[3, 4, 2]]], dim=1))


def test_a_known_key_updates_its_slot_as_far_as_the_erase_gate_says() -> None:
    cell, values = exact(), torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    assert written(cell, "aa", values)[0].tolist() == pytest.approx([1, 0, 0, 0, 3, 30])
    with torch.no_grad():
        cell.gates.bias[:-1] = math.log(0.25 / 0.75)
    assert written(cell, "aa", values)[0].tolist() == pytest.approx([1, 0, 0, 0, 1.5, 15])


def test_a_row_of_writes_equals_the_equations_in_loops() -> None:
    torch.manual_seed(0)
    n, k, v, length = 4, 3, 2, 12
    cell = plugin.SlotMemory(n, k, v, usage_decay=0.9).double()
    with torch.no_grad():
        cell.gates.weight.normal_()
        cell.gates.bias[-1] = 1.0
        cell.threshold.fill_(0.3)
        cell.slope.fill_(4.0)
    keys, values = normal(1, length, k).double(), normal(1, length, v, seed=1).double()
    weight, bias = cell.gates.weight.detach().numpy(), cell.gates.bias.detach().numpy()
    matrix, usage = np.zeros((n, k + v)), np.zeros(n)
    for t in range(length):
        row = np.concatenate([keys[0, t].numpy(), values[0, t].numpy()])
        gates = 1 / (1 + np.exp(-(weight @ row + bias)))
        near = [cosine(matrix[i, :k], row[:k]) for i in range(n)]
        read = softmax([10 * c for c in near])
        g = 1 / (1 + math.exp(-4 * (max(near) - 0.3)))
        lowest = min(range(n), key=lambda i: usage[i])
        for i in range(n):
            new, old = (1 - g) * (i == lowest), g * read[i]
            for d in range(k + v):
                value = gates[-1] * matrix[i, d]
                value = value * (1 - new) + new * row[d]
                matrix[i, d] = value * (1 - old * gates[d]) + old * gates[d] * row[d]
            usage[i] = 0.9 * usage[i] + read[i] + old + new
    np.testing.assert_allclose(cell.store(keys, values, torch.ones(1, length))[0].detach().numpy(), matrix, rtol=1e-6)


def test_recalls_what_a_larger_network_without_memory_does_not() -> None:
    torch.manual_seed(0)
    model, control = Recaller(plugin.SlotMemory(12, 16, 16)), Control()
    assert size(control) >= size(model)
    assert recall_accuracy(model, 30) > 0.95
    assert recall_accuracy(control, 30) < 0.5


def test_config_is_checked() -> None:
    for options, message in (
        ({"slots": 1}, "slots must be at least 2, not 1"),
        ({"usage_decay": 1.0}, "usage_decay must be below 1, not 1"),
        ({"value_dim": 0}, "value_dim must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            plugin.Memory.Config(**options)
