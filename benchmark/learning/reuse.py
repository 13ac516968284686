"""What adaptation does not move is computed once for a batch, not at every step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class _Call:
    """A module's call in the first pass.

    Attributes:
        inputs: positional and named.
        output: what the call gave.
        versions: of the tensors in both, counted up whenever somebody writes into one.
    """

    inputs: tuple[tuple[Any, ...], dict[str, Any]]
    output: Any
    versions: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = self._versions()

    def repeats(self, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        """Whether a call with these inputs gives the same: they are equal, and nobody wrote into the kept tensors."""
        return self.versions == self._versions() and _equal(self.inputs, (args, options))

    def _versions(self) -> list[int]:
        return [tensor._version for tensor in _tensors([*self.inputs, self.output])]


class Reuse:
    """The outputs, on one batch, of the modules that adapted parameters do not reach.

    The first pass keeps them, and later passes take them instead of calling the modules with the same inputs. Values stay the same to the
    digit; gradients that pass through kept outputs are sums in another order. Modules must be in evaluation mode, where nothing is drawn.

    Args:
        module: what is called.
        adapted: the names of its parameters that adapt.
    """

    def __init__(self, module: nn.Module, adapted: Collection[str]) -> None:
        moved = {name.rpartition(".")[0] for name in adapted}
        self._still = [
            part for name, part in module.named_modules()
            if next(part.parameters(), None) is not None and not any(f"{owner}.".startswith(f"{name}." if name else "") for owner in moved)
        ]  # fmt: skip
        self._kept: dict[nn.Module, list[_Call | None]] | None = None
        self._inside = False

    @contextmanager
    def __call__(self, adapted: Iterable[Tensor]) -> Iterator[None]:
        """One forward pass: everything inside that calls the module.

        Args:
            adapted: the values, in this pass, of the parameters that adapt; they must require gradients.
        """
        if self._kept is None:
            self._kept, leaves = {}, list(adapted)
            with _replaced(self._still, self._keeping):
                yield
            self._forget(leaves)
        else:
            with _replaced(self._kept, self._replaying):
                yield

    def _keeping(self, part: nn.Module) -> Callable[..., Any]:
        """The part's forward, which keeps what it gives unless another part, whose output is kept, called it."""
        forward, kept = part.forward, self._kept
        assert kept is not None

        def keep(*args: Any, **options: Any) -> Any:
            if self._inside:
                return forward(*args, **options)
            self._inside = True
            try:
                output = forward(*args, **options)
            finally:
                self._inside = False
            kept.setdefault(part, []).append(_Call((args, options), output))
            return output

        return keep

    def _forget(self, leaves: list[Tensor]) -> None:
        """Drop the outputs that depend on the tensors that adapt, which the graph behind them shows."""
        assert self._kept is not None
        reached = _Reached(leaves)
        for calls in self._kept.values():
            for number, call in enumerate(calls):
                if call is not None and any(reached.by(tensor) for tensor in _tensors(call.output)):
                    calls[number] = None
        self._kept = {part: calls for part, calls in self._kept.items() if any(calls)}

    def _replaying(self, part: nn.Module) -> Callable[..., Any]:
        """The part's forward, which gives what it gave in the first pass."""
        assert self._kept is not None
        forward, calls = part.forward, iter(self._kept[part])

        def replay(*args: Any, **options: Any) -> Any:
            kept = next(calls, None)
            return kept.output if kept is not None and kept.repeats(args, options) else forward(*args, **options)

        return replay


class _Reached:
    """Whether tensors depend on any of some others, by the graph that autograd keeps.

    Args:
        leaves: the others.
    """

    def __init__(self, leaves: Iterable[Tensor]) -> None:
        self._leaves = list(leaves)
        self._ids = {id(tensor) for tensor in self._leaves}
        self._nodes: dict[Any, bool] = {tensor.grad_fn: True for tensor in self._leaves if tensor.grad_fn is not None}

    def by(self, tensor: Tensor) -> bool:
        """Whether the tensor is one of them or depends on one."""
        if id(tensor) in self._ids:
            return True
        if tensor.grad_fn is None:
            return False
        todo = [tensor.grad_fn]
        while todo:  # depth first, without recursion: graphs are deep
            node = todo[-1]
            below = [each for each, _ in node.next_functions if each is not None]
            new = [each for each in below if each not in self._nodes]
            if node in self._nodes or not new:
                todo.pop()
                own = id(getattr(node, "variable", None)) in self._ids
                self._nodes.setdefault(node, own or any(self._nodes[each] for each in below))
            else:
                todo += new
        return self._nodes[tensor.grad_fn]


def _equal(ours: Any, theirs: Any) -> bool:
    """Whether inputs are the same; those of unknown types are if they are one object."""
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        return ours is theirs or (ours.dtype == theirs.dtype and torch.equal(ours, theirs))
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(_equal(value, theirs[name]) for name, value in ours.items())
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    return ours is theirs or (isinstance(ours, bool | int | float | str) and bool(ours == theirs))


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a tensor, or in tuples, lists and mappings of them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


@contextmanager
def _replaced(parts: Iterable[nn.Module], forward: Callable[[nn.Module], Callable[..., Any]]) -> Iterator[None]:
    """Give the parts other forwards for a while."""
    own = {part: vars(part).get("forward") for part in parts}
    try:
        for part in own:
            part.forward = forward(part)
        yield
    finally:
        for part, before in own.items():
            if before is None:
                del part.forward
            else:
                part.forward = before
