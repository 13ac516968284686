"""The multi-speaker pretraining that every algorithm starts from."""

from __future__ import annotations

import torch

from benchmark.backbone import Backbone
from benchmark.batch import Batch


class Pretraining(torch.nn.Module):
    """Conventional training: every utterance with its speaker's vector."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def meta_step(self, batch: Batch) -> dict[str, float]:
        """One backward pass over the batch."""
        self.backbone.train()
        losses = self.backbone.loss(batch)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        return {name: float(value.detach()) for name, value in losses.items()}
