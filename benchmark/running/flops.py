"""The counter of floating-point operations, used for training budgets and for adaptation costs.

It counts products of matrices, forward and backward: linear layers, convolutions, recurrent layers, attention. A multiply-add
is two operations. Element-wise work, norms, embeddings, softmax, sums and inner products of two vectors are free.

The count does not depend on the kernel that a device picks: fused attention counts as the products that it fuses, even if it
computes some twice to save memory. A fused recurrent layer's backward pass counts as twice its forward pass, because its
kernels always compute the gradients for weights, input and state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import DispatchKey
from torch._ops import OpOverload
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from benchmark.algorithm import pinned
from benchmark.errors import BenchmarkError

LAYERS = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
"""Layers that multiply by a matrix, so their count must not be 0."""

Shape = Sequence[int]


def _matrix_vector(matrix: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _added_matrix_vector(added: Shape, matrix: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _added_batches(added: Shape, one: Shape, other: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(one) * other[-1]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Q K^T and its product with V; every head counts, even if heads share keys or values."""
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return 2 * _attention(query, key, value)


def _recurrent(data: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    """Each matrix, in every layer and direction, multiplies one vector per step and sequence."""
    return 2 * prod(data[:-1]) * sum(prod(weight) for weight in weights if len(weight) == 2)


def _recurrent_backward(data: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    return 2 * _recurrent(data, weights)


def _onednn_recurrent(data: Shape, from_input: Shape, from_state: Shape, *_: Any, **__: Any) -> int:
    return _recurrent(data, (from_input, from_state))


def _onednn_recurrent_backward(data: Shape, from_input: Shape, from_state: Shape, *_: Any, **__: Any) -> int:
    return _recurrent_backward(data, (from_input, from_state))


def _convolution_backward(
    grad: Shape, data: Shape, weight: Shape, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, wanted: Sequence[bool], **_: Any,
) -> int:  # fmt: skip
    """The gradients for input and weight each cost as much as the forward pass; torch's own formula ignores groups."""
    forward = 2 * data[0] * prod(weight) * prod((data if transposed else grad)[2:])
    return forward * (wanted[0] + wanted[1])


aten = torch.ops.aten
FORMULAS: dict[Any, Any] = {
    aten.mv: _matrix_vector,
    aten.addmv: _added_matrix_vector,
    aten.addbmm: _added_batches,
    aten.convolution_backward: _convolution_backward,
    aten.mkldnn_rnn_layer: _onednn_recurrent,
    aten.mkldnn_rnn_layer_backward: _onednn_recurrent_backward,
    aten._cudnn_rnn: _recurrent,
    aten._cudnn_rnn_backward: _recurrent_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._scaled_dot_product_flash_attention: _attention,
    aten._scaled_dot_product_flash_attention_backward: _attention_backward,
    aten._scaled_dot_product_efficient_attention: _attention,
    aten._scaled_dot_product_efficient_attention_backward: _attention_backward,
    aten._scaled_dot_product_cudnn_attention: _attention,
    aten._scaled_dot_product_cudnn_attention_backward: _attention_backward,
}
"""Operators that torch's counter misses or counts differently: their counts from the shapes of their arguments."""


REGISTRY = FlopCounterMode(display=False, custom_mapping=FORMULAS).flop_registry  # type: ignore[dict-item]
"""Operators that count, torch's and ours, and their formulas."""


class Count(TorchDispatchMode):
    """Counts as torch's ``FlopCounterMode`` does, in a third of its time: it looks each operator up once, and not which module calls it.

    Attributes:
        total: operations since the count began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self._known: dict[OpOverload, tuple[bool, Callable[..., int] | None]] = {}

    def __torch_dispatch__(self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func not in self._known:
            composite = func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
            self._known[func] = composite, REGISTRY.get(func._overloadpacket)
        composite, formula = self._known[func]
        if composite:
            with self:
                return func.decompose(*args, **kwargs or {})
        out = func(*args, **kwargs or {})
        if formula:
            self.total += formula(*args, **kwargs or {}, out_val=out)
        return out


@contextmanager
def counted() -> Iterator[Count]:
    """Count the operations inside the context; read ``total`` there or afterwards."""
    fast = torch.backends.mha.get_fastpath_enabled()
    # The fast path fuses a whole attention or Transformer layer into one operator, which hides the products.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with Count() as count:
            yield count
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def refuse_uncounted(module: nn.Module, attempt: Callable[[], object]) -> None:
    """Check that each layer that multiplies by a matrix counts, forward and backward.

    Args:
        module: a backbone, or an algorithm with its backbone; its train/eval mode is restored.
        attempt: computes a loss or a training step on a batch, which calls the layers. The caller's random state is kept.

    Raises:
        BenchmarkError: a layer (the message names it) or the whole module counts as 0, so it would train for free.
    """
    calls: dict[str, Any] = {}

    def remember(name: str, layer: nn.Module, arguments: Any, options: Any) -> None:
        calls.setdefault(name, (layer, arguments, options))

    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, LAYERS)]
    hooks = [layer.register_forward_pre_hook(partial(remember, name), with_kwargs=True) for name, layer in layers]
    with torch.random.fork_rng(devices=[]), pinned(module, training=False):
        try:
            with counted() as count:
                attempt()
        finally:
            for hook in hooks:
                hook.remove()
        if not count.total:
            raise BenchmarkError(_sentence(type(module).__name__))
        for name, (layer, arguments, options) in calls.items():
            if not all(_cost(layer, arguments, options)):
                raise BenchmarkError(_sentence(f"{type(module).__name__}'s layer {name} ({type(layer).__name__})"))


def _cost(module: nn.Module, arguments: Any, options: Any) -> tuple[int, int]:
    """Operations of a call, and of its gradients for the module's parameters and inputs."""

    def fresh(value: Any) -> Any:
        return value.detach().requires_grad_(value.is_floating_point()) if isinstance(value, Tensor) else value

    arguments, options = tree_map(fresh, (arguments, options))
    inputs = [value for value in tree_leaves((arguments, options)) if isinstance(value, Tensor)]
    wanted = [value for value in (*module.parameters(), *inputs) if value.requires_grad]
    with torch.enable_grad(), counted() as count:
        outputs = [value for value in tree_leaves(module(*arguments, **options)) if isinstance(value, Tensor) and value.requires_grad]
        forward = count.total
        if outputs and wanted:
            torch.autograd.grad(torch.stack([value.sum() for value in outputs]).sum(), wanted, allow_unused=True)
    return forward, count.total - forward


def _sentence(what: str) -> str:
    return (
        f"The operations of {what} can't be counted, so it would train for free; "
        "use countable layers: Linear, Conv1d, Conv2d, GRU, LSTM, MultiheadAttention, or plain matrix products."
    )
