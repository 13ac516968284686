"""Fast weights against closed forms, and against what a memory is for."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import Tensor

from tests.recall_helpers import Control, Recaller, recall_accuracy, size

plugin = importlib.import_module("benchmark.algorithms.fast_weights")


def pairs(length: int, key_dim: int, value_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keys of length 1 (1, L, K), values (1, L, V), and rates (L,), in float64."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(1, length, key_dim, generator=generator, dtype=torch.float64)
    values = torch.randn(1, length, value_dim, generator=generator, dtype=torch.float64)
    return keys / keys.norm(dim=-1, keepdim=True), values, torch.rand(length, generator=generator, dtype=torch.float64)


def write_all(rule: str, keys: Tensor, values: Tensor, rates: Tensor, decay: float) -> Tensor:
    """The matrix (V, K) after all writes."""
    matrix = keys.new_zeros(1, values.shape[-1], keys.shape[-1])
    write = {"sum": plugin.write_sum, "delta": plugin.write_delta}[rule]
    for t in range(keys.shape[1]):
        matrix = write(matrix, keys[:, t], values[:, t], rates[t].view(1, 1), torch.tensor(decay, dtype=torch.float64))
    return matrix[0]


def test_sum_rule_equals_its_closed_form() -> None:
    keys, values, rates = pairs(6, 4, 3)
    expected = sum(rates[t] * 0.9 ** (5 - t) * torch.outer(values[0, t], keys[0, t]) for t in range(6))
    torch.testing.assert_close(write_all("sum", keys, values, rates, 0.9), expected)


def test_delta_rule_equals_its_closed_form() -> None:
    keys, values, rates = pairs(6, 4, 3)
    # A_t = d A_(t-1) (I - b k k^T) + b v k^T, unrolled: each write goes through the projections of all later ones.
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for t in range(6):
        term = rates[t] * torch.outer(values[0, t], keys[0, t])
        for later in range(t + 1, 6):
            key = keys[0, later]
            term = 0.9 * term @ (torch.eye(4, dtype=torch.float64) - rates[later] * torch.outer(key, key))
        expected += term
    torch.testing.assert_close(write_all("delta", keys, values, rates, 0.9), expected)


def test_delta_rule_replaces_and_sum_rule_adds() -> None:
    keys, values, _ = pairs(2, 4, 3)
    keys = keys[:, :1].expand(-1, 2, -1)
    one = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(write_all("delta", keys, values, one, 0.9) @ keys[0, 0], values[0, 1])
    torch.testing.assert_close(write_all("sum", keys, values, one, 1.0) @ keys[0, 0], values[0].sum(0))
    partly = write_all("delta", keys, values, 0.25 * one, 1.0) @ keys[0, 0]
    torch.testing.assert_close(partly, 0.75 * 0.25 * values[0, 0] + 0.25 * values[0, 1])


def test_decay_forgets() -> None:
    keys, values, _ = pairs(2, 4, 3)
    rates = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for rule in plugin.RULES:
        assert not write_all(rule, keys, values, rates, 0.0).any()
        torch.testing.assert_close(write_all(rule, keys, values, rates, 0.5), 0.5 * torch.outer(values[0, 0], keys[0, 0]))


@pytest.mark.parametrize("rule", plugin.RULES)
def test_orthogonal_keys_read_their_own_values(rule: str) -> None:
    cell = plugin.FastWeights(rule, 4, 3, decay=0.999999)
    with torch.no_grad():
        cell.rate.bias.fill_(50.0)
    values = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    keys = 7 * torch.eye(4)[None]
    memory = cell.store(keys, values, torch.ones(1, 4))
    assert memory.shape == (1, *cell.shape)
    torch.testing.assert_close(cell.read(memory, keys), values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rule", plugin.RULES)
def test_recalls_what_a_larger_network_without_memory_does_not(rule: str) -> None:
    torch.manual_seed(0)
    model, control = Recaller(plugin.FastWeights(rule, 16, 16)), Control()
    assert size(control) >= size(model)
    assert recall_accuracy(model, 60) > 0.9
    assert recall_accuracy(control, 60) < 0.5


def test_config_is_checked() -> None:
    for options, message in (
        ({"rule": "hebb"}, "rule must be one of sum, delta, not hebb"),
        ({"key_dim": 0}, "key_dim must be at least 1, not 0"),
        ({"decay": 1.0}, "decay must be below 1, not 1"),
    ):
        with pytest.raises(ValueError, match=message):
            plugin.FastWeightMemory.Config(**options)
