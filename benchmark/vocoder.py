"""The interface of vocoder plugins: log-mel spectrogram to waveform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.mel import MelSpec
from benchmark.parameters import ParameterGroup


class Segments(NamedTuple):
    """The training data of one vocoder step: pieces of real speech.

    Attributes:
        mels: (B, F, n_mels) natural-log magnitude, by the vocoder's mel definition.
        audio: (B, (F - 1) * hop_length) float32 in [-1, 1], the audio of the mels.
    """

    mels: Tensor
    audio: Tensor

    def to(self, device: torch.device | str, **_: Any) -> Segments:
        """The same pieces on another device (Lightning calls this)."""
        return Segments(self.mels.to(device), self.audio.to(device))

    def rows(self, rows: slice) -> Segments:
        """Some of the pieces."""
        return Segments(self.mels[rows], self.audio[rows])


@dataclass(frozen=True)
class VocoderContext:
    """What ``prepare`` may use.

    Attributes:
        train: trains a vocoder that ``trains``, on training speakers only, with the preset's budget, or loads what an
            earlier run trained. Training happens once per corpus, vocoder and seed, under a lock; it is cached and resumable.
    """

    train: Callable[[Vocoder], None]


class Vocoder(nn.Module, ABC):
    """Base of every vocoder plugin: a file in ``benchmark/vocoders/`` that ends in ``PLUGIN = YourClass``.

    Args:
        config: an instance of the plugin's own ``Config``.

    Attributes:
        trains: True for a vocoder that learns, and so defines ``training_step``.
        mel: the mel definition that it inverts. Corpora are prepared with it, so backbones predict it.
    """

    trains: ClassVar[bool] = False
    mel: MelSpec

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config: Any = config if config is not None else self.Config()
        self.mel = MelSpec()

    @classmethod
    def tiny(cls) -> Any:
        """A configuration that runs in milliseconds, for tests; the default one unless overridden."""
        return cls.Config()

    def prepare(self, context: VocoderContext) -> None:
        """Get ready to decode: train if it ``trains``. Override this to load pretrained weights instead.

        Raises:
            BenchmarkError: a checkpoint is missing, damaged, or of another mel definition.
        """
        if self.trains:
            context.train(self)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The parameters that the harness's optimiser updates, by learning rate; by default all at the run's rate."""
        return [ParameterGroup(list(self.parameters()))]

    def training_step(self, segments: Segments) -> dict[str, float]:
        """Leave gradients on the parameters for the harness's optimiser, and return scalars to log, "loss" among them.

        All randomness must come from torch's global generator, which the harness seeds before every step.
        """
        raise NotImplementedError(f"{type(self).__name__} trains, so it must override training_step()")

    @abstractmethod
    def decode(self, mel: Tensor) -> Tensor:
        """Waveform of one utterance; deterministic.

        Args:
            mel: shape (F, n_mels), natural-log magnitude.

        Returns:
            shape (samples,), (F - 1) * hop_length samples or up to a hop more, float32 in about [-1, 1], at ``mel.sample_rate``.

        Raises:
            PredictionFailed: the mel can't be inverted (too short, not finite).
        """
