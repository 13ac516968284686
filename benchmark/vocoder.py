"""The interface of vocoder plugins: log-mel spectrogram to waveform."""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.errors import BenchmarkError, PredictionFailed, UsageError
from benchmark.mel import MelSpec
from benchmark.parameters import ParameterGroup
from benchmark.plumbing import checkpoint, model_file
from benchmark.plumbing.files import digest_of_file

SHIPPED = "shipped"
"""As ``config.checkpoint``: the vocoder of the model that comes with this package."""
PART = "vocoder"
"""The part of a model file that holds the vocoder's weights."""


class Segments(NamedTuple):
    """The training data of one vocoder step: pieces of real speech.

    Attributes:
        mels: (B, F, n_mels) natural-log magnitude, by the vocoder's mel definition.
        audio: (B, (F - 1) * hop_length) float32 in [-1, 1], the audio of the mels.
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
    """What ``prepare`` may use.

    Attributes:
        train: trains a vocoder that ``trains``, on training speakers only, with the preset's budget, or loads what an
            earlier run trained. Training happens once per corpus, vocoder and seed, under a lock; it is cached and resumable.
    """

    train: Callable[[Vocoder], None]


class Vocoder(nn.Module, ABC):
    """Base of every vocoder plugin: a file in ``benchmark/vocoders/`` that ends in ``PLUGIN = YourClass``.

    A ``Config`` with a field ``checkpoint: str = ""`` lets users name a file of weights, which is loaded instead of training: one that
    :meth:`save_weights` wrote, a model file that ``export`` wrote, or "shipped", the model file that comes with this package.
    ``decode`` never gets a mel that is too short or not finite: the base class refuses it, and waveforms that are not finite.

    Args:
        config: an instance of the plugin's own ``Config``.

    Attributes:
        trains: True for a vocoder that learns, and so defines ``loss``.
        decoding_only: fields of ``Config`` that training does not depend on: vocoders which differ in nothing else are trained once.
        mel: the mel definition that it inverts. Corpora are prepared with it, so backbones predict it.
    """

    trains: ClassVar[bool] = False
    decoding_only: ClassVar[Sequence[str]] = ()
    mel: MelSpec

    @dataclass(frozen=True)
    class Config:
        """No fields unless the plugin declares its own."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config: Any = config if config is not None else self.Config()
        self.mel = MelSpec()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if not hasattr(cls.decode, "refuses"):  # its own, or that of a class beside
            cls.decode = _refusing(cls.decode)  # type: ignore[method-assign]

    @classmethod
    def tiny(cls) -> Any:
        """A configuration that runs in milliseconds, for tests; the default one unless overridden."""
        return cls.Config()

    def prepare(self, context: VocoderContext) -> None:
        """Get ready to decode: load ``config.checkpoint`` if it names a file, else train if it ``trains``.

        Raises:
            BenchmarkError: a checkpoint is missing, damaged, or of another mel definition.
        """
        if path := checkpoint_of(self.config):
            self.load_weights(path)
        elif self.trains:
            context.train(self)

    def weights(self) -> dict[str, Any]:
        """The content of a file of weights: "mel", the mel definition that they invert, and "state", the :meth:`decoding_state`."""
        return {"mel": asdict(self.mel), "state": self.decoding_state()}

    def save_weights(self, path: Path) -> None:
        """Write a file for ``config.checkpoint``. The cache's ``vocoders/`` holds such files of vocoders that runs trained."""
        checkpoint.save(path, self.weights())

    def load_weights(self, path: Path) -> None:
        """Load the weights in a file that :meth:`save_weights` or ``export`` wrote.

        Raises:
            UsageError: there is no such file, it holds no vocoder, or it is of another mel definition or of other sizes.
            BenchmarkError: it is damaged, or not such a file.
        """
        kept = _read(path)
        for name, ours in asdict(self.mel).items():
            if kept["mel"].get(name) != ours:
                theirs = kept["mel"].get(name)
                raise UsageError(f"The checkpoint {path} inverts mels of {name} {theirs}, this vocoder those of {ours}; name another file.")
        if not all(torch.isfinite(each).all() for each in kept["state"].values()):
            raise BenchmarkError(f"The checkpoint {path} holds weights that are not finite; name another file.")
        try:
            load_speaking_state(self, kept["state"])
        except ValueError as error:
            raise UsageError(
                f"The checkpoint {path} is of another vocoder or of other sizes: {error}; set the sizes that it was trained with, or "
                "train one: --vocoder.checkpoint ''."
            ) from error

    def parameter_groups(self) -> list[ParameterGroup]:
        """The parameters that the harness's optimiser updates, by learning rate; by default all at the run's rate."""
        return [ParameterGroup(list(self.parameters()))]

    def adaptable_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that ``decode`` depends on and ``loss`` trains, by name: all, unless some only help to train (discriminators)."""
        return dict(self.named_parameters())

    def decoding_state(self) -> dict[str, Tensor]:
        """The state that ``decode`` depends on: without what only helps to train, such as discriminators and their buffers."""
        helping = dict(self.named_parameters()).keys() - self.adaptable_parameters().keys()
        helpers = tuple(
            f"{name}."
            for name, module in self.named_modules()
            if (own := {f"{name}.{each}" for each, _ in module.named_parameters()}) and own <= helping
        )
        return {name: value for name, value in self.state_dict().items() if name not in helping and not name.startswith(helpers)}

    def loss(self, segments: Segments) -> dict[str, Tensor]:
        """Training losses, scalars; "loss" is minimised, the others are only logged.

        Where a run's learners adapt the vocoder too, they differentiate "loss" twice. All randomness must come from torch's
        global generator, which the harness seeds before every step and every adaptation.
        """
        raise NotImplementedError(f"{type(self).__name__} trains, so it must override loss()")

    def training_step(self, segments: Segments) -> dict[str, float]:
        """Leave gradients on the parameters for the harness's optimiser, and return scalars to log, "loss" among them.

        By default the gradients of ``loss``. Override it where training does more (discriminators).
        """
        losses = self.loss(segments)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        return {name: float(each.detach()) for name, each in losses.items()}

    @abstractmethod
    def decode(self, mel: Tensor) -> Tensor:
        """Waveform of one utterance; deterministic.

        Args:
            mel: shape (F, n_mels), natural-log magnitude, finite, F at least 4.

        Returns:
            shape (samples,), (F - 1) * hop_length samples or up to a hop more, float32 in about [-1, 1], at ``mel.sample_rate``.

        Raises:
            PredictionFailed: the mel can't be inverted. The base class raises this where a mel has too few frames, or where a mel or a
                waveform holds values that are not finite.
        """


def speaking_state(model: nn.Module) -> dict[str, Tensor]:
    """The ``state_dict`` of a vocoder, or of a model with a vocoder inside, without what only helps to train the vocoder."""
    state = model.state_dict()
    for place, part in model.named_modules():
        if isinstance(part, Vocoder):
            for name in part.state_dict().keys() - part.decoding_state().keys():
                del state[f"{place}.{name}" if place else name]
    return state


def load_speaking_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a :func:`speaking_state`, or a whole ``state_dict``. What only helps to train keeps its values.

    Raises:
        ValueError: a weight is missing, of another size, or of no use; names it. Nothing is loaded then.
    """
    own, needed = model.state_dict(), speaking_state(model)
    given = {name: value for name, value in state.items() if name in needed or name not in own}
    ours, theirs = _shapes(needed), _shapes(given)
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            raise ValueError(f"{name} is {theirs.get(name, 'absent')} there and {ours.get(name, 'absent')} here")
    model.load_state_dict({**own, **given})


def checkpoint_of(config: Any) -> Path | None:
    """The file of weights that a vocoder's config names; None where it names none."""
    named = getattr(config, "checkpoint", "")
    if named == SHIPPED:
        return model_file.SHIPPED
    return Path(named).expanduser() if named else None


def digest_of_weights(path: Path) -> str:
    """Digest of a file of weights; of a model file, that of its vocoder alone.

    Raises:
        OSError: it can't be read.
        BenchmarkError: it is a damaged model file.
    """
    return model_file.content_digest(path, PART) if model_file.is_model(path) else digest_of_file(path)


def _refusing(decode: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``decode`` with checks of its mel and its waveform."""

    @wraps(decode)
    def refusing(self: Vocoder, mel: Tensor) -> Tensor:
        # Audio has a mel from n_fft / 2 + 1 samples on: the transform pads it by reflection.
        least = self.mel.n_fft // 2 // self.mel.hop_length + 2
        if len(mel) < least:
            raise PredictionFailed(f"the mel has {len(mel)} frame{'s' * (len(mel) != 1)}, and a waveform takes {least}")
        if not torch.isfinite(mel).all():
            raise PredictionFailed("the mel holds values that are not finite")
        try:
            wave = decode(self, mel)
        except torch.linalg.LinAlgError as error:  # a matrix that adaptation or training made singular
            raise PredictionFailed(f"the vocoder could not compute a waveform ({error})") from error
        if not torch.isfinite(wave).all():
            raise PredictionFailed("the vocoder made a waveform that is not finite")
        return wave

    refusing.refuses = True  # type: ignore[attr-defined]
    return refusing


def _read(path: Path) -> dict[str, Any]:
    """A file of weights, its types checked."""
    if not path.is_file():
        raise UsageError(f"There is no checkpoint {path}; name a file of a vocoder's weights.")
    if model_file.is_model(path):
        bundle = model_file.read(path)
        if not (state := bundle.part(PART)):
            raise UsageError(f"The model file {path} holds no vocoder; name another file of a vocoder's weights.")
        return {"mel": bundle.facts["frontend"]["spec"]["mel"], "state": state}
    try:
        with zipfile.ZipFile(path) as archive:
            # torch.load takes damaged tensors for whole.
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is damaged fails to load in any way
        raise BenchmarkError(f"The checkpoint {path} is damaged, or is no file of weights that torch.save wrote.") from error
    fits = isinstance(kept, dict) and isinstance(kept.get("mel"), dict) and isinstance(kept.get("state"), dict)
    if not fits or not all(isinstance(each, Tensor) for each in kept["state"].values()):
        raise BenchmarkError(f"The checkpoint {path} is not of a vocoder: it must hold 'mel' and 'state', as Vocoder.weights returns them.")
    return dict(kept)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: " x ".join(map(str, each.shape)) or "a number" for name, each in state.items()}
