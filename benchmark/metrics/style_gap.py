"""Style gap: how much of a style did the synthesis take on, apart from the speaker?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.scoring.checks import require_speech
from benchmark.settings.ranges import Checked

if TYPE_CHECKING:
    from benchmark.mel import MelSpec
    from benchmark.utterance import PreparedUtterance

Floats = npt.NDArray[np.float64]

FEATURES = ("pitch", "pitch range", "voicing", "rate", "energy")
LEAST_DIFFERENCE = 1.0
"""A feature counts if the style is so many standard deviations from plain speech."""
SPEECH = 35.0
"""Frames down to so many dB below the loud ones (95th percentile) are speech."""
LEAST_VOICED = 0.2
"""Share of the speech frames that must be voiced for an utterance to have a pitch."""


class StyleGap(Metric):
    """How far a synthesis gets from the speaker's plain speech (0) to the style's own (1), in pitch, voicing, rate and energy.

    Each utterance has five features: the median pitch and the distance of its 10th and 90th percentiles, in semitones; the share
    of speech frames that are voiced; phones per second, pauses included; the standard deviation of the level, in dB. (Not the
    level: preparation makes all speech equally loud.) Pitch and voicing are those of the corpus: DIO (Morise et al.).

    For feature k let xₖ be the synthesis's value, sₖ the mean over the style's enrolment utterances, nₖ the mean over the
    speaker's plain utterances, and σₖ the standard deviation between utterances of one speaker and style. Then

    ``style_gap_closed`` = Σ dₖ · (xₖ − nₖ)/σₖ / Σ dₖ², where dₖ = (sₖ − nₖ)/σₖ,

    that is, the mean of (xₖ − nₖ)/(sₖ − nₖ), weighted by how well each feature tells the style from plain speech. Only features
    with |dₖ| ≥ 1 count. A speaker's recordings in the style score 1 on average, plain ones 0. The value can be negative or above
    1. What changes in other features costs nothing, so read it beside the other metrics.

    Plain utterances are those without a style or in the style that ``neutral`` names. A whisper has no pitch; its other features
    count.
    """

    version = "1"
    columns: ClassVar = {
        "style_gap_closed": Column(
            unit="fraction",
            meaning="how far pitch, voicing, rate and energy get from the speaker's plain speech (0) to the style's own (1)",
            higher_is_better=True,
        ),
    }
    needs = ("speech", "transcript", "style")

    @dataclass(frozen=True)
    class Config(Checked):
        """What plain speech is called.

        Attributes:
            neutral: the style of plain speech; utterances without a style are plain too.
        """

        neutral: str = "neutral"

    config: Config

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._mel: MelSpec | None = None
        self._known: dict[str, Floats] = {}
        self._targets: dict[str, tuple[str, str, Sequence[str]]] = {}
        self._spread: Floats = np.full(len(FEATURES), np.nan)

    def prepare(self, context: MetricContext) -> None:
        """Measure the real utterances of the scored targets and their speakers' plain ones."""
        corpus, self._mel = context.corpus, context.corpus.mel
        plain: dict[str, list[str]] = {}
        for target in context.targets:
            first = corpus[corpus.utterances_of(target)[0]]
            if first.speaker not in plain:
                every = corpus.many(corpus.utterance_ids(first.speaker))
                plain[first.speaker] = [each.id for each in every if each.style in ("", self.config.neutral)]
            self._targets[target] = first.speaker, first.style, plain[first.speaker]
        groups = [*plain.values(), *(corpus.utterances_of(target) for target in context.targets)]
        for each in corpus.many({name for names in groups for name in names}):
            self._known[each.id] = features_of(each, self._mel)
        self._spread = _spread([np.stack([self._known[name] for name in names]) for names in groups if names])

    def score(self, sample: Sample) -> dict[str, float]:
        """The share of the gap that is closed.

        Raises:
            CannotScore: the audio holds no speech, or no pitch where the style has one; the sentence has no phones; the style is the
                plain one; the speaker has no plain utterances, or the style no enrolment utterances; or the two hardly differ.
        """
        audio = require_speech(sample.audio, "synthesised audio", seconds=0.1)
        if not sample.phones:
            raise CannotScore("the sentence has no phones")
        if self._mel is None:
            raise RuntimeError("prepare() comes before score()")
        speaker, style, plain = self._targets[sample.target]
        if style == self.config.neutral:
            raise CannotScore(f"{style} is the style that others are compared with")
        enrolled = [self._known[name] for name in sample.enrolment if name in self._known]
        if not plain:
            raise CannotScore(f"speaker {speaker} has no plain utterances: none without a style, none in the style {self.config.neutral}")
        if not enrolled:
            raise CannotScore(f"style {sample.target} has no enrolment utterance")
        own, others = _mean(np.stack(enrolled)), _mean(np.stack([self._known[name] for name in plain]))
        wanted = (own - others) / self._spread
        counts = np.abs(wanted) >= LEAST_DIFFERENCE  # False where one of the two has no pitch
        if not counts.any():
            raise CannotScore(f"{style} hardly differs from the speaker's plain speech in {', '.join(FEATURES)}")
        got = ((features(audio, len(sample.phones), self._mel) - others) / self._spread)[counts]
        if not np.isfinite(got).all():
            raise CannotScore("the synthesised audio is hardly voiced, so it has no pitch to compare with the style's")
        return {"style_gap_closed": float(wanted[counts] @ got / np.square(wanted[counts]).sum())}


def features(audio: npt.NDArray[np.float32], phones: int, spec: MelSpec) -> Floats:
    """The five features of an utterance, shape (5,); NaN for the pitch and its range if it is hardly voiced.

    Args:
        audio: shape (samples,), at the rate of ``spec``.
        phones: number of phones spoken.
        spec: frames of pitch and level.
    """
    from benchmark.data.features import energy, pitch

    return _features(pitch(audio, spec), energy(audio, spec), phones, spec)


def features_of(utterance: PreparedUtterance, spec: MelSpec) -> Floats:
    """:func:`features` of a prepared utterance, from the pitch and the energy that it was prepared with."""
    return _features(utterance.pitch, utterance.energy, len(utterance.phones), spec)


def _features(pitch: npt.NDArray[np.float32], energy: npt.NDArray[np.float32], phones: int, spec: MelSpec) -> Floats:
    level = energy.astype(np.float64) * 20.0 / np.log(10.0)
    speech = level > np.percentile(level, 95) - SPEECH
    voiced = pitch[speech & (pitch > 0)].astype(np.float64)
    share = len(voiced) / speech.sum()
    low, middle, high = [np.nan] * 3
    if share >= LEAST_VOICED:
        low, middle, high = np.percentile(12.0 * np.log2(voiced), [10, 50, 90])
    frames = np.flatnonzero(speech)
    seconds = (frames[-1] - frames[0] + 1) * spec.seconds_per_frame
    return np.array([middle, high - low, share, phones / seconds, level[speech].std()])


def _mean(rows: Floats) -> Floats:
    """Mean of each feature, shape (5,); NaN if most utterances do not have it."""
    there = np.isfinite(rows)
    total = np.where(there, rows, 0.0).sum(0)
    return np.where(2 * there.sum(0) >= len(rows), total / np.maximum(there.sum(0), 1), np.nan)


def _spread(groups: Sequence[Floats]) -> Floats:
    """Pooled standard deviation of each feature within groups, shape (5,); NaN if it can't be known."""
    squares, freedom = np.zeros(len(FEATURES)), np.zeros(len(FEATURES))
    for rows in groups:
        there = np.isfinite(rows)
        count = there.sum(0)
        mean = np.where(there, rows, 0.0).sum(0) / np.maximum(count, 1)
        squares += np.where(there, np.square(rows - mean), 0.0).sum(0)
        freedom += np.maximum(count - 1, 0)
    return np.where((freedom > 0) & (squares > 0), np.sqrt(squares / np.maximum(freedom, 1)), np.nan)


PLUGIN = StyleGap
