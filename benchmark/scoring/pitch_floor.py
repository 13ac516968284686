"""How low a pitch to look for: low voices need a lower floor than others can do with.

For other voices it would give hum and rumble in pauses a pitch, and drop by octaves in creaky vowels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE

FLOOR = 71.0
"""Hz: the lowest pitch that is searched in most voices, WORLD's default. Harvest doubles or loses what is lower."""
LOW_FLOOR = 45.0
"""Hz: the same in low voices."""
LOW = 80.0
LOW_SHARE = 0.25
"""A voice is low if at least this share of its loud voiced frames is below ``LOW`` Hz."""
LOUD, PAUSE = -15.0, -30.0
"""dB, see :func:`level`: vowels are above the one, pauses below the other."""
MARGIN = 0.1
"""By how much frames of a low voice correlate better a period apart than half a period apart."""

Floats = npt.NDArray[np.float64]


def pitch_floor(audio: Floats, frame_period: float) -> float:
    """The lowest pitch in Hz to look for in an utterance: ``LOW_FLOOR`` for a low voice, else ``FLOOR``.

    A first look at the pitch sets the range of the second, as is usual (De Looze & Hirst 2008): DIO (Morise 2009), which takes a
    fifteenth of Harvest's time. It may follow mains hum, or be an octave off, so that autocorrelation has to confirm what it finds.

    Args:
        audio: shape (samples,), at 16 kHz.
        frame_period: milliseconds.
    """
    import pyworld

    pitch, times = pyworld.dio(audio, SAMPLE_RATE, f0_floor=LOW_FLOOR, frame_period=frame_period)
    voice = without_hum(audio)
    loud = np.flatnonzero((pitch > 0) & (level(voice, times) > LOUD))
    low = sum(pitch[frame] < LOW and _repeats(voice, times[frame], pitch[frame]) for frame in loud)
    return LOW_FLOOR if low and low >= LOW_SHARE * len(loud) else FLOOR


def without_hum(audio: Floats) -> Floats:
    """Without most of what is below 100 Hz, and with no delay."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(2, 100.0, "highpass", fs=SAMPLE_RATE, output="sos"), audio))


def level(voice: Floats, times: Floats) -> Floats:
    """Power of 25 ms around each of ``times`` (s) in dB; a twentieth of them is above 0."""
    total = np.concatenate([[0.0], np.cumsum(np.square(voice))])
    middle, half = np.round(times * SAMPLE_RATE).astype(int), SAMPLE_RATE // 80
    start, end = np.clip(middle - half, 0, len(voice)), np.clip(middle + half, 0, len(voice))
    decibels = 10.0 * np.log10((total[end] - total[start]) / np.maximum(end - start, 1) + 1e-12)
    return np.asarray(decibels - np.percentile(decibels, 95))


def _repeats(voice: Floats, time: float, pitch: float) -> bool:
    """Whether a period around ``time`` (s) comes again after a period, and not already after half of one."""
    period = round(SAMPLE_RATE / pitch)
    start = round(time * SAMPLE_RATE) - period
    if start < 0 or start + 2 * period > len(voice):
        return False
    one, half, two = (voice[start + shift : start + shift + period] for shift in (0, period // 2, period))
    return _correlation(one, two) > max(_correlation(one, half), 0.0) + MARGIN


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / np.sqrt((one @ one) * (other @ other) + 1e-20))
