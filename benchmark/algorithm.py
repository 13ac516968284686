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
                yield step, AdaptedModel(self.backbone, parameters)

    PLUGIN = MyAlgorithm
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

__all__ = ["Adapted", "AdaptedModel", "AdaptedVoice", "Algorithm", "Oracle", "ParameterGroup", "Task", "pinned"]


@dataclass(frozen=True)
class AdaptedModel:
    """The backbone as adapted to one target: some parameters replaced and, optionally, a computed speaker vector.

    A problem makes it speak or listen. Subclasses may compute what they use from what they store.

    Attributes:
        backbone: shared by all targets.
        stored: what has to be kept for this target: parameters and buffers of the backbone to replace, by name, and
            under "speaker" a vector of shape (speaker_dim,). Kept as given: hand over detached copies (``descend``
            yields such).
        speaker: a vector that is not this target's own and so need not be stored (floors).
    """

    backbone: Backbone
    stored: Mapping[str, Tensor] = field(default_factory=dict)
    speaker: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the backbone computes."""
        return next(self.backbone.parameters()).device

    def replaced(self) -> dict[str, Tensor]:
        """What takes the place of the backbone's own parameters and buffers."""
        return {name: value for name, value in self.stored.items() if name != "speaker"}

    def speaker_vector(self, tokens: Tensor) -> Tensor | None:
        """The vector to speak a sentence with, shape (speaker_dim,); None for the backbone's own new speaker.

        Args:
            tokens: (T,) int64; most targets have one vector for all sentences.
        """
        return self.stored.get("speaker", self.speaker)

    def run(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the backbone with what was adapted in place: no gradients, dropout off."""
        with pinned(self.backbone, training=False), torch.no_grad():
            return call(self.backbone, self.replaced(), method, *args, **options)

    def mel(self, tokens: Tensor, durations: Tensor | None = None) -> Tensor:
        """The log-mel of a sentence, shape (F, n_mels); arguments as of :meth:`benchmark.backbone.SynthesisBackbone.synthesize`.

        Raises:
            PredictionFailed: the model has none, or one that is not finite.
        """
        tokens = tokens.to(self.device)
        options = {} if durations is None else {"durations": durations.to(self.device)}
        vector = self.speaker_vector(tokens)
        mel: Tensor = self.run("synthesize", tokens, **options, **({} if vector is None else {"speaker": vector}))
        if not torch.isfinite(mel).all():
            raise PredictionFailed("the mel that the model predicts is not finite")
        return mel

    def transcript(self, mel: Tensor) -> str:
        """What is said in a log-mel of shape (F, n_mels)."""
        return str(self.run("transcribe", mel.to(self.device)))


AdaptedVoice = AdaptedModel
"""Its name in the first edition, for plugins that import it."""


class Oracle(ABC):
    """What a topline yields in place of a model: it is shown the recording that the others are scored against.

    Attributes:
        stored: nothing.
    """

    stored: Mapping[str, Tensor] = {}

    @abstractmethod
    def heard(self, recording: PreparedUtterance, vocoder: Vocoder) -> Tensor:
        """The waveform that takes the place of synthesis, shape (samples,), float32."""


Adapted = AdaptedModel | Oracle


class Algorithm(nn.Module, ABC):
    """Base of every algorithm plugin; a file in ``algorithms/`` that ends in ``PLUGIN = YourClass``.

    It learns from tasks and adapts to a target's support set; whether the backbone then speaks or transcribes is the
    problem's affair (:mod:`benchmark.problem`).

    ``backbone`` arrives pretrained on the training speakers. The harness draws the tasks, owns the outer optimiser
    and stops training when the compute budget, the same for every algorithm, is spent. All randomness must come from
    torch's global generator, which the harness seeds before every step and every adaptation.

    Attributes:
        trains: False for what has nothing to learn beyond the pretrained backbone (``meta_step`` is never called).
        needs: what it can't do without, of "mels" (the support's sound), "transcripts" (what is said there, and when),
            "speaker_vector" (a backbone that takes one: ``Backbone.supports``) and "synthesis" (it makes speech itself).
            An instance may set it, where it depends on the configuration. What does not fit is refused before a run starts.
        uses_support: False where adaptation ignores the support set: it is handed None and evaluated once, as 0 shots.
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
        embeds: True where it defines ``embed(batch)``, which returns an embedding of each utterance, shape (B, D), and
            leaves ``self`` as it was; a run then measures the embedding space (:mod:`benchmark.scoring.embedding_space`).
    """

    trains: ClassVar[bool] = True
    needs: Sequence[str] = ("mels", "transcripts")
    uses_support: ClassVar[bool] = True
    max_steps: int | None = None
    oracle: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, Sequence[Any]]] = {}
    adaptation_only: ClassVar[Sequence[str]] = ()
    pools_tasks: ClassVar[bool] = False
    conditions_on: ClassVar[str | None] = None
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
        """A number that changes when the cost of a training step does (second derivatives begin, say): it is counted again then."""
        return 0

    def parameter_groups(self) -> list[ParameterGroup]:
        """The parameters that the outer optimiser moves, by rate; all at the run's rate unless overridden."""
        return [ParameterGroup(list(self.parameters()))]

    def meta_step(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Leave gradients on the parameters for the outer optimiser, and return scalars for the logs.

        Required unless ``trains`` is False. Must return a "loss".
        """
        raise NotImplementedError(f"{type(self).__name__} trains, so it must override meta_step()")

    @abstractmethod
    def adapt(self, support: Batch, steps: Sequence[int]) -> Iterator[tuple[int, Adapted]]:
        """Adapt to the support set's target and yield ``(step, model)`` at each of ``steps``, in rising order.

        Leaves ``self`` exactly as it was. Speakers in ``support`` are ``NEW_SPEAKER``. Without ``uses_support``,
        ``support`` is None; without "transcripts" in ``needs``, all it has may be mels and their lengths.

        Raises:
            AdaptationFailed: no model can be given (a loss that is not finite).
        """

    @abstractmethod
    def adapted_parameters(self) -> dict[str, int]:
        """What is stored per target: the count of numbers by name, as in ``AdaptedModel.stored`` after a step."""


class pinned:
    """Context that puts a module and its children in train or eval mode and restores each one's own mode after.

    In eval mode recurrent layers stay in train mode with their dropout at 0: cuDNN computes no gradients of others.
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
