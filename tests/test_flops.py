"""Operations as they are counted against operations as they follow from the layers' definitions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark.errors import BenchmarkError
from benchmark.running.flops import FORMULAS, counted, refuse_uncounted
from tests.toy_backbones import Layered, points

B, T, D, H = 2, 7, 6, 4  # sequences, steps, width of the input, width of the state


def measured(function: Callable[..., Any], *inputs: Tensor) -> tuple[int, int]:
    """Operations of the forward and of the backward pass, which goes down to the inputs too."""
    inputs = tuple(value.requires_grad_() for value in inputs)
    with counted() as count:
        output = function(*inputs)
        forward = count.total
        (output[0] if isinstance(output, tuple) else output).sum().backward()
    return forward, count.total - forward


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(D,), (B, D), (B, T, D)])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    rows = torch.Size(shape[:-1]).numel()
    forward = 2 * rows * D * H  # each of H outputs: D products and D sums
    # The gradient for the weight (D x rows times rows x H), and that for the input (rows x H times H x D).
    assert measured(nn.Linear(D, H, bias), torch.randn(shape)) == (forward, 2 * forward)


CONVOLUTIONS: list[dict[str, Any]] = [
    {}, {"stride": 2, "padding": 1}, {"dilation": 3}, {"groups": 2}, {"groups": 4}, {"stride": 3, "padding": 2, "dilation": 2, "groups": 2},
]  # fmt: skip


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_conv1d(options: dict[str, Any]) -> None:
    layer, x = nn.Conv1d(4, 8, 3, **options), torch.randn(B, 4, 20)
    length = (20 + 2 * options.get("padding", 0) - options.get("dilation", 1) * 2 - 1) // options.get("stride", 1) + 1
    # Each output: 3 taps in each input channel of its group.
    forward = 2 * B * length * 8 * (4 // options.get("groups", 1)) * 3
    assert measured(layer, x) == (forward, 2 * forward)


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_conv_transpose1d(options: dict[str, Any]) -> None:
    # Each input reaches 3 taps in each output channel of its group, whatever of it the padding cuts off.
    forward = 2 * B * 20 * 4 * (8 // options.get("groups", 1)) * 3
    assert measured(nn.ConvTranspose1d(4, 8, 3, **options), torch.randn(B, 4, 20)) == (forward, 2 * forward)


@pytest.mark.parametrize("groups", [1, 4])
def test_conv2d(groups: int) -> None:
    layer = nn.Conv2d(4, 8, (3, 5), stride=(2, 1), padding=(1, 2), groups=groups)
    height, width = (9 + 2 - 3) // 2 + 1, 10 + 4 - 5 + 1
    forward = 2 * B * height * width * 8 * (4 // groups) * 15
    assert measured(layer, torch.randn(B, 4, 9, 10)) == (forward, 2 * forward)


def recurrent(gates: int, layers: int, directions: int, fused: bool) -> tuple[int, int]:
    """A step multiplies the input and the state by a matrix of ``gates`` * H rows each, in each layer and direction."""
    forward = backward = 0
    for layer in range(layers):
        width = H * directions if layer else D
        from_input, from_state = (directions * 2 * B * T * gates * H * columns for columns in (width, H))
        forward += from_input + from_state
        # For weights and inputs as much as forward; for states as well, but step by step the first state needs no gradient.
        backward += 2 * from_input + from_state + from_state * (T if fused else T - 1) // T
    return forward, backward


@pytest.mark.parametrize(("layers", "both"), [(1, False), (1, True), (2, False), (2, True)])
def test_gru(layers: int, both: bool) -> None:
    layer = nn.GRU(D, H, layers, bidirectional=both, batch_first=True)
    assert measured(layer, torch.randn(B, T, D)) == recurrent(3, layers, 1 + both, fused=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fused", "step by step"])
@pytest.mark.parametrize(("layers", "both"), [(1, False), (1, True), (2, False), (2, True)])
def test_lstm(layers: int, both: bool, dtype: torch.dtype) -> None:
    layer = nn.LSTM(D, H, layers, bidirectional=both, batch_first=True, dtype=dtype)
    fused = dtype == torch.float32 and torch.backends.mkldnn.is_available()
    assert measured(layer, torch.randn(B, T, D, dtype=dtype)) == recurrent(4, layers, 1 + both, fused)


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], ids=lambda backend: backend.name)
def test_scaled_dot_product_attention(backend: SDPBackend) -> None:
    heads, keys = 3, 9
    query, key, value = torch.randn(B, heads, T, H), torch.randn(B, heads, keys, H), torch.randn(B, heads, keys, H)
    forward = 2 * B * heads * T * keys * (H + H)  # each score sums H products; each output sums a product for each key
    with sdpa_kernel(backend):
        assert measured(F.scaled_dot_product_attention, query, key, value) == (forward, 2 * forward)


def test_attention_with_fewer_heads_of_keys() -> None:
    def grouped(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, enable_gqa=True)

    forward = 2 * B * 4 * T * T * (H + H)
    assert measured(grouped, torch.randn(B, 4, T, H), torch.randn(B, 2, T, H), torch.randn(B, 2, T, H)) == (forward, 2 * forward)


ATTENTION = 2 * B * T * (4 * D * D) + 2 * B * T * T * 2 * D
"""Of a layer of width D: projections to queries, keys, values and the output; scores, and the values they weigh."""


@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention(weights: bool) -> None:
    layer = nn.MultiheadAttention(D, 2, batch_first=True)
    assert measured(lambda x: layer(x, x, x, need_weights=weights), torch.randn(B, T, D)) == (ATTENTION, 2 * ATTENTION)


def test_what_is_fused_without_gradients_counts_too() -> None:
    layer = nn.TransformerEncoderLayer(D, 2, 10, batch_first=True).eval()
    with torch.no_grad(), counted() as count:
        layer(torch.randn(B, T, D))
    assert count.total == ATTENTION + 2 * B * T * (2 * D * 10)
    assert torch.backends.mha.get_fastpath_enabled()


def test_products_with_vectors_and_sums_of_products() -> None:
    with counted() as count:
        torch.randn(T, D) @ torch.randn(D)
    assert count.total == 2 * T * D
    with counted() as count:
        torch.addmv(torch.randn(T), torch.randn(T, D), torch.randn(D))
    assert count.total == 2 * T * D
    with counted() as count:
        torch.addbmm(torch.randn(T, H), torch.randn(B, T, D), torch.randn(B, D, H))
    assert count.total == 2 * B * T * D * H


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm(D), nn.BatchNorm1d(T), nn.GroupNorm(1, T), nn.Softmax(-1), nn.GELU(), nn.Dropout()],
    ids=lambda layer: type(layer).__name__,
)
def test_norms_and_element_wise_layers_count_nothing(layer: nn.Module) -> None:
    assert measured(layer, torch.randn(B, T, D)) == (0, 0)


def test_an_embedding_counts_nothing() -> None:
    assert measured(lambda table: F.embedding(torch.tensor([1, 2]), table), torch.randn(5, D)) == (0, 0)


def test_second_derivatives_count() -> None:
    x, weight = torch.randn(T, D), torch.randn(D, H, requires_grad=True)
    with counted() as count:
        (grad,) = torch.autograd.grad((x @ weight).square().sum(), weight, create_graph=True)
        torch.autograd.grad(grad.square().sum(), weight)
    # x W, x' times its gradient, and the way back through both.
    assert count.total == 4 * 2 * T * D * H


BATCH = points(torch.randn(B, T, D), torch.randn(B, T))


class Rectangle(nn.Module):
    """Sums of products, element by element."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(H, D))

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(-2) * self.weight).sum(-1)


class Free(nn.Linear):
    """A linear layer that hides its product."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(-2) * self.weight).sum(-1)


class Pairs(nn.Bilinear):
    """Of the input with itself."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, x)


@pytest.mark.parametrize(
    "layer", [nn.Linear(D, H), nn.LSTM(D, H), nn.GRU(D, H, 2, dropout=0.5), nn.LSTM(D, H, bidirectional=True, batch_first=True)]
)
def test_backbones_of_common_layers_are_counted(layer: nn.Module) -> None:
    backbone = Layered(layer, width=2 * H if getattr(layer, "bidirectional", False) else H).train()
    before, drawn = [p.clone() for p in backbone.parameters()], torch.get_rng_state()
    refuse_uncounted(backbone, lambda: backbone.loss(BATCH))
    assert all(p.grad is None and torch.equal(p, old) for p, old in zip(backbone.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), drawn) and all(module.training for module in backbone.modules())


@pytest.mark.parametrize("layer", [Free(D, H), Pairs(D, D, H)])
def test_a_layer_that_would_train_for_free_is_refused_by_name(layer: nn.Module) -> None:
    backbone = Layered(layer)
    with pytest.raises(BenchmarkError, match=rf"Layered's layer layer \({type(layer).__name__}\)"):
        refuse_uncounted(backbone, lambda: backbone.loss(BATCH))


def test_a_backbone_without_any_product_of_matrices_is_refused() -> None:
    backbone = Layered(Rectangle())
    backbone.head = nn.AvgPool1d(H)  # type: ignore[assignment]
    with pytest.raises(BenchmarkError, match="of Layered can't be counted"):
        refuse_uncounted(backbone, lambda: backbone.loss(BATCH))


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_it_counts_what_torchs_own_counter_counts(mode: Callable[[], AbstractContextManager[None]]) -> None:
    torch.manual_seed(0)
    first = nn.Linear(D, 8)
    layers = nn.Sequential(first, nn.Tanh(), nn.Conv1d(T, 5, 3), nn.LSTM(6, 4, batch_first=True))
    attention, x = nn.TransformerEncoderLayer(D, 2, 8, 0.0, batch_first=True), torch.randn(B, T, D)

    def work() -> None:
        out = layers(attention(x))[0].tanh()
        product = torch.einsum("bij,bkj->bik", out, out) @ out
        if product.requires_grad:
            (slope,) = torch.autograd.grad(product.square().sum(), first.weight, create_graph=True)
            torch.autograd.grad(slope.square().sum(), first.weight)

    with mode():
        with counted() as ours:
            work()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with FlopCounterMode(display=False, custom_mapping=FORMULAS) as theirs:  # type: ignore[arg-type]
                work()
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert ours.total == theirs.get_total_flops() > 0
