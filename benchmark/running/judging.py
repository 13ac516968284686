"""What can be said of speech without a listener: how alike the voice is, and what metrics make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.audio import Audio
from benchmark.data.recordings import Recording
from benchmark.errors import CannotScore
from benchmark.metric import Column, Sample
from benchmark.running.say import Sentence
from benchmark.running.trained_model import TrainedModel
from benchmark.scoring.ge2e import embed
from benchmark.scoring.verification import Floats, centroid, normalised


@dataclass(frozen=True)
class Likeness:
    """GE2E cosines to the centroid of a voice's recordings.

    Attributes:
        spoken: of the speech.
        own: mean of each recording's to the centroid of the others; None for a single one.
        strangers: mean of training speakers' recordings; None if none are known.
    """

    spoken: float
    own: float | None
    strangers: float | None


def likeness(audio: Audio, recordings: Sequence[Recording], strangers: Floats | None) -> Likeness:
    """How much speech sounds like the voice of recordings.

    Args:
        audio: the speech, shape (samples,), at 16 kHz.
        recordings: of the voice.
        strangers: embeddings of other speakers' recordings, (speakers, 256).

    Raises:
        CannotScore: there is too little voice in the speech, or in every recording.
    """
    known = []
    reason = ""
    for each in recordings:
        try:
            known.append(embed(each.waveform))
        except CannotScore as error:
            reason = str(error)
    if not known:
        raise CannotScore(f"no recording has enough voice: {reason}")
    real = np.stack(known)
    own = None if len(real) < 2 else float(np.mean([row @ centroid(real, but=number) for number, row in enumerate(real)]))
    voice = normalised(real.mean(0))
    return Likeness(float(embed(audio) @ voice), own, None if strangers is None else float(np.mean(strangers @ voice)))


@dataclass(frozen=True)
class Judgement:
    """A metric's column for some speech.

    Attributes:
        name: of the column.
        column: what it means.
        value: mean over the sentences that could be scored; None if none could.
        reason: why the last of the others could not; "" if all could.
        constants: what the metric measured on real speech, by meaning.
    """

    name: str
    column: Column
    value: float | None
    reason: str
    constants: Mapping[str, float]


def scores(spoken: Sequence[tuple[Sentence, Audio]], model: TrainedModel) -> list[Judgement]:
    """What the model's metrics make of sentences and their speech, metric by metric."""
    found = []
    for metric in model.metrics.values():
        values: dict[str, list[float]] = {column: [] for column in metric.columns}
        reason = ""
        for sentence, audio in spoken:
            sample = Sample(audio, np.zeros(0, np.float32), sentence.words, "", (), sentence.text)
            try:
                scored = metric.score(sample)
            except CannotScore as error:
                scored, reason = error.values, str(error)
            except Exception as error:  # a metric from elsewhere may have to be prepared first, or lack a package
                scored, reason = {}, f"{type(error).__name__}: {error}".rstrip(".")
            for column, value in scored.items():
                values[column].append(value)
        constants = {metric.constants.get(name, name): value for name, value in metric.facts().items()}
        for name, some in values.items():
            found.append(Judgement(name, metric.columns[name], float(np.mean(some)) if some else None, reason, constants))
    return found
