"""Time the CTC loss that can be differentiated twice beside torch's: ``python -m tools.ctc_speed`` from the repository's root.

The batch is like those of adaptation: utterances of 2 to 4 seconds in steps of 32 ms, 28 characters, about 12 characters a second. Each
line is the median of the rounds, on one thread, and its ratio to torch's loss and gradient in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from tabulate import tabulate
from torch import Tensor

from benchmark.learning.ctc import ctc_loss, differentiable_ctc_loss, native_ctc_loss

STEP_SECONDS, CLASSES, CHARACTERS_A_SECOND = 0.032, 29, 12
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=5, help="in a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="(default: %(default)s)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(table(batch(args.utterances), args.rounds))


def batch(utterances: int) -> Batch:
    """Scores, lengths, targets and counts, as :func:`ctc_loss` takes them."""
    torch.manual_seed(0)
    lengths = torch.linspace(2 / STEP_SECONDS, 4 / STEP_SECONDS, utterances).long()
    counts = (lengths * STEP_SECONDS * CHARACTERS_A_SECOND).long()
    targets = torch.randint(1, CLASSES, (utterances, int(counts.max()))) * (torch.arange(int(counts.max())) < counts[:, None])
    return torch.randn(utterances, int(lengths.max()), CLASSES).log_softmax(-1).requires_grad_(), lengths, targets, counts


def table(of: Batch, rounds: int) -> str:
    """Milliseconds and ratios."""
    work = {
        "torch's, loss and gradient": lambda: first(native_ctc_loss, of),
        "ours, loss and gradient": lambda: first(ctc_loss, of),
        "ours, and the gradient of that gradient": lambda: second(ctc_loss, of),
        "plain operations alone, loss and gradient": lambda: first(differentiable_ctc_loss, of),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):  # the first warms up
        for name, call in work.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    base = seconds["torch's, loss and gradient"][1:]
    rows = [
        [name, 1e3 * statistics.median(some[1:]), statistics.median(a / b for a, b in zip(some[1:], base, strict=True))]
        for name, some in seconds.items()
    ]
    return tabulate(rows, headers=["CTC", "ms", "times torch's"], floatfmt=".2f")


def first(loss: Callable[..., Tensor], of: Batch) -> None:
    """A loss and its gradient."""
    torch.autograd.grad(loss(*of).sum(), of[0])


def second(loss: Callable[..., Tensor], of: Batch) -> None:
    """A loss, its gradient, and that gradient's."""
    (gradient,) = torch.autograd.grad(loss(*of).sum(), of[0], create_graph=True)
    torch.autograd.grad(gradient.square().sum(), of[0])


if __name__ == "__main__":
    main()
