"""Tacotron 2's layers against speechbrain's and torch's, and its configuration."""

from __future__ import annotations

import pytest
import torch
from speechbrain.lobes.models.Tacotron2 import Attention
from torch import nn

from benchmark.backbones.tacotron2 import BothWays, ConvLayer, LocationAttention, Tacotron2
from benchmark.plugins.conformance.tiny import tiny_spec
from benchmark.running.flops import counted


def test_location_sensitive_attention_is_speechbrains() -> None:
    theirs = Attention(6, 10, 8, 3, 5)
    ours = LocationAttention(6, 8, 3, 5)
    with torch.no_grad():
        nn.init.zeros_(ours.query.bias)  # theirs has none
        ours.query.weight.copy_(theirs.query_layer.linear_layer.weight)
        ours.energy.weight.copy_(theirs.v.linear_layer.weight)
        ours.location.weight.copy_(theirs.location_layer.location_dense.linear_layer.weight)
        # Theirs reads the last attention beside the cumulative one.
        ours.filters.weight.copy_(theirs.location_layer.location_conv.conv.weight[:, 1:])
    query, keys, cumulative = torch.randn(2, 6), torch.randn(2, 7, 8), torch.rand(2, 7)
    expected = theirs.get_alignment_energies(query, keys, torch.stack([torch.zeros(2, 7), cumulative], dim=1))
    torch.testing.assert_close(ours(query, keys, cumulative), expected)


def test_the_encoder_reads_both_ways_as_torch_does_packed_sequences() -> None:
    ours, theirs = BothWays(5, 8), nn.LSTM(5, 4, bidirectional=True, batch_first=True)
    theirs.load_state_dict({
        name + end: value
        for layer, end in ((ours.forwards, ""), (ours.backwards, "_reverse"))
        for name, value in layer.state_dict().items()
    })  # fmt: skip
    x, lengths = torch.randn(3, 6, 5), torch.tensor([6, 2, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    found = ours(x, lengths) * (torch.arange(6) < lengths.unsqueeze(1)).unsqueeze(-1)
    torch.testing.assert_close(found, expected)


def test_a_frames_norm_does_not_depend_on_the_others() -> None:
    layer = ConvLayer(4, 6, 1, nn.Tanh(), 0.5).eval()
    x, mask = torch.randn(2, 5, 4), torch.ones(2, 5, 1)
    changed = x.clone()
    changed[1] += 3
    changed[0, 3:] -= 1
    torch.testing.assert_close(layer(x, mask)[0, :3], layer(changed, mask)[0, :3])


def test_the_cell_that_attends_is_counted_by_its_definition() -> None:
    model = Tacotron2(tiny_spec(), Tacotron2.tiny())
    with counted() as count:
        model.listener(torch.zeros(3, 8 + 8 + 4))
    assert count.total == 2 * 3 * (20 + 8) * 4 * 8  # four gates of 8, from 20 inputs and 8 states


def test_an_odd_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder must be even, half of it for either direction, not 7"):
        Tacotron2.Config(encoder=7)
