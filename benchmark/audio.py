"""The one audio format used everywhere: mono float32 at 16 kHz."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
"""Sampling rate of all prepared and scored audio, in Hz."""

Audio = npt.NDArray[np.float32]
"""Shape (samples,), in [-1, 1], at ``SAMPLE_RATE``."""


def from_int16(samples: npt.NDArray[np.int16]) -> Audio:
    """16-bit samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768)
