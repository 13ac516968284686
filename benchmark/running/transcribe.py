"""A trained recogniser transcribes: its algorithm adapts to somebody's recordings, if there are any, and reads others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.data.recordings import LeftOut, Recording, sound_of, told
from benchmark.errors import BenchmarkError, PredictionFailed, UsageError
from benchmark.mel import log_mel
from benchmark.running.trained_model import Adaptation, TrainedModel


@dataclass(frozen=True)
class Transcribed:
    """Transcripts, and how they were made.

    Attributes:
        texts: one for each recording, as recognition spells it.
        recordings: number of recordings adapted to.
        left_out: recordings of the voice that could not be used, and why.
        adapted: to the recordings.
        seconds: of wall time that transcribing took.
    """

    texts: list[str]
    recordings: int
    left_out: LeftOut
    adapted: Adaptation
    seconds: float


def transcribe(heard: Sequence[Recording], model: TrainedModel, voice: Sequence[Recording], steps: int | None) -> Transcribed:
    """Adapt to a voice and transcribe recordings of it.

    Args:
        heard: what to transcribe, at least one.
        model: one that transcribes.
        voice: recordings with transcripts to adapt to; none for the model as it was trained.
        steps: of adaptation; None for the largest number that the run was scored at.

    Raises:
        UsageError: the voice has no transcript that can be used.
        BenchmarkError: adaptation failed, or a recording can't be transcribed.
    """
    support = [each for each in voice if each.text]
    left_out = [(each.name, f"transcript is {each.unreadable}" if each.unreadable else "no transcript") for each in voice if not each.text]
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
    return Transcribed(texts, len(support), left_out, adapted, time.perf_counter() - started)
