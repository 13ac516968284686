"""FastSpeech 2: its default is what committed results were made with; its Transformer blocks are the published ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.backbones._blocks import ConditionalLayerNorm, ConvBlock, Packing, RowConv, Stack, TransformerBlock
from benchmark.backbones._parts import sinusoids
from benchmark.backbones.fastspeech2 import FastSpeech2
from benchmark.plugins import conformance, registry
from benchmark.plugins.conformance.tiny import longer, tiny_batch, tiny_spec
from tests.meta_gradients import assert_meta_gradients

RECORDED = Path(__file__).parent / "golden" / "fastspeech2.json"
"""What the code did before it had a choice of blocks: names, shapes and sums of its weights, drawn from a seed, and what they give.

Losses in training are of later: dropout draws other numbers since padding is left out.
"""
TRANSFORMER = replace(FastSpeech2.tiny(), blocks="transformer")


def made(config: Any) -> FastSpeech2:
    torch.manual_seed(3)
    return FastSpeech2(tiny_spec(), config)


def sums(value: Tensor) -> list[float]:
    return [float(value.detach().double().sum()), float(value.detach().double().square().sum())]


@pytest.mark.parametrize("size", ["default", "tiny"])
def test_the_default_is_what_it_was(size: str) -> None:
    recorded = json.loads(RECORDED.read_text())[size]
    model = made(FastSpeech2.Config() if size == "default" else FastSpeech2.tiny())
    parameters = dict(model.named_parameters())
    assert [[name, list(p.shape)] for name, p in parameters.items()] == [[name, shape] for name, shape, *_ in recorded["parameters"]]
    for name, _, *expected in recorded["parameters"]:
        assert sums(parameters[name]) == pytest.approx(expected, rel=1e-6, abs=1e-6), name
    torch.manual_seed(7)
    training = model.train().loss(tiny_batch(1))
    evaluation = model.eval().loss(tiny_batch(-1, seed=2))
    for losses, expected in ((training, recorded["training"]), (evaluation, recorded["evaluation"])):
        assert {name: float(value.detach()) for name, value in losses.items()} == pytest.approx(expected, rel=1e-5)
    model.loss(tiny_batch(2))["loss"].backward()  # type: ignore[no-untyped-call]
    squares = sum(sums(p.grad)[1] for p in parameters.values() if p.grad is not None)
    assert squares == pytest.approx(recorded["gradient"], rel=1e-4)
    with torch.no_grad():
        mel = model.synthesize(torch.tensor([1, 3, 4, 2, 5, 1]), torch.tensor([2, 3, 4, 0, 5, 2]))
    assert sums(mel) == pytest.approx(recorded["speech"], rel=1e-5)


def test_transformer_blocks_keep_the_contract() -> None:
    info = registry.get("backbone", "fastspeech2")
    problems = [each for each in conformance.check(info, FastSpeech2, TRANSFORMER) if each.problem]
    assert not problems


@pytest.mark.parametrize("config", [FastSpeech2.tiny(), TRANSFORMER], ids=["conv", "transformer"])
def test_a_text_far_longer_than_any_in_training_is_spoken(config: FastSpeech2.Config) -> None:
    with torch.no_grad():
        mel = made(config).eval().synthesize(torch.arange(600) % 8 + 1, torch.full((600,), 3))
    assert mel.shape == (1800, 80) and torch.isfinite(mel).all()


def test_positions_do_not_drown_symbols() -> None:
    positions = sinusoids(torch.arange(100.0), 64)
    symbols = made(replace(TRANSFORMER, hidden=64)).embedding.weight
    assert symbols.square().mean() > positions.square().mean()


def test_meta_gradients_through_attention_equal_finite_differences() -> None:
    assert_meta_gradients(made(TRANSFORMER))


@pytest.mark.parametrize("config", [FastSpeech2.tiny(), TRANSFORMER], ids=["conv", "transformer"])
def test_padding_changes_no_loss_and_no_gradient(config: FastSpeech2.Config) -> None:
    model, found = made(config).eval(), []
    batch = tiny_batch(0, 2)
    uneven = replace(batch, token_lengths=torch.tensor([6, 4]), durations=batch.durations * torch.tensor([[1] * 6, [1, 1, 1, 5, 0, 0]]))
    uneven = replace(uneven, mel_lengths=uneven.durations.sum(1), mels=F.pad(batch.mels, (0, 0, 0, 8)))
    for each in (uneven, longer(uneven)):
        model.zero_grad()
        losses = model.loss(each)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        grads = torch.cat([torch.as_tensor(p.grad).flatten() for p in model.parameters()])
        found.append((torch.stack([*losses.values()]), grads))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_block_is_the_published_one() -> None:
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 3, 4, 0.5).eval()
    x, speaker = torch.randn(1, 6, 8), torch.randn(1, 4)
    weights, heads = block.attention, []
    query, key, value = F.linear(x, weights.in_proj_weight, weights.in_proj_bias).chunk(3, dim=-1)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        heads.append((query[..., part] @ key[..., part].transpose(1, 2) / 2).softmax(-1) @ value[..., part])
    hidden = x + F.linear(torch.cat(heads, dim=-1), weights.out_proj.weight, weights.out_proj.bias)
    hidden = norm(hidden, speaker, block.attention_norm)
    wide = F.relu(F.conv1d(hidden.transpose(1, 2), block.conv.weight, block.conv.bias, padding=1)).transpose(1, 2)
    assert wide.shape[-1] == 4 * 8
    expected = norm(hidden + F.linear(wide, block.project.weight, block.project.bias), speaker, block.conv_norm)
    torch.testing.assert_close(block(x, speaker, torch.ones(1, 6, 1)), expected)


def norm(x: Tensor, speaker: Tensor, layer: Any) -> Tensor:
    """AdaSpeech's, written out."""
    scale, bias = F.linear(speaker, layer.condition.weight, layer.condition.bias).chunk(2, dim=-1)
    standard = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    return standard * (1 + scale) + bias


def test_heads_must_divide_the_width_where_there_are_any() -> None:
    FastSpeech2.Config(hidden=9)
    with pytest.raises(ValueError, match="hidden must be a multiple of heads, 2, not 9"):
        FastSpeech2.Config(hidden=9, blocks="transformer")


def test_packed_sequences_are_what_they_are_alone() -> None:
    """A block on three sequences, one of them empty, against torch's convolution of each, with all gradients."""
    torch.manual_seed(0)
    block, lengths = ConvBlock(6, 5, 4, 0.0).double(), (7, 0, 4)
    x, speaker = torch.randn(3, 9, 6, dtype=torch.double), torch.randn(3, 4, dtype=torch.double)
    mask = torch.zeros(3, 9, 1, dtype=torch.double)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    packing = Packing(mask, 2)
    assert packing.pack(x).shape == (sum(lengths) + 3 * 2, 6) and packing.owner.tolist() == [0] * 9 + [1] * 2 + [2] * 6
    packed = packing.unpack(block(packing.pack(x), speaker, packing))
    alone = torch.zeros_like(x)
    for row, length in enumerate(lengths):
        if length:
            alone[row, :length] = _alone(block, x[row : row + 1, :length], speaker[row : row + 1])
    torch.testing.assert_close(packed, alone)
    ours, theirs = (torch.autograd.grad(each.square().sum(), list(block.parameters())) for each in (packed, alone))
    torch.testing.assert_close(ours, theirs)


def _alone(block: ConvBlock, x: Tensor, speaker: Tensor) -> Tensor:
    """The block as published, on one sequence without padding."""
    norm: ConditionalLayerNorm = block.norm
    scale, bias = norm.condition(speaker).unsqueeze(1).chunk(2, dim=-1)
    hidden = F.layer_norm(x, x.shape[-1:]) * (1 + scale) + bias
    conv: RowConv = block.conv
    return x + block.project(F.gelu(F.conv1d(hidden.mT, conv.weight, conv.bias, padding=2).mT))


def test_several_threads_add_up_gradients_in_one_order() -> None:
    """Else a run would not end with the same numbers twice."""
    torch.manual_seed(0)
    stack, x, speaker = Stack(2, 192, 7, 96, 0.0), torch.randn(8, 300, 192, requires_grad=True), torch.randn(8, 96, requires_grad=True)
    mask = (torch.arange(300) < torch.tensor([[300], [80], [120], [250], [77], [190], [33], [299]])).float().unsqueeze(2)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = [torch.autograd.grad(stack(x, speaker, mask).square().sum(), [x, speaker, *stack.parameters()]) for _ in range(3)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for each in found[1:] for one, other in zip(found[0], each, strict=True))
