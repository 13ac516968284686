"""What a backbone plugin is: the text-to-mel model that every algorithm adapts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.batch import Batch
from benchmark.mel import MelSpec
from benchmark.utterance import Statistics


@dataclass(frozen=True)
class BackboneSpec:
    """What a backbone is built from, taken from the corpus.

    Attributes:
        symbols: size of the symbol table (index 0 is padding).
        train_speakers: number of training speakers.
        mel: the mel definition to predict.
        statistics: of the training split, for normalisation.
    """

    symbols: int
    train_speakers: int
    mel: MelSpec
    statistics: Statistics


class Backbone(nn.Module, ABC):
    """Base of every backbone plugin; a file in ``benchmark/backbones/`` that ends in ``PLUGIN = YourClass``.

    A plain module, run through :func:`torch.func.functional_call`, so ``forward`` must use only its own parameters.
    Speakers are indices in ``batch.speakers``: a training speaker's own vector, or, for ``NEW_SPEAKER``, the mean of
    the training speakers' vectors plus the learnable offset ``new_speaker``. ``speaker`` overrides
    both with given vectors, for algorithms that compute an embedding instead of learning one.

    Attributes:
        speaker_dim: length of a speaker vector.
        new_speaker: the parameter of shape (speaker_dim,) above.
    """

    speaker_dim: int
    new_speaker: nn.Parameter

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, spec: BackboneSpec, config: Any = None) -> None:
        super().__init__()
        self.spec = spec
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """Training losses, scalars; the one called "loss" is what is minimised, the others are for logs.

        Args:
            batch: utterances with their reference durations, pitch and energy.
            speaker: None, or vectors of shape (B, speaker_dim) or (speaker_dim,).
        """

    @abstractmethod
    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """The log-mel of one sentence, shape (F, n_mels), spoken by the new speaker.

        Args:
            tokens: (T,) int64 symbol indices.
            durations: (T,) frames per token; None lets the model choose (every phone at least one frame).
            speaker: None for the new speaker, or a vector of shape (speaker_dim,).

        Raises:
            SpeechFailed: there is nothing to be said: its durations are out of all bounds.
        """

    @abstractmethod
    def speaker_vectors(self) -> Tensor:
        """The training speakers' vectors, shape (train_speakers, speaker_dim)."""

    @abstractmethod
    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Parameter names by group: at least "embedding", "variance", "decoder", "output" and "all".

        A group never holds the training speakers' vectors: they mean nothing to a new speaker.
        """

    def forward(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call ``loss`` or ``synthesize`` by name: ``functional_call`` only reaches ``forward``."""
        return getattr(self, method)(*args, **kwargs)


def call(backbone: Backbone, parameters: Mapping[str, Tensor], method: str, *args: Any, **kwargs: Any) -> Any:
    """``backbone.method(...)`` with ``parameters`` in place of those of the same names."""
    return torch.func.functional_call(backbone, dict(parameters), (method, *args), kwargs)
