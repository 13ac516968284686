"""The interface of backbone plugins: the model that every algorithm adapts, from text to mel or from mel to text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmark.batch import Batch
from benchmark.mel import MelSpec
from benchmark.utterance import Statistics
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class BackboneSpec:
    """What a backbone needs to know of the corpus to be built.

    Attributes:
        symbols: size of the symbol table (index 0 is padding).
        train_speakers: number of training speakers.
        mel: the mel definition to predict or to read.
        statistics: of the training split, for normalisation.
        characters: those of the training transcripts as recognition spells them, sorted.
    """

    symbols: int
    train_speakers: int
    mel: MelSpec
    statistics: Statistics
    characters: tuple[str, ...] = ()


class Backbone(nn.Module, ABC):
    """Common base of backbones; plugins derive from one of the two subclasses below.

    A plugin is a file in ``benchmark/backbones/`` that ends in ``PLUGIN = YourClass``. It is a plain module, run through
    :func:`torch.func.functional_call`, so ``forward`` must use only its own parameters. Algorithms differentiate twice
    through ``loss``. A layer whose operations :mod:`benchmark.running.flops` can't count is refused.

    Batch norm has one rule: **its statistics are learned from the training speakers and frozen in adaptation.** Conventional
    training (pretraining, ``joint_step``) runs in training mode: batches' statistics, which running ones follow. Inner loops, the
    outer losses behind them and ``adapt`` run in evaluation mode: they use the running statistics and change no buffer, and an
    utterance's loss does not depend on the others. Statistics of each inner step (MAML++, section 4) or of the support set are
    never taken, and `check` refuses a layer without running ones. On several devices each takes statistics of its own share, and the
    first one's are kept: a norm over channels (``LayerNorm``, ``GroupNorm``) has no such trouble, nor does it see padding.

    Attributes:
        problem: "synthesis" or "recognition".
        supports: what algorithms and metrics may rely on: "durations" (it can speak with given durations, so speech can be
            scored frame by frame), "speaker_vector" (``loss`` and ``synthesize`` take one).
        decoding_only: fields of ``Config`` that neither the weights nor ``loss`` depend on, so that models which differ in nothing
            else share one pretraining.
    """

    problem: ClassVar[str]
    supports: ClassVar[Sequence[str]] = ()
    decoding_only: ClassVar[Sequence[str]] = ()

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, spec: BackboneSpec, config: Any = None) -> None:
        super().__init__()
        self.spec = spec
        self.config: Any = config if config is not None else self.Config()

    @classmethod
    def tiny(cls) -> Any:
        """A configuration that runs in milliseconds, for tests; the default one unless overridden."""
        return cls.Config()

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Training losses, scalars; "loss" is minimised, the others are only logged. Padding must not change any."""

    @abstractmethod
    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Parameter names by group, for algorithms that adapt a part of the model; only the group "all" is required.

        No group may hold parameters that mean nothing to a new target (the training speakers' vectors).
        """

    def forward(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by name: ``functional_call`` only reaches ``forward``."""
        return getattr(self, method)(*args, **kwargs)


class SynthesisBackbone(Backbone):
    """Base of text-to-mel models.

    A backbone that ``supports`` "speaker_vector" tells speakers apart by a vector. An index in ``batch.speakers`` selects
    a training speaker's vector; ``NEW_SPEAKER`` selects the mean of those vectors plus the learnable offset
    ``new_speaker``. The argument ``speaker`` overrides both, for algorithms that compute an embedding.

    Attributes:
        speaker_dim: length of a speaker vector.
        new_speaker: the parameter of shape (speaker_dim,) above.
    """

    problem = "synthesis"
    speaker_dim: int
    new_speaker: nn.Parameter

    @abstractmethod
    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """See :meth:`Backbone.loss`.

        Args:
            batch: utterances with their reference durations, pitch and energy.
            speaker: None, or vectors of shape (B, speaker_dim) or (speaker_dim,).
        """

    @abstractmethod
    def synthesize(self, tokens: Tensor, durations: Tensor | None = None, speaker: Tensor | None = None) -> Tensor:
        """The log-mel of one sentence, shape (F, n_mels), spoken by the new speaker.

        Args:
            tokens: (T,) int64 symbol indices.
            durations: (T,) frames per token, if it supports "durations"; None lets the model choose.
            speaker: None for the new speaker, or a vector of shape (speaker_dim,), if it supports "speaker_vector".

        Raises:
            PredictionFailed: there is no mel (durations out of bounds, or the model does not stop).
        """

    def vocode(self, mel: Tensor, vocoder: Vocoder) -> Tensor:
        """The waveform of a mel that it predicted: the vocoder's, unless the model has one of its own that adapts with it.

        Args:
            mel: (F, n_mels).
            vocoder: the run's.
        """
        return vocoder.decode(mel)

    def speaker_vectors(self) -> Tensor:
        """The training speakers' vectors, shape (train_speakers, speaker_dim)."""
        raise NotImplementedError(f"{type(self).__name__} has no speaker vectors")


class RecognitionBackbone(Backbone):
    """Base of mel-to-text models, which write in ``spec.characters``."""

    problem = "recognition"

    def learnable(self, frames: int, text: str) -> bool:
        """Whether the loss is defined for a recording of so many mel frames and its transcript, as :func:`spelled` writes it.

        Trainings leave the others out. All are by default but those whose transcript spells nothing that the model can write.
        """
        return bool(self.writable(text).strip())

    def writable(self, text: str) -> str:
        """A text without the characters that no training transcript has."""
        return "".join(each for each in text if each in self.spec.characters)

    @abstractmethod
    def transcribe(self, mel: Tensor) -> str:
        """The transcript, in the characters of the training transcripts.

        Args:
            mel: (F, n_mels) log-mel of one utterance.

        Raises:
            PredictionFailed: the mel is too short.
        """


def call(backbone: Backbone, parameters: Mapping[str, Tensor], method: str, *args: Any, **kwargs: Any) -> Any:
    """``backbone.method(...)`` with ``parameters`` replacing its own of the same names."""
    return torch.func.functional_call(backbone, dict(parameters), (method, *args), kwargs)
