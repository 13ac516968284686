"""The blocks that FastSpeech 2's encoder and decoder are stacked from, convolutions or Transformers, conditioned on the speaker."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbones._parts import sinusoids

FILTER = 4
"""How many times wider than its input a Transformer block's hidden convolution is: 1024 for 256 in the paper."""


class Packing:
    """Padded sequences as the rows of one matrix, without their padding: ten sentences of one speaker are nearly half padding.

    Between two sequences lie rows of zeros, which convolutions take for padding.

    Args:
        mask: (B, L, 1), 1 inside a sequence, which begins at its start.
        gap: rows between sequences: the widest convolution's taps on one side.

    Attributes:
        owner: (R,) the sequence of each row.
        inside: (R, 1) 1 in rows of a sequence, 0 in gaps.
    """

    def __init__(self, mask: Tensor, gap: int) -> None:
        self._mask = mask
        count, longest = mask.shape[:2]
        lengths = (mask.squeeze(-1) > 0).sum(1)
        places = torch.arange(longest + gap, device=mask.device)
        self.owner, place = (places < (lengths + gap).unsqueeze(1)).nonzero(as_tuple=True)
        within = place < lengths[self.owner]
        self.inside = within.to(mask.dtype).unsqueeze(1)
        self._source = self.owner * longest + place.clamp_max(longest - 1)
        self._row = torch.zeros(count * longest, dtype=torch.long, device=mask.device)
        self._row[self._source[within]] = within.nonzero().squeeze(1)

    def pack(self, x: Tensor) -> Tensor:
        """(R, width) from (B, L, width)."""
        return rows_of(x.flatten(0, 1), self._source) * self.inside

    def unpack(self, rows: Tensor) -> Tensor:
        """(B, L, width), 0 in the padding, from (R, width)."""
        return rows_of(rows, self._row).unflatten(0, self._mask.shape[:2]) * self._mask


def rows_of(matrix: Tensor, index: Tensor) -> Tensor:
    """Some rows of a matrix. Not ``matrix[index]``, whose gradient several threads add up in an order of their own."""
    return F.embedding(index, matrix)


class ConditionalLayerNorm(nn.Module):
    """Layer norm whose scale and bias are linear functions of the speaker vector."""

    def __init__(self, width: int, speaker_dim: int) -> None:
        super().__init__()
        self.condition = nn.Linear(speaker_dim, 2 * width)
        nn.init.normal_(self.condition.weight, std=0.02)
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Tensor, speaker: Tensor, packing: Packing | None = None) -> Tensor:
        """x: (B, L, width), or (R, width) of a packing; speaker: (B, speaker_dim)."""
        condition = self.condition(speaker)
        scale, bias = (condition.unsqueeze(1) if packing is None else rows_of(condition, packing.owner)).chunk(2, dim=-1)
        return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + bias


class RowConv(nn.Conv1d):
    """A convolution along the rows of a matrix, as one matrix product: up to a third faster on CPUs than torch's, without transposing."""

    def forward(self, rows: Tensor) -> Tensor:
        """rows: (R, width), zeros around it."""
        taps = self.weight.shape[2]
        windows = F.pad(rows, (0, 0, taps // 2, taps // 2)).unfold(0, taps, 1)
        return F.linear(windows.flatten(1), self.weight.flatten(1), self.bias)


class ConvBlock(nn.Module):
    """Residual block: conditional layer norm, convolution over time, GELU, linear."""

    def __init__(self, width: int, kernel: int, speaker_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = ConditionalLayerNorm(width, speaker_dim)
        self.conv = RowConv(width, width, kernel, padding=kernel // 2)
        self.project = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, speaker: Tensor, packing: Packing) -> Tensor:
        """x: (R, width)."""
        hidden = self.norm(x, speaker, packing) * packing.inside
        return x + self.dropout(self.project(F.gelu(self.conv(hidden))))


class Stack(nn.Module):
    """Convolution blocks and a final conditional layer norm."""

    def __init__(self, blocks: int, width: int, kernel: int, speaker_dim: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvBlock(width, kernel, speaker_dim, dropout) for _ in range(blocks))
        self.norm = ConditionalLayerNorm(width, speaker_dim)
        self.gap = kernel // 2

    def forward(self, x: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, width); mask: (B, L, 1), 1 inside the utterance."""
        packing = Packing(mask, self.gap)
        rows = packing.pack(x)
        for block in self.blocks:
            rows = block(rows, speaker, packing)
        return packing.unpack(self.norm(rows, speaker, packing))


class TransformerBlock(nn.Module):
    """Feed-forward Transformer block: Ren et al., "FastSpeech" (NeurIPS 2019), section 3.1.

    Self-attention and a two-layer convolution, each with dropout, a residual connection and layer norm after it, here conditional
    as in AdaSpeech. The second convolution has one tap, as in FastSpeech 2. Attention weights are not dropped.
    """

    def __init__(self, width: int, heads: int, kernel: int, speaker_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.attention_norm = ConditionalLayerNorm(width, speaker_dim)
        self.conv = nn.Conv1d(width, FILTER * width, kernel, padding=kernel // 2)
        self.project = nn.Linear(FILTER * width, width)
        self.conv_norm = ConditionalLayerNorm(width, speaker_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, width), 0 in the padding; mask: (B, L, 1)."""
        attended, _ = self.attention(x, x, x, key_padding_mask=mask.squeeze(-1) == 0, need_weights=False)
        x = self.attention_norm(x + self.dropout(attended), speaker) * mask
        hidden = F.relu(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return self.conv_norm(x + self.dropout(self.project(hidden)), speaker) * mask


class Transformer(nn.Module):
    """Sinusoidal positions, added, and Transformer blocks; takes and gives what :class:`Stack` does."""

    def __init__(self, blocks: int, width: int, heads: int, kernel: int, speaker_dim: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, kernel, speaker_dim, dropout) for _ in range(blocks))

    def forward(self, x: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, width); mask: (B, L, 1)."""
        x = (x + sinusoids(torch.arange(x.shape[1], device=x.device, dtype=x.dtype), x.shape[2])) * mask
        for block in self.blocks:
            x = block(x, speaker, mask)
        return x


class Predictor(nn.Module):
    """One value per token, from a small conditioned stack of convolutions."""

    def __init__(self, width: int, speaker_dim: int, dropout: float) -> None:
        super().__init__()
        self.stack = Stack(2, width, 3, speaker_dim, dropout)
        self.output = nn.Linear(width, 1)

    def forward(self, x: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """x: (B, T, width); returns (B, T)."""
        return (self.output(self.stack(x, speaker, mask)) * mask).squeeze(-1)
