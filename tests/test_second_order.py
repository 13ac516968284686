"""Meta-gradients through layers whose fast kernels can be differentiated only once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmark.algorithm import Algorithm, pinned
from benchmark.learning import inner_loop
from benchmark.plugins import registry
from benchmark.task import Task
from tests.toy_backbones import Layered, points

WIDTH = 4


class Attention(nn.Module):
    """Self-attention of two heads, by torch's layer or by its function."""

    def __init__(self, layer: bool) -> None:
        super().__init__()
        self.project, self.layer = nn.Linear(3, 3 * WIDTH), nn.MultiheadAttention(WIDTH, 2, batch_first=True) if layer else None

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x).chunk(3, -1)
        if self.layer is not None:
            return torch.as_tensor(self.layer(query, key, value, need_weights=False)[0])
        heads = (each.unflatten(-1, (2, 2)).transpose(1, 2) for each in (query, key, value))
        return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(-2)


LAYERS = {
    "MultiheadAttention": lambda: Attention(True),
    "scaled_dot_product_attention": lambda: Attention(False),
    "GRU": lambda: nn.GRU(3, WIDTH, batch_first=True),
    "LSTM": lambda: nn.LSTM(3, WIDTH, batch_first=True),
    "both ways": lambda: nn.LSTM(3, WIDTH // 2, 2, bidirectional=True, batch_first=True),
}
EACH = pytest.mark.parametrize("name", LAYERS)


def make(algorithm: str, name: str, dtype: torch.dtype = torch.float64, **options: Any) -> tuple[Algorithm, Task]:
    """The algorithm on a backbone with the named layer, and a task of five points in three sequences."""
    torch.manual_seed(0)
    backbone = Layered(LAYERS[name](), WIDTH)
    support, query = (points(torch.randn(3, 5, 3).to(dtype), torch.randn(3, 5).to(dtype)) for _ in range(2))
    plugin = registry.load("algorithm", algorithm)
    made: Algorithm = plugin(backbone, plugin.Config(**options)).to(dtype)
    return made, Task(support, query)


def meta_gradient(algorithm: Algorithm, task: Task) -> list[Tensor]:
    algorithm.zero_grad()
    algorithm.meta_step([task])
    return [p.grad.clone() for p in algorithm.parameters() if p.grad is not None]


@EACH
def test_meta_gradients_equal_finite_differences(name: str) -> None:
    algorithm, task = make("maml", name, inner_steps=2, inner_lr=0.3)
    gradient, parameters, step = meta_gradient(algorithm, task), list(algorithm.parameters()), 1e-5
    assert len(gradient) == len(parameters)
    for _ in range(3):
        directions = [torch.randn_like(p) for p in parameters]
        losses = []
        for sign in (1, -2, 1):  # there, to the other side, and back
            with torch.no_grad():
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.add_(direction, alpha=sign * step)
            losses.append(algorithm.meta_step([task])["loss"])
        slope = sum(float((grad * direction).sum()) for grad, direction in zip(gradient, directions, strict=True))
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-9)


@EACH
@pytest.mark.parametrize("algorithm", ["maml", "meta_sgd", "maml_plus_plus", "maml_adam", "meta_lora", "imaml", "anil"])
def test_single_precision_which_takes_other_kernels_gives_the_same(name: str, algorithm: str) -> None:
    special: dict[str, dict[str, Any]] = {"anil": {"groups": ("all",)}, "meta_lora": {"lora_rank": 1}}
    options = special.get(algorithm, {})
    one, other = (meta_gradient(*make(algorithm, name, dtype, **options)) for dtype in (torch.float32, torch.float64))
    scale = max(float(grad.abs().max()) for grad in other)
    for single, double in zip(one, other, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4 * scale)


def test_fused_attention_is_differentiated_twice_only_in_the_context() -> None:
    algorithm, task = make("maml", "scaled_dot_product_attention", torch.float32)
    weight = algorithm.backbone.get_parameter("layer.project.weight")

    def twice() -> Tensor:
        (grad,) = torch.autograd.grad(algorithm.backbone.loss(task.support)["loss"], weight, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), weight)[0]

    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), pytest.raises(RuntimeError, match=r"attention.*not implemented"):
        twice()
    with inner_loop.second_order(algorithm.backbone):
        assert torch.isfinite(twice()).all()


def test_recurrent_layers_do_without_cudnn_and_others_keep_it() -> None:
    for layer, kept in ((nn.GRU(3, WIDTH), False), (nn.Linear(3, WIDTH), True)):
        with torch.backends.cudnn.flags(enabled=True), inner_loop.second_order(Layered(layer)):
            assert torch.backends.cudnn.enabled == kept


@pytest.mark.parametrize(
    ("algorithm", "options"), [("maml", {"first_order": True}), ("reptile", {}), ("finetune", {})], ids=lambda value: str(value)
)  # fmt: skip
def test_first_order_steps_keep_the_fast_kernels(algorithm: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: nn.Module) -> None:
        raise AssertionError("second-order kernels in a first-order step")

    monkeypatch.setattr(inner_loop, "second_order", refuse)
    made, task = make(algorithm, "scaled_dot_product_attention", torch.float32, **options)
    made.meta_step([task])
    assert list(made.adapt(task.support, [1]))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_layers_without_dropout_stay_in_training_mode(kind: type[nn.GRU] | type[nn.LSTM]) -> None:
    # cuDNN computes no gradients of one that is in evaluation mode.
    backbone = nn.Sequential(kind(3, WIDTH, 2, dropout=0.5), nn.Dropout()).train()
    x = torch.randn(5, 2, 3)
    expected = backbone.eval()[0](x)[0]
    backbone.train()
    with pinned(backbone, training=False):
        assert backbone[0].training and not backbone[1].training
        torch.testing.assert_close(backbone[0](x)[0], expected)
    assert backbone[0].dropout == 0.5 and all(module.training for module in backbone.modules())
