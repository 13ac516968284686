"""Pitch and voicing of speech by the network SwiftF0, for metrics."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE, Audio

if TYPE_CHECKING:
    from swift_f0 import SwiftF0

FLOOR, CEILING = 48.0, 800.0
"""Hz: the range that pitch is searched in. The network hears from 46.9 Hz up; CheapTrick's usual transform fits pitches above 47 Hz."""
LEVEL = 10 ** (-26 / 20)
"""Root mean square that audio is scaled to, because the network finds less voice in quiet speech."""
CONTEXT = 2816
"""Samples that the network hears to either side of a frame; silence stands for those after the end, or it would lose the last frames."""
VOICED = 0.5
"""Confidence from which a frame is voiced: the network's authors calibrated it so."""

Floats = npt.NDArray[np.float64]


def track(audio: Audio, times: Floats) -> Floats:
    """F0 by SwiftF0 (Nieradzik 2025, arXiv:2508.18440), which gives a pitch and a confidence every 16 ms.

    Confidence is interpolated linearly, pitch in log between voiced frames only.

    Args:
        audio: shape (samples,), float32 at 16 kHz.
        times: shape (frames,), seconds from 0 up.

    Returns:
        shape (frames,), Hz, from ``FLOOR`` to ``CEILING``; 0 where unvoiced.
    """
    level = np.sqrt(np.mean(np.square(audio, dtype=np.float64)))
    scaled = audio * np.float32(LEVEL / max(level, 1e-6))  # silence stays silent
    found = _detector().detect(np.pad(scaled, (0, CONTEXT)), SAMPLE_RATE, FLOOR, CEILING)
    confidence = np.interp(times, found.timestamps, found.confidence)
    place = np.interp(times, found.timestamps, np.arange(len(found.timestamps)))
    before = place.astype(np.int64)
    after = np.minimum(before + 1, len(found.timestamps) - 1)
    # What an unvoiced frame says about pitch does not count.
    heard = (found.confidence >= VOICED).astype(np.float64)
    first, second = (1.0 - (place - before)) * heard[before], (place - before) * heard[after]
    log = np.log(found.pitch_hz)
    pitch = np.exp((first * log[before] + second * log[after]) / np.maximum(first + second, 1e-9))
    return np.where(confidence >= VOICED, pitch, 0.0)


@cache
def _detector() -> SwiftF0:
    """One for each process, built when it is first needed."""
    from swift_f0 import SwiftF0

    # More threads would fight with the other worker processes for the cores.
    return SwiftF0(threads=1, spin=False)
