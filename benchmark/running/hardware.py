"""What a run computes on, in Lightning's words."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Hardware:
    """Handed to Lightning's Trainer as it is; the first device of that kind also adapts and predicts.

    Attributes:
        accelerator: "auto", "cpu", "gpu", "mps", ...
        devices: how many of them train together.
        strategy: how they do: "auto", "ddp", "ddp_spawn", ...
        precision: of training: "32-true", "16-mixed", "bf16-mixed", ...
    """

    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"

    @property
    def device(self) -> str:
        """The device's type as torch calls it: numbers of one type are not those of another, so it is part of a run's identity."""
        if self.accelerator == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return {"gpu": "cuda"}.get(self.accelerator, self.accelerator)
