"""Shared by metrics: checks that audio holds something to score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metric import Sample

SILENT_RMS = 1e-4
"""Audio with a root mean square below this (-80 dBFS) holds no speech."""

ALIGNED_TOLERANCE = 512
"""Samples (32 ms) by which an aligned pair's lengths may differ: framing and a vocoder's last hop can lose as many."""


def require_speech(audio: Audio, what: str, seconds: float) -> Audio:
    """The audio as float32, if it holds something to score.

    Args:
        audio: shape (samples,), at 16 kHz.
        what: "synthesised audio" or "reference", for the reason.
        seconds: the least duration.

    Raises:
        CannotScore: the audio has the wrong shape, or is too short, not finite, or silent.
    """
    audio = np.asarray(audio, dtype=np.float32)
    if audio.ndim != 1:
        raise CannotScore(f"{what} has {audio.ndim} dimensions, not one")
    if len(audio) < max(1, round(seconds * SAMPLE_RATE)):
        raise CannotScore(f"{what} is too short: {len(audio) / SAMPLE_RATE:.2f} s, at least {seconds:g} s needed")
    if not np.isfinite(audio).all():
        raise CannotScore(f"{what} holds NaN or infinite samples")
    if np.sqrt(np.mean(np.square(audio, dtype=np.float64))) < SILENT_RMS:
        raise CannotScore(f"{what} is silent")
    return audio


def aligned_pair(sample: Sample, seconds: float) -> tuple[Audio, Audio]:
    """Reference and synthesised audio of an aligned sample, cut to the shorter one's length.

    Raises:
        CannotScore: either can't be scored, or their lengths differ by more than ``ALIGNED_TOLERANCE``.
    """
    audio = require_speech(sample.audio, "synthesised audio", seconds)
    reference = require_speech(sample.reference, "reference", seconds)
    difference = len(audio) - len(reference)
    if abs(difference) > ALIGNED_TOLERANCE:
        raise CannotScore(f"not aligned: synthesised audio and reference differ in length by {difference} samples")
    length = min(len(audio), len(reference))
    return reference[:length], audio[:length]


def spread(items: Sequence[str], count: int) -> list[str]:
    """``count`` of the items, evenly spread, or all of them."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else list(items)
