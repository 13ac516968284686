"""Deep Voice 3's blocks against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import torch
from torch.nn import functional as F

from benchmark.backbones._attentive import Memory
from benchmark.backbones._parts import sinusoids
from benchmark.backbones.deep_voice3 import WINDOW, Attention, DeepVoice3, GatedConv
from benchmark.plugins.conformance.tiny import tiny_spec


def test_the_convolution_block_is_a_gated_linear_unit_with_a_speakers_bias() -> None:
    for causal in (True, False):
        block = GatedConv(4, 3, 2, 0.0, causal)
        x, speaker = torch.randn(2, 6, 4), torch.randn(2, 2)
        padded = F.pad(x.transpose(1, 2), (2, 0) if causal else (1, 1))
        hidden = F.conv1d(padded, block.conv.weight, block.conv.bias)
        bias = F.softsign(F.linear(speaker, block.speaker.linear.weight, block.speaker.linear.bias))
        hidden = hidden + F.pad(bias, (0, 4)).unsqueeze(-1)  # added to the values, not to their gates
        expected = (x + F.glu(hidden, dim=1).transpose(1, 2)) * math.sqrt(0.5)
        torch.testing.assert_close(block(x, speaker)[0], expected)


def test_the_variance_neither_vanishes_nor_explodes_at_first() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 50, 64)
    for _ in range(6):
        x, _ = GatedConv(64, 5, 4, 0.0, False)(x, torch.zeros(8, 4))
    assert 0.5 < float(x[:, 20:30].detach().var()) < 5


def test_positions_are_the_published_sines_and_cosines() -> None:
    code = sinusoids(torch.tensor([0.0, 1.0, 2.5]), 6)
    for row, place in enumerate((0.0, 1.0, 2.5)):
        for pair in range(3):
            angle = place / 10000 ** (2 * pair / 6)
            torch.testing.assert_close(code[row, [pair, 3 + pair]], torch.tensor([math.sin(angle), math.cos(angle)]))
    assert sinusoids(torch.zeros(2), 5).shape == (2, 5)


def test_attention_begins_along_the_diagonal() -> None:
    torch.manual_seed(0)
    attention = Attention(64, 64, 4, key_rate=1.5, position_weight=1.0, dropout=0.0)
    nothing = torch.zeros(1, 20, 64)
    memory = Memory(nothing, nothing, torch.ones(1, 1, 20), torch.randn(1, 4))
    keys, _ = attention.prepare(memory)
    path = attention.scores(torch.zeros(1, 30, 64), keys, memory.speaker, 0)[0].argmax(-1)
    assert (path - torch.arange(30) / 1.5).abs().max() <= 1
    late = attention.scores(torch.zeros(1, 10, 64), keys, memory.speaker, 20)[0].argmax(-1)
    assert torch.equal(late, path[20:])


def test_clocks_run_in_32_bits_whatever_the_rest_has() -> None:
    torch.manual_seed(0)
    attention, speaker = DeepVoice3(tiny_spec(), DeepVoice3.tiny()).attentions[0], torch.randn(1, 4)
    torch.nn.init.normal_(attention.rates.weight)  # type: ignore[union-attr, arg-type]
    exact = attention._rates(speaker)  # type: ignore[operator]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attention._rates(speaker), exact)  # type: ignore[operator]


def test_free_attention_moves_only_forward_and_by_no_more_than_the_window() -> None:
    torch.manual_seed(0)
    model = DeepVoice3(tiny_spec(), replace(DeepVoice3.tiny(), decoder_layers=2)).eval()
    tokens = torch.randint(1, 10, (1, 12))
    memory = model.read(tokens, torch.tensor([12]), torch.randn(1, 4))
    state, places = None, [[0, 0]]
    for _ in range(15):
        written = model.write(memory, torch.randn(1, 1, 4, 80), state, free=True)
        state = written.state
        last = places[-1]
        places.append([int(each) for each in state.places])
        for score, before in zip(written.scores, last, strict=True):
            looked = score[0, 0].softmax(-1).nonzero().squeeze(1)
            assert looked.min() >= before and looked.max() < before + WINDOW
    assert all(0 <= after - before < WINDOW for one in zip(*places, strict=True) for before, after in pairwise(one))
