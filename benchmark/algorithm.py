"""What an algorithm plugin is: a way to learn from many speakers how to adapt to a new one.

The smallest one is a file of about 30 lines::

    class MyAlgorithm(Algorithm):
        '''One line about it.'''

        def meta_step(self, tasks):                 # how it learns from training speakers
            return joint_step(self.backbone, both_halves(tasks))

        def adapt(self, support, steps):            # how it adapts to a new one
            names = select(self.backbone, ("decoder",))
            optimizer = partial(torch.optim.Adam, lr=1e-3)
            for step, parameters in descend(self.backbone, names, support, optimizer, steps):
                yield step, AdaptedVoice(self.backbone, parameters)

    PLUGIN = MyAlgorithm
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone, call
from benchmark.batch import Batch
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder


@dataclass(frozen=True)
class Task:
    """One training episode: what one speaker said, in two parts that share no utterance."""

    support: Batch
    query: Batch

    def to(self, device: torch.device | str, **_: Any) -> Task:
        """The same task on another device (Lightning calls this)."""
        return Task(self.support.to(device), self.query.to(device))


@dataclass(frozen=True)
class Sentence:
    """What a voice is asked to say.

    Attributes:
        tokens: (T,) int64.
        durations: (T,) frames of the reference in aligned mode; None in free-running mode.
        recording: the reference itself, for oracles (toplines) only.
    """

    tokens: Tensor
    durations: Tensor | None = None
    recording: PreparedUtterance | None = None


class Voice(ABC):
    """A speaker as an algorithm keeps them.

    Attributes:
        stored: the tensors that have to be kept for this speaker, by name.
    """

    stored: Mapping[str, Tensor]

    @abstractmethod
    def speak(self, sentence: Sentence, vocoder: Vocoder) -> Tensor:
        """The waveform, shape (samples,), float32 at the vocoder's rate.

        Raises:
            SpeechFailed: it can't say this sentence.
        """


@dataclass(frozen=True)
class AdaptedVoice(Voice):
    """The backbone with some parameters replaced and, optionally, a computed speaker vector.

    Attributes:
        backbone: shared by all speakers.
        stored: parameters of the backbone to replace, by name, and under "speaker" a vector of shape (speaker_dim,)
            computed for this speaker. Kept as given: hand over detached copies (``descend`` yields such).
        speaker: a vector that is not this speaker's own and so need not be stored (floors).
    """

    backbone: Backbone
    stored: Mapping[str, Tensor] = field(default_factory=dict)
    speaker: Tensor | None = None

    def replaced(self) -> dict[str, Tensor]:
        """What takes the place of the backbone's own parameters and buffers; subclasses may compute it from ``stored``."""
        return {name: value for name, value in self.stored.items() if name != "speaker"}

    def mel(self, sentence: Sentence) -> Tensor:
        """The log-mel, shape (F, n_mels)."""
        speaker = self.stored.get("speaker", self.speaker)
        with pinned(self.backbone, training=False), torch.no_grad():
            return call(self.backbone, self.replaced(), "synthesize", sentence.tokens, sentence.durations, speaker)

    def speak(self, sentence: Sentence, vocoder: Vocoder) -> Tensor:
        """See :meth:`Voice.speak`."""
        return vocoder.decode(self.mel(sentence))


class Algorithm(nn.Module, ABC):
    """Base of every algorithm plugin; a file in ``algorithms/`` that ends in ``PLUGIN = YourClass``.

    ``backbone`` arrives pretrained on the training speakers. The harness draws the tasks, owns the outer optimiser
    and stops training when the compute budget, the same for every algorithm, is spent. All randomness must come from
    torch's global generator, which the harness seeds before every step and every adaptation.

    Attributes:
        trains: False for what has nothing to learn beyond the pretrained backbone (``meta_step`` is never called).
        uses_support: False where adaptation ignores the support set (evaluated once, as 0 shots).
        max_steps: the most adaptation steps that make sense; 0 where there are none (evaluated at 0 steps only). May
            depend on the configuration: an instance may set it.
        oracle: True for toplines, which are shown the reference recording.
        search_space: values that ``tune`` chooses from, by the name of a ``Config`` field; the default among them.
        adaptation_only: fields of ``Config`` that neither ``meta_step`` nor the state_dict depends on, so that trials
            which differ in nothing else share one training.
        pools_tasks: True where a training step is not the mean of its tasks one by one: it compares speakers with one
            another (metric learning), or takes statistics over all of them.
        conditions_on: name of the pretrained speaker encoder it conditions on ("ge2e"), if any; metrics that rank with
            the same one are refused.

    One that embeds speech may define ``embed(batch)``, which returns an embedding of each utterance, shape (B, D), and
    leaves ``self`` as it was; a run then measures the embedding space (:mod:`benchmark.scoring.embedding_space`).
    """

    trains: ClassVar[bool] = True
    uses_support: ClassVar[bool] = True
    max_steps: int | None = None
    oracle: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, Sequence[Any]]] = {}
    adaptation_only: ClassVar[Sequence[str]] = ()
    pools_tasks: ClassVar[bool] = False
    conditions_on: ClassVar[str | None] = None

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, backbone: Backbone, config: Any = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config: Any = config if config is not None else self.Config()

    @property
    def phase(self) -> int:
        """A number that changes when the cost of a training step does (second derivatives begin, say): it is counted anew then."""
        return 0

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Leave gradients on the parameters for the outer optimiser, and return scalars for the logs.

        Required unless ``trains`` is False. Must return a "loss".
        """
        raise NotImplementedError(f"{type(self).__name__} trains, so it must override meta_step()")

    @abstractmethod
    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Voice]]:
        """Adapt to the support set's speaker and yield ``(step, voice)`` at each of ``steps``, in rising order.

        Leaves ``self`` exactly as it was. Speakers in ``support`` are ``NEW_SPEAKER``.

        Raises:
            AdaptationFailed: no voice can be given (a loss that is not finite).
        """

    @abstractmethod
    def adapted_parameters(self) -> dict[str, int]:
        """What is stored per speaker: the count of numbers by name, as in ``Voice.stored`` after a step."""


class pinned:
    """Context that puts a module and its children in train or eval mode and restores each one's own mode after."""

    def __init__(self, module: nn.Module, training: bool) -> None:
        self.module, self.training = module, training

    def __enter__(self) -> None:
        self.modes = [(child, child.training) for child in self.module.modules()]
        self.module.train(self.training)

    def __exit__(self, *_: object) -> None:
        for child, mode in self.modes:
            child.training = mode
