"""What a vocoder plugin is: log-mel spectrogram to waveform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.mel import MelSpec


class Vocoder(ABC):
    """Base of every vocoder plugin; a file in ``benchmark/vocoders/`` that ends in ``PLUGIN = YourClass``.

    Args:
        mel: the definition that the backbone predicts; raise :class:`benchmark.errors.UsageError` if it can't be
            inverted.
        config: an instance of the plugin's own ``Config``.
    """

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, mel: MelSpec, config: Any = None) -> None:
        self.mel = mel
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def decode(self, mel: torch.Tensor) -> torch.Tensor:
        """Waveform of one utterance; deterministic.

        Args:
            mel: shape (F, n_mels), natural-log magnitude.

        Returns:
            shape ((F - 1) · hop,), float32 in about [-1, 1].
        """
