"""The interface of algorithm plugins: learn from many speakers how to adapt to a new one.

The smallest one is a file of about 30 lines::

    class MyAlgorithm(Algorithm):
        '''One line about it.'''

        def meta_step(self, tasks):                 # how it learns from training speakers
            return joint_step(self.backbone, both_halves(tasks))

        def adapt(self, support, steps):            # how it adapts to a new one
            names = select(self.backbone, ("decoder",))
            optimizer = partial(torch.optim.Adam, lr=1e-3)
            for step, parameters in descend(self.backbone, names, support, optimizer, steps):
                yield step, AdaptedModel(self.backbone, parameters)

        def adapted_parameters(self):               # what it stores for one
            return sizes(self.backbone, select(self.backbone, ("decoder",)))

    PLUGIN = MyAlgorithm

README.md has it with its imports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmark.backbone import Backbone, call
from benchmark.batch import Batch
from benchmark.errors import PredictionFailed
from benchmark.parameters import ParameterGroup
from benchmark.task import Task
from benchmark.utterance import PreparedUtterance
from benchmark.vocoder import Vocoder

__all__ = ["Adapted", "AdaptedModel", "Algorithm", "Labels", "Oracle", "ParameterGroup", "Task", "pinned"]


@dataclass(frozen=True)
class AdaptedModel:
    """The backbone adapted to one target: some parameters replaced and, optionally, a computed speaker vector.

    A problem makes it speak or transcribe. Subclasses may compute what they use from what they store.

    Attributes:
        backbone: shared by all targets.
        stored: tensors kept for this target: parameters and buffers of the backbone to replace, by name, and under
            "speaker" a vector of shape (speaker_dim,). They are not copied: pass detached copies (``descend`` yields
            them).
        speaker: a speaker vector that does not belong to this target, so it is not stored (floors).
    """

    backbone: Backbone
    stored: Mapping[str, Tensor] = field(default_factory=dict)
    speaker: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """The backbone's device."""
        return next(self.backbone.parameters()).device

    def replaced(self) -> dict[str, Tensor]:
        """The parameters and buffers that replace the backbone's."""
        return {name: value for name, value in self.stored.items() if name != "speaker"}

    def speaker_vector(self, tokens: Tensor) -> Tensor | None:
        """The speaker vector for a sentence, shape (speaker_dim,); None for the backbone's new speaker.

        Args:
            tokens: (T,) int64, the sentence; most models use one vector for all sentences.
        """
        return self.stored.get("speaker", self.speaker)

    def run(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the adapted backbone, without gradients or dropout."""
        with pinned(self.backbone, training=False), torch.no_grad():
            return call(self.backbone, self.replaced(), method, *args, **options)

    def mel(self, tokens: Tensor, durations: Tensor | None = None) -> Tensor:
        """The log-mel of a sentence, shape (F, n_mels); arguments as for :meth:`benchmark.backbone.SynthesisBackbone.synthesize`.

        Raises:
            PredictionFailed: the model predicts no mel, or one that is not finite.
        """
        tokens = tokens.to(self.device)
        options = {} if durations is None else {"durations": durations.to(self.device)}
        vector = self.speaker_vector(tokens)
        mel: Tensor = self.run("synthesize", tokens, **options, **({} if vector is None else {"speaker": vector}))
        if not torch.isfinite(mel).all():
            raise PredictionFailed("the mel that the model predicts is not finite")
        return mel

    def wave(self, vocoder: Vocoder, tokens: Tensor, durations: Tensor | None = None) -> Tensor:
        """The speech of a sentence, shape (samples,); arguments as for :meth:`mel`, and the vocoder of the run.

        Raises:
            PredictionFailed: the model predicts no mel, or none that the vocoder can invert.
        """
        wave: Tensor = self.run("vocode", self.mel(tokens, durations), vocoder)
        return wave

    def transcript(self, mel: Tensor) -> str:
        """The transcript of a log-mel of shape (F, n_mels)."""
        return str(self.run("transcribe", mel.to(self.device)))


class Oracle(ABC):
    """What a topline yields instead of a model: it is given the recording that models are scored against.

    Attributes:
        stored: nothing.
    """

    stored: Mapping[str, Tensor] = {}

    @abstractmethod
    def heard(self, recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        """The waveform to score instead of synthesised speech, shape (samples,), float32."""


Adapted = AdaptedModel | Oracle


@dataclass(frozen=True)
class Labels:
    """What a dataset tells of people, for floors that hear nothing of them (:attr:`Algorithm.labels`).

    Attributes:
        target: of the target: {"sex": "f", "age": "24"}.
        training: of each training speaker, in the order of the backbone's speaker vectors.
    """

    target: Mapping[str, str]
    training: Sequence[Mapping[str, str]]


class Algorithm(nn.Module, ABC):
    """Base of every algorithm plugin: a file in ``algorithms/`` that ends in ``PLUGIN = YourClass``.

    An algorithm learns from tasks and adapts to a target's support set. The problem decides whether the backbone then
    speaks or transcribes (:mod:`benchmark.problem`).

    ``backbone`` arrives pretrained on the training speakers. The harness draws the tasks, owns the outer optimiser
    and stops training when the compute budget, the same for every algorithm, is spent. All randomness must come from
    torch's global generator, which the harness seeds before every step and every adaptation.

    Attributes:
        trains: False if there is nothing to learn beyond the pretrained backbone (``meta_step`` is never called).
        needs: requirements, of "mels" (of the support set), "transcripts" (its text and phone durations),
            "speaker_vector" (a backbone that takes one) and "durations" (that has them: ``Backbone.supports``), "synthesis"
            and "recognition" (a backbone that makes speech, that transcribes). An instance may set it if it depends on the
            configuration. Misfits are refused before a run starts.
        uses_support: False if adaptation ignores the support set: it gets None and is evaluated once, as 0 shots.
        uses_all_speech: True if the support set is all of the target's speech but the queries (support and enrolment utterances
            of the episode, without those that say what a query says): it is evaluated once, as 0 shots.
        labels: labels that it needs of all speakers, "sex" or "age", in place of their speech: without ``uses_support``, ``adapt`` then
            gets :class:`Labels`. A corpus that does not tell them is refused.
        same_start: True if the model after 0 steps is the same whatever the support set: it is spoken and scored once for all numbers
            of shots. An instance may set it if it depends on the configuration.
        max_steps: the largest useful number of adaptation steps; 0 if it takes none (evaluated at 0 steps only). An
            instance may set it if it depends on the configuration.
        oracle: True for toplines, which are given the reference recording.
        role: "topline" or "floor" if its rows give those of methods their scale. An oracle is a topline, and what ignores the
            support set is a floor, without saying so.
        search_space: values that ``tune`` chooses from, by ``Config`` field; the default must be among them.
        adaptation_only: fields of ``Config`` that neither ``meta_step`` nor the state_dict depends on, so that trials
            which differ in nothing else share one training.
        pools_tasks: True if a step's gradient is not the mean of the tasks' own gradients, because the step compares
            speakers with one another (metric learning) or takes statistics over all of them.
            It then trains in one process only.
        conditions_on: name of the pretrained speaker encoder it conditions on ("ge2e"), if any; metrics that rank with
            the same encoder are refused. An instance may set it if it depends on the configuration.
        outer_step: None if the harness's optimiser moves the parameters (AdamW, gradients clipped to norm 1). Else it is called instead
            after each ``meta_step``, with the fraction of the budget that was spent before, from 0 to below 1; gradients are then means
            over processes and not clipped. An instance may set it if it depends on the configuration.
        wants_moments: True if it starts from the pretraining's gradients too: it is then given them (:meth:`take_moments`) before it
            trains. An instance may set it if it depends on the configuration.
        embeds: True if it defines ``embed(batch)``, which returns an embedding of each utterance, shape (B, D), and
            leaves ``self`` unchanged; a run then measures the embedding space (:mod:`benchmark.running.embedding_space`).
    """

    trains: ClassVar[bool] = True
    needs: Sequence[str] = ("mels", "transcripts")
    uses_support: ClassVar[bool] = True
    uses_all_speech: ClassVar[bool] = False
    labels: ClassVar[Sequence[str]] = ()
    same_start: bool = False
    max_steps: int | None = None
    oracle: ClassVar[bool] = False
    role: ClassVar[str] = ""
    search_space: ClassVar[Mapping[str, Sequence[Any]]] = {}
    adaptation_only: ClassVar[Sequence[str]] = ()
    pools_tasks: ClassVar[bool] = False
    conditions_on: str | None = None
    outer_step: Callable[[float], None] | None = None
    wants_moments: bool = False
    embeds: ClassVar[bool] = False
    embed: Callable[[Batch], Tensor]

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, backbone: Backbone, config: Any = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config: Any = config if config is not None else self.Config()

    @property
    def phase(self) -> int:
        """A number that changes when the cost of a training step does (second derivatives begin, say), so that it is counted again."""
        return 0

    def parameter_groups(self) -> list[ParameterGroup]:
        """The parameters that the outer optimiser updates, by learning rate; by default all at the run's rate."""
        return [ParameterGroup(list(self.parameters()))]

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Leave gradients on the parameters for the outer optimiser, and return scalars to log, "loss" among them.

        Required unless ``trains`` is False.
        """
        raise NotImplementedError(f"{type(self).__name__} trains, so it must override meta_step()")

    def take_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Take how large the pretraining's gradients were at its end, for algorithms that ``wants_moments``.

        Args:
            moments: running means of the squared gradients (Adam's second moments without their bias), by the backbone's parameter,
                in its shape; zeros for one that never had a gradient. Parts that were not pretrained, such as an adapting vocoder,
                are missing.
        """
        raise NotImplementedError(f"{type(self).__name__} wants moments, so it must override take_moments()")

    @abstractmethod
    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """Adapt to the support set's target and yield ``(step, model)`` at each of ``steps``, in rising order.

        Must leave ``self`` unchanged. Speakers in ``support`` are ``NEW_SPEAKER``. Without ``uses_support``,
        ``support`` is None, or :class:`Labels` if it needs ``labels``; without "transcripts" in ``needs``, it may hold nothing but mels
        and their lengths.

        Raises:
            AdaptationFailed: there is no model to yield (the loss is not finite, say).
        """

    @abstractmethod
    def adapted_parameters(self) -> dict[str, int]:
        """How many numbers are stored per target, by name, as in ``AdaptedModel.stored`` after a step."""


class pinned:
    """Context that puts a module and its children in train or eval mode, and restores each one's mode afterwards.

    Under eval, recurrent layers stay in train mode with dropout 0, because cuDNN computes their gradients only there.
    """

    def __init__(self, module: nn.Module, training: bool) -> None:
        self.module, self.training = module, training

    def __enter__(self) -> None:
        self.modes = [(child, child.training) for child in self.module.modules()]
        self.module.train(self.training)
        layers = [] if self.training else [each for each in self.module.modules() if type(each) in (nn.RNN, nn.GRU, nn.LSTM)]
        self.dropouts = [(layer, layer.dropout) for layer in layers]
        for layer, _ in self.dropouts:
            layer.training, layer.dropout = True, 0.0  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        for layer, dropout in self.dropouts:
            layer.dropout = dropout
        for child, mode in self.modes:
            child.training = mode
