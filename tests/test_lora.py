"""Low-rank adapters against the algebra, and against a layer that computes them the way PEFT does."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchmark.algorithm import AdaptedModel
from benchmark.backbone import call
from benchmark.errors import UsageError
from benchmark.learning import lora
from benchmark.learning.inner_loop import select
from benchmark.plugins.conformance.tiny import tiny_backbone, tiny_batch

LAYER = "decoder.blocks.0.project"
NAME = f"{LAYER}.weight"


def test_merged_weight_equals_the_algebra() -> None:
    model = tiny_backbone()
    down, up = torch.randn(2, 8), torch.randn(8, 2)
    expected = torch.empty(8, 8)
    for i in range(8):
        for j in range(8):
            expected[i, j] = model.get_parameter(NAME)[i, j].item() + 6.0 / 2 * sum(float(up[i, k] * down[k, j]) for k in range(2))
    found = lora.merged(lora.frozen(model), {NAME + lora.A: down, NAME + lora.B: up, "mel_mean": torch.ones(80)}, alpha=6.0)
    assert torch.allclose(found[NAME], expected, atol=1e-5)
    assert set(found) == {NAME, "mel_mean"}


def test_loss_and_gradients_equal_an_adapter_beside_the_layer() -> None:
    """PEFT's forward: result = layer(x) + B(A(x)) * alpha / rank, the layer frozen."""
    model = tiny_backbone().eval()
    adapters = {key: torch.randn_like(value) * 0.3 for key, value in lora.initial(model, {NAME: 3}).items()}
    down, up = (adapters[NAME + end].requires_grad_() for end in (lora.A, lora.B))
    loss = call(model, lora.merged(lora.frozen(model), adapters, 6.0), "loss", tiny_batch(-1))["loss"]
    grads = torch.autograd.grad(loss, [down, up])

    layer = model.get_submodule(LAYER)
    layer.register_forward_hook(lambda _, inputs, output: output + F.linear(F.linear(inputs[0], down), up) * (6.0 / 3))
    reference = model.loss(tiny_batch(-1))["loss"]
    assert float(loss.detach()) == pytest.approx(float(reference.detach()), rel=1e-5)
    for one, other in zip(grads, torch.autograd.grad(reference, [down, up]), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_initial_adapters_change_nothing_and_are_counted() -> None:
    model = tiny_backbone().eval()
    chosen = lora.ranks(model, select(model, ("all",)), 4)
    adapters = lora.initial(model, chosen)
    assert {name: value.numel() for name, value in adapters.items()} == lora.sizes(model, chosen)
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in lora.merged(lora.frozen(model), adapters, 8.0).items())
    sentence = torch.tensor([1, 3, 4, 1]), torch.tensor([2, 3, 3, 2])
    # The weights are equal to the bit; some processors choose another kernel for them, so the mel is equal but for rounding.
    adapted, plain = lora.LoRAModel(model, adapters, alpha=8.0).mel(*sentence), AdaptedModel(model).mel(*sentence)
    assert torch.allclose(adapted, plain, rtol=1e-5, atol=1e-5)


def test_narrow_layers_get_their_own_rank_and_larger_ones_are_refused() -> None:
    model = tiny_backbone()
    names = select(model, ("decoder",))
    chosen = lora.ranks(model, names, 8)
    assert chosen[NAME] == 8 and chosen["prosody.weight"] == 2
    assert not any("conv" in name or name.endswith("bias") for name in chosen)
    with pytest.raises(UsageError, match="lora_rank 9 is larger than every layer"):
        lora.ranks(model, names, 9)
    with pytest.raises(UsageError, match="have none"):
        lora.ranks(model, select(model, ("embedding",)), 1)
