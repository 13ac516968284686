"""Style gap: how much of a style did the synthesis take on, apart from the speaker?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.plumbing.files import digest_of, read_sealed, write_sealed
from benchmark.scoring.checks import require_speech, spread
from benchmark.settings.ranges import Checked

if TYPE_CHECKING:
    from benchmark.audio import Audio
    from benchmark.utterance import PreparedCorpus

Floats = npt.NDArray[np.float64]

FEATURES = ("pitch", "pitch range", "voicing", "rate", "energy")
LEAST_DIFFERENCE = 1.0
"""A feature counts if the style is so many standard deviations from plain speech."""
SPEECH = 35.0
"""Frames down to so many dB below the loud ones (95th percentile) are speech."""
LEAST_VOICED = 0.1
"""Share of the speech frames that must be voiced for an utterance to have a pitch."""


class StyleGap(Metric):
    """How far a synthesis gets from the speaker's plain speech (0) to the style's own (1), in pitch, voicing, rate and energy.

    Each utterance has five features: the median pitch and the distance of its quartiles, in semitones; the share of speech frames
    that are voiced; phones per second, pauses included; the standard deviation of the level, in dB. (Not the level: preparation
    makes all speech equally loud.) Pitch and voicing by SwiftF0, as in ``f0``; in version 1 by
    Harvest and D4C's LoveTrain.

    For feature k let xₖ be the synthesis's value, sₖ the mean over the episode's enrolment utterances (real speech in the style that
    is neither support nor query), nₖ the mean over the speaker's plain utterances, and σₖ the standard deviation between
    utterances, within the style and within plain speech. Then

    ``style_gap_closed`` = Σ dₖ · (xₖ − nₖ)/σₖ / Σ dₖ², where dₖ = (sₖ − nₖ)/σₖ,

    that is, the mean of (xₖ − nₖ)/(sₖ − nₖ), weighted by how well each feature tells the style from plain speech. Only features
    with |dₖ| ≥ 1 count. A speaker's recordings in the style score about 1 on average, plain ones 0. The value can be negative or
    above 1. What changes in other features costs nothing, so read it beside the other metrics.

    Plain utterances are those without a style or in the style that ``neutral`` names. A whisper has no pitch; its other features
    count.
    """

    version = "2"
    columns: ClassVar = {
        "style_gap_closed": Column(
            unit="fraction",
            meaning="how far pitch, voicing, rate and energy get from the speaker's plain speech (0) to the style's own (1)",
            higher_is_better=True, headline=True,
        ),
    }
    needs = ("speech", "transcript", "style")

    @dataclass(frozen=True)
    class Config(Checked):
        """What is compared.

        Attributes:
            neutral: the style of plain speech; utterances without a style are plain too.
            utterances: how many real utterances in the style, and how many plain ones, are measured at most, spread evenly
                over all of them; at least 2.
        """

        neutral: str = "neutral"
        utterances: Annotated[int, Ge(2)] = 20

    config: Config

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._corpus: PreparedCorpus | None = None
        self._cache = Path()
        self._measured: dict[tuple[str, ...], Floats] = {}
        self._plain: dict[str, tuple[str, ...]] = {}

    def prepare(self, context: MetricContext) -> None:
        """Remember the corpus; its utterances are measured when they are first needed."""
        self._corpus, self._cache = context.corpus, context.cache

    def score(self, sample: Sample) -> dict[str, float]:
        """The share of the gap that is closed.

        Raises:
            CannotScore: the audio holds no speech, or no pitch where the style has one; the sentence has no phones; the style is the
                plain one; the speaker has no two plain utterances, or the style no two enrolment utterances; or the two hardly
                differ.
        """
        audio = require_speech(sample.audio, "synthesised audio", seconds=0.1)
        if not sample.phones:
            raise CannotScore("the sentence has no phones")
        if self._corpus is None:
            raise RuntimeError("prepare() comes before score()")
        first = self._corpus[self._corpus.utterances_of(sample.target)[0]]
        if first.style == self.config.neutral:
            raise CannotScore(f"{first.style} is the style that others are compared with")
        plain = self._plain_of(first.speaker)
        if len(plain) < 2:
            raise CannotScore(
                f"speaker {first.speaker} has {len(plain)} plain utterances (without a style, or in the style {self.config.neutral})"
            )
        if len(sample.enrolment) < 2:
            raise CannotScore(f"style {sample.target} has {len(sample.enrolment)} enrolment utterances")
        own, others = self._features(sample.enrolment), self._features(plain)
        start, deviation = _mean(others), _deviation(own, others)
        wanted = (_mean(own) - start) / deviation
        counts = np.abs(wanted) >= LEAST_DIFFERENCE  # False where one of the two has no pitch
        if not counts.any():
            raise CannotScore(f"{first.style} hardly differs from the speaker's plain speech in {', '.join(FEATURES)}")
        got = ((features(audio, len(sample.phones)) - start) / deviation)[counts]
        if not np.isfinite(got).all():
            raise CannotScore("the synthesised audio is hardly voiced, so it has no pitch to compare with the style's")
        return {"style_gap_closed": float(wanted[counts] @ got / np.square(wanted[counts]).sum())}

    def _plain_of(self, speaker: str) -> tuple[str, ...]:
        assert self._corpus is not None
        if speaker not in self._plain:
            every = self._corpus.many(self._corpus.utterance_ids(speaker))
            self._plain[speaker] = tuple(each.id for each in every if each.style in ("", self.config.neutral))
        return self._plain[speaker]

    def _features(self, names: Sequence[str]) -> Floats:
        """Features of real utterances, shape (utterances, 5), from the cache if they are there."""
        assert self._corpus is not None
        chosen = tuple(spread(names, self.config.utterances))
        if chosen not in self._measured:
            path = self._cache / f"style-{digest_of([self.version, self._corpus.exact_version, chosen], 24)}.json"
            rows = _read(path, len(chosen))
            if rows is None:
                rows = np.stack([features(each.waveform, len(each.phones)) for each in self._corpus.many(chosen)])
                write_sealed(path, {"rows": [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]})
            self._measured[chosen] = rows
        return self._measured[chosen]


def features(audio: Audio, phones: int) -> Floats:
    """The five features of an utterance, shape (5,); NaN for the pitch and its range if it is hardly voiced.

    Args:
        audio: shape (samples,), at 16 kHz.
        phones: number of phones spoken.
    """
    from benchmark.data.features import energy
    from benchmark.mel import MelSpec
    from benchmark.scoring.world import FRAME_PERIOD, analyse

    frame = MelSpec().seconds_per_frame
    level = energy(audio, MelSpec()).astype(np.float64) * 20.0 / np.log(10.0)
    speech = level > np.percentile(level, 95) - SPEECH
    pitch = analyse(audio).pitch
    places = np.rint(np.arange(len(pitch)) * FRAME_PERIOD / 1000.0 / frame).astype(np.int64)
    pitch = pitch[speech[places.clip(max=len(speech) - 1)]]
    share, low, middle, high = float(np.mean(pitch > 0)), np.nan, np.nan, np.nan
    if share >= LEAST_VOICED:
        low, middle, high = np.percentile(12.0 * np.log2(pitch[pitch > 0]), [25, 50, 75])
    frames = np.flatnonzero(speech)
    seconds = (frames[-1] - frames[0] + 1) * frame
    return np.array([middle, high - low, share, phones / seconds, level[speech].std()])


def _mean(rows: Floats) -> Floats:
    """Mean of each feature, shape (5,); NaN if most utterances do not have it."""
    there = np.isfinite(rows)
    total = np.where(there, rows, 0.0).sum(0)
    return np.where(2 * there.sum(0) >= len(rows), total / np.maximum(there.sum(0), 1), np.nan)


def _deviation(*groups: Floats) -> Floats:
    """Pooled standard deviation of each feature within groups, shape (5,); NaN if it is 0 or can't be known."""
    squares, freedom = np.zeros(len(FEATURES)), np.zeros(len(FEATURES))
    for rows in groups:
        there = np.isfinite(rows)
        mean = np.where(there, rows, 0.0).sum(0) / np.maximum(there.sum(0), 1)
        squares += np.where(there, np.square(rows - mean), 0.0).sum(0)
        freedom += np.maximum(there.sum(0) - 1, 0)
    return np.where((freedom > 0) & (squares > 0), np.sqrt(squares / np.maximum(freedom, 1)), np.nan)


def _read(path: Path, count: int) -> Floats | None:
    """Features from the cache; None if they are absent or damaged."""
    try:
        rows = np.array(read_sealed(path, "features of a style")["rows"], np.float64)
    except (BenchmarkError, KeyError, TypeError, ValueError):
        return None
    return rows if rows.shape == (count, len(FEATURES)) else None


PLUGIN = StyleGap
