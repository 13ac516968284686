"""Connectionist temporal classification that can be differentiated twice, as MAML requires."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NEVER = -1e30
"""The logarithm of a probability of 0, finite so that no gradient is NaN."""


def ctc_loss(scores: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Negative log-likelihood of each target, shape (B,); 0, without gradient, where no path of its length spells the target.

    Graves et al., "Connectionist temporal classification" (ICML 2006). Values and first gradients come from
    ``torch.nn.functional.ctc_loss``, which has no second ones; those come from :func:`differentiable_ctc_loss`.
    ``python -m tools.ctc_speed`` times both: on five utterances, this loss and its gradient take 1.6 times as long as torch's, and the
    gradient of the gradient takes 41 times as long as torch's loss and gradient.

    Args:
        scores: (B, S, classes) log-probabilities; class 0 is the blank.
        lengths: (B,) steps of each utterance.
        targets: (B, C) classes, 0 where padded.
        counts: (B,) classes of each target.
    """
    found: Tensor = _Ctc.apply(scores, lengths, targets, counts)  # type: ignore[no-untyped-call]
    return found


def has_path(lengths: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Whether so many steps can spell each target, shape (B,): one for each class, and a blank between equal neighbours."""
    inside = torch.arange(targets.shape[1], device=targets.device) < counts[:, None]
    repeats = ((targets[:, 1:] == targets[:, :-1]) & inside[:, 1:]).sum(1)
    return lengths >= counts + repeats


class _Ctc(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        ctx.save_for_backward(scores, lengths, targets, counts)
        return native_ctc_loss(scores, lengths, targets, counts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scores, lengths, targets, counts = ctx.saved_tensors
        twice = torch.is_grad_enabled()
        loss = differentiable_ctc_loss if twice else native_ctc_loss
        with torch.enable_grad():
            inner = scores if twice else scores.detach().requires_grad_()
            total = (loss(inner, lengths, targets, counts) * grads[0]).sum()
            (found,) = torch.autograd.grad(total, inner, create_graph=twice)
        return found, None, None, None


def native_ctc_loss(scores: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """Torch's loss, as :func:`ctc_loss` takes its arguments; it has no second derivatives."""
    return F.ctc_loss(scores.transpose(0, 1), targets, lengths, counts, reduction="none", zero_infinity=True)


def differentiable_ctc_loss(scores: Tensor, lengths: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """As :func:`ctc_loss`, of plain tensor operations: the forward pass of Graves et al. (2006), equations 6 to 8, in logarithms."""
    labels = F.pad(targets.repeat_interleave(2, dim=1), (0, 1))  # blank, a, blank, b, ..., blank
    labels[:, 0::2] = 0
    # A path may skip the blank between two labels if they differ.
    skips = F.pad((labels[:, 2:] != 0) & (labels[:, 2:] != labels[:, :-2]), (2, 0))[:, : labels.shape[1]]
    emitted = scores.gather(2, labels.unsqueeze(1).expand(-1, scores.shape[1], -1))
    alpha = emitted[:, 0].where(torch.arange(labels.shape[1], device=scores.device) < 2, NEVER)
    for step in range(1, scores.shape[1]):
        one = F.pad(alpha[:, :-1], (1, 0), value=NEVER)
        two = F.pad(alpha[:, :-2], (2, 0), value=NEVER).where(skips, NEVER)
        moved = torch.stack([alpha, one, two]).logsumexp(0) + emitted[:, step]
        alpha = moved.where(step < lengths[:, None], alpha)
    ends = torch.stack([2 * counts, (2 * counts - 1).clamp_min(0)], dim=1)
    last = alpha.gather(1, ends)
    # An empty target has only one possible end, not two.
    last = torch.stack([last[:, 0], last[:, 1].where(counts > 0, NEVER)])
    return (-last.logsumexp(0)).where(has_path(lengths, targets, counts), 0.0)
