"""A trained recogniser transcribes: its algorithm adapts to somebody's recordings, if there are any, and reads others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from benchmark.backbone import RecognitionBackbone
from benchmark.data.corpus import UNLEARNABLE
from benchmark.data.recordings import LeftOut, Recording, sound_of, told
from benchmark.errors import BenchmarkError, PredictionFailed, UsageError
from benchmark.mel import log_mel
from benchmark.running.trained_model import Adaptation, TrainedModel
from benchmark.utterance import spelled


@dataclass(frozen=True)
class Transcribed:
    """Transcripts, and how they were made.

    Attributes:
        texts: one for each recording, as recognition spells it.
        support: recordings adapted to.
        left_out: recordings of the voice that could not be used, and why.
        adapted: to the recordings.
        seconds: of wall time that transcribing took.
    """

    texts: list[str]
    support: Sequence[Recording]
    left_out: LeftOut
    adapted: Adaptation
    seconds: float


def _unusable(recording: Recording, model: TrainedModel) -> str:
    """Why a model can't adapt to a recording; "" if it can."""
    if not recording.text:
        return f"transcript is {recording.unreadable}" if recording.unreadable else "no transcript"
    backbone, text = cast(RecognitionBackbone, model.algorithm.backbone), spelled(recording.text)
    if 2 * len(backbone.writable(text).replace(" ", "")) < len(text.replace(" ", "")):
        return "most of the transcript is in characters that the model can't write"
    return "" if backbone.learnable(model.frontend.mel.frames(len(recording.audio)), text) else UNLEARNABLE


def transcribe(heard: Sequence[Recording], model: TrainedModel, voice: Sequence[Recording], steps: int | None) -> Transcribed:
    """Adapt to a voice and transcribe recordings of it.

    Args:
        heard: what to transcribe, at least one.
        model: one that transcribes.
        voice: recordings with transcripts to adapt to; none for the model as it was trained.
        steps: of adaptation; None for the largest number that the run was scored at.

    Raises:
        UsageError: the voice has no transcript that can be used, or the algorithm adapts to none.
        BenchmarkError: adaptation failed, or a recording can't be transcribed.
    """
    if voice and not model.algorithm.uses_support:
        raise UsageError(f"{model.settings.algo.name} does not adapt to recordings; leave --voice out, or choose another model.")
    judged = [(each, _unusable(each, model)) for each in voice]
    support = [each for each, reason in judged if not reason]
    left_out = [(each.name, reason) for each, reason in judged if reason]
    if voice and not support:
        name = Path(voice[0].name).stem
        where = f"beside the recordings, as {name}.txt, or in a table, metadata.csv"
        raise UsageError(f"A recogniser adapts to transcripts ({told(left_out)}): put them {where}.")
    # Without steps, all that learns by gradients takes any support set for nothing.
    asked, mel = model.steps(steps) if support else 0, model.frontend.mel
    adapted = model.adapt(sound_of(support or heard[:1], mel), asked)
    started = time.perf_counter()
    texts = []
    for each in heard:
        try:
            with torch.no_grad():
                texts.append(adapted.model.transcript(log_mel(torch.from_numpy(each.waveform), mel)))
        except PredictionFailed as error:
            raise BenchmarkError(f"{each.name} can't be transcribed: {error}.") from error
    return Transcribed(texts, support, left_out, adapted, time.perf_counter() - started)
