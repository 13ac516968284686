"""CTC that can be differentiated twice, against torch's, which can't, and against enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.learning.ctc import ctc_loss, differentiable_ctc_loss, has_path
from tools import ctc_speed

BOTH = pytest.mark.parametrize("loss", [ctc_loss, differentiable_ctc_loss])


def example() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(5, 20, 7, requires_grad=True, dtype=torch.float64)
    lengths, counts = torch.tensor([20, 18, 12, 9, 3]), torch.tensor([6, 4, 1, 0, 3])
    targets = torch.randint(1, 7, (5, 6)) * (torch.arange(6) < counts[:, None])
    targets[0, 1] = targets[0, 0]  # a repeated character needs a blank between
    targets[4, :3] = 2  # and three of them need five steps, two more than there are
    return logits, lengths, targets, counts


@BOTH
def test_value_and_gradient_are_torchs(loss: Callable[..., Tensor]) -> None:
    logits, lengths, targets, counts = example()
    scores = logits.log_softmax(-1)
    theirs = F.ctc_loss(scores.transpose(0, 1), targets, lengths, counts, reduction="none", zero_infinity=True)
    ours = loss(scores, lengths, targets, counts)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    weights = torch.rand(5, dtype=torch.float64)
    expected = torch.autograd.grad(theirs @ weights, logits, retain_graph=True)
    for twice in (False, True):
        found = torch.autograd.grad(ours @ weights, logits, create_graph=twice, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@BOTH
def test_a_model_that_is_surely_wrong_has_torchs_value_and_gradient_too(loss: Callable[..., Tensor]) -> None:
    """As one is that has blown up, or a poor one on minutes of speech: no path is likelier than e to the power of -10,000."""
    torch.manual_seed(2)
    logits = (1000 * torch.randn(2, 40, 5, dtype=torch.float64)).requires_grad_()
    lengths, counts, targets = torch.tensor([40, 30]), torch.tensor([8, 3]), torch.randint(1, 5, (2, 8))
    scores = logits.log_softmax(-1)
    theirs = F.ctc_loss(scores.transpose(0, 1), targets, lengths, counts, reduction="none")
    ours = loss(scores, lengths, targets, counts)
    assert theirs.max() > 1e4
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    expected = torch.autograd.grad(theirs.sum(), logits, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), logits, create_graph=True), expected, rtol=1e-7, atol=1e-9)


@BOTH
def test_it_is_the_sum_over_all_paths(loss: Callable[..., Tensor]) -> None:
    torch.manual_seed(1)
    scores = torch.randn(1, 5, 3, dtype=torch.float64).log_softmax(-1)
    total = 0.0
    for path in itertools.product(range(3), repeat=5):
        spelled = [each for each, _ in itertools.groupby(path) if each]
        total += float(scores[0, range(5), list(path)].sum().exp()) if spelled == [1, 1, 2] else 0.0
    found = loss(scores, torch.tensor([5]), torch.tensor([[1, 1, 2]]), torch.tensor([3]))
    assert float(found.exp().reciprocal()) == pytest.approx(total, rel=1e-9) and total > 0


def test_second_derivatives_equal_finite_differences() -> None:
    logits, lengths, targets, counts = example()

    def total(raw: Tensor) -> Tensor:
        return ctc_loss(raw.log_softmax(-1), lengths, targets, counts)[:4].sum()

    assert torch.autograd.gradgradcheck(total, (logits.detach()[:, :, :].requires_grad_(),), fast_mode=True)


def test_what_has_a_path() -> None:
    lengths, counts = torch.tensor([3, 2, 3, 2, 0, 0]), torch.tensor([3, 3, 2, 2, 0, 1])
    targets = torch.tensor([[1, 2, 3], [1, 2, 3], [1, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    assert has_path(lengths, targets, counts).tolist() == [True, False, True, False, True, False]


def test_the_tool_that_times_it_measures_four_ways_against_torchs() -> None:
    lines = ctc_speed.table(ctc_speed.batch(2), rounds=1).splitlines()
    assert len(lines) == 6 and lines[2].startswith("torch's") and lines[2].endswith("1.00")
