"""Text-to-mel model and vocoder as one model, for runs in which the vocoder adapts too (``adapt_vocoder``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from benchmark.audio import from_int16
from benchmark.backbone import Backbone, SynthesisBackbone
from benchmark.batch import Batch
from benchmark.mel import log_mel
from benchmark.vocoder import Segments, Vocoder


class WithVocoder(SynthesisBackbone):
    """What :func:`with_vocoder` adds to a backbone's class.

    The loss is the backbone's plus the vocoder's own on a piece of each recording and its mel: the vocoder learns to invert
    the speaker's mels, not to mend predicted ones. There is one group more, "vocoder", and "all" holds it too.

    Attributes:
        vocoder: adapts; what only helps to train it is frozen.
        frames: mel frames of a piece, fewer where a recording is shorter; drawn from torch's global generator.
    """

    vocoder: Vocoder
    frames: int

    def loss(self, batch: Batch, speaker: Tensor | None = None) -> dict[str, Tensor]:
        """See :meth:`SynthesisBackbone.loss`; the names of the vocoder's begin with "vocoder_"."""
        losses: dict[str, Tensor] = super().loss(batch, speaker)  # type: ignore[safe-super]
        ours = self.vocoder.loss(self._pieces(batch))
        return {**losses, "loss": losses["loss"] + ours["loss"], **{f"vocoder_{name}": each for name, each in ours.items()}}

    def adaptable_groups(self) -> Mapping[str, tuple[str, ...]]:
        """See :meth:`Backbone.adaptable_groups`."""
        groups: Mapping[str, tuple[str, ...]] = super().adaptable_groups()  # type: ignore[safe-super]
        mine = tuple(f"vocoder.{name}" for name in self.vocoder.adaptable_parameters())
        own = tuple(name for name in groups["all"] if not name.startswith("vocoder."))
        return {**groups, "vocoder": mine, "all": (*own, *mine)}

    def vocode(self, mel: Tensor, vocoder: Vocoder) -> Tensor:
        """See :meth:`SynthesisBackbone.vocode`."""
        return self.vocoder.decode(mel)

    def _pieces(self, batch: Batch) -> Segments:
        """A piece of each recording, as many frames of all as of the shortest."""
        if not batch.audio_lengths.any():
            raise ValueError("The batch holds no recordings for the vocoder to learn from; make it with collate().")
        hop, lengths = self.spec.mel.hop_length, batch.audio_lengths.tolist()
        frames = min(self.frames, *map(self.spec.mel.frames, lengths))
        mels, audio = [], []
        for samples, length in zip(batch.audio.cpu(), lengths, strict=True):
            # From the recording: augmentation may have changed the batch's mels.
            wave = torch.from_numpy(from_int16(samples[:length].numpy()))
            mel = log_mel(wave, self.spec.mel)
            start = int(torch.randint(len(mel) - frames + 1, ()))
            mels.append(mel[start : start + frames])
            audio.append(wave[start * hop : (start + frames - 1) * hop])
        return Segments(torch.stack(mels).to(batch.mels), torch.stack(audio).to(batch.mels))

    def freeze(self) -> None:
        """Keep the optimiser from what only helps to train the vocoder."""
        adapting = self.vocoder.adaptable_parameters()
        for name, parameter in self.vocoder.named_parameters():
            parameter.requires_grad_(name in adapting)

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made when it is needed, so it can't be found by name.
        return _blank, (type(self).__mro__[2],), self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.freeze()  # a vocoder may be pickled as its values alone


@cache
def _joint(kind: type[Backbone]) -> Any:
    """The backbone's class with a vocoder; it keeps its name, which stands in messages."""
    return type(kind.__name__, (WithVocoder, kind), {})


def _blank(kind: type[Backbone]) -> Any:
    joint = _joint(kind)
    return joint.__new__(joint)


def with_vocoder(backbone: Backbone, vocoder: Vocoder, frames: int) -> Backbone:
    """The backbone and the vocoder as one model, which replaces them.

    Not a module around the two, because the backbone's parameters must keep their names: algorithms know some.

    Args:
        backbone: of synthesis; it becomes the model.
        vocoder: one that trains; it becomes a part of the model.
        frames: see :class:`WithVocoder`.
    """
    backbone.__class__ = _joint(type(backbone))
    model = cast(WithVocoder, backbone)
    model.vocoder, model.frames = vocoder, frames
    model.freeze()
    return model
