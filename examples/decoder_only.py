"""An algorithm: fine-tuning of the decoder alone.

    python -m benchmark check examples/decoder_only.py
    python -m benchmark run --plugin examples/decoder_only.py --algo decoder_only --dataset espeak --preset smoke
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from benchmark.algorithm import Adapted, AdaptedModel, Algorithm
from benchmark.backbone import Backbone
from benchmark.batch import Batch
from benchmark.learning.inner_loop import both_halves, descend, joint_step, select, sizes
from benchmark.task import Task


class DecoderOnly(Algorithm):
    """More multi-speaker training, then Adam on the decoder."""

    def __init__(self, backbone: Backbone, config: Any = None) -> None:
        super().__init__(backbone, config)
        self.names = select(backbone, ("decoder",))

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Learn from training speakers: leave gradients."""
        return joint_step(self.backbone, both_halves(tasks))

    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """Adapt to a new speaker: yield a model at each requested step."""
        optimizer = partial(torch.optim.Adam, lr=1e-3)
        for step, parameters in descend(self.backbone, self.names, support, optimizer, steps):
            yield step, AdaptedModel(self.backbone, parameters)

    def adapted_parameters(self) -> dict[str, int]:
        """What is stored for each speaker."""
        return sizes(self.backbone, self.names)


PLUGIN = DecoderOnly
