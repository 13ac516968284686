"""What a vocoder plugin is: log-mel spectrogram to waveform."""

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
    """What a vocoder learns from in one step: pieces of real speech.

    Attributes:
        mels: (B, F, n_mels) natural-log magnitude, of the vocoder's own definition.
        audio: (B, (F - 1) * hop_length) float32 in [-1, 1], what the mels are of.
        progress: fraction of the training that is done, from 0 to below 1.
    """

    mels: Tensor
    audio: Tensor
    progress: float = 0.0

    def to(self, device: torch.device | str, **_: Any) -> Segments:
        """The same pieces on another device (Lightning calls this)."""
        return self._replace(mels=self.mels.to(device), audio=self.audio.to(device))

    def rows(self, rows: slice) -> Segments:
        """Some of the pieces."""
        return self._replace(mels=self.mels[rows], audio=self.audio[rows])


@dataclass(frozen=True)
class VocoderContext:
    """What a vocoder is prepared with.

    Attributes:
        train: does the training that a vocoder which ``trains`` needs, on training speakers only, or loads what an earlier
            run trained: once per corpus, vocoder and seed, under a lock, cached and resumable, on the preset's budget.
    """

    train: Callable[[Vocoder], None]


class Vocoder(nn.Module, ABC):
    """Base of every vocoder plugin; a file in ``benchmark/vocoders/`` that ends in ``PLUGIN = YourClass``.

    Args:
        config: an instance of the plugin's own ``Config``.

    Attributes:
        trains: True for one that learns: it defines ``training_step``.
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
        """A configuration small enough to try anything on in milliseconds; the default one unless overridden."""
        return cls.Config()

    def prepare(self, context: VocoderContext) -> None:
        """Get ready to decode: train, where it ``trains``. One that comes with weights of its own loads them here instead.

        Raises:
            BenchmarkError: it can't (a checkpoint is missing, damaged, or of another mel definition).
        """
        if self.trains:
            context.train(self)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The parameters that the harness's optimiser moves, by rate; all at the run's rate unless overridden."""
        return [ParameterGroup(list(self.parameters()))]

    def training_step(self, segments: Segments) -> dict[str, float]:
        """Leave gradients on the parameters for the harness's optimiser, and return scalars for the logs, a "loss" among them.

        All randomness must come from torch's global generator, which the harness seeds before every step.
        """
        raise NotImplementedError(f"{type(self).__name__} trains, so it must override training_step()")

    @abstractmethod
    def decode(self, mel: Tensor) -> Tensor:
        """Waveform of one utterance; deterministic.

        Args:
            mel: shape (F, n_mels), natural-log magnitude.

        Returns:
            shape (samples,), about (F - 1) * hop_length of them, float32 in about [-1, 1], at ``mel.sample_rate``.

        Raises:
            PredictionFailed: the mel can't be inverted (too short, not finite).
        """
