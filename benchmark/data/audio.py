"""Standardise a recording for training: 16 kHz mono, silence trimmed, one loudness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyloudnorm
import soxr

from benchmark.audio import SAMPLE_RATE, Audio

LOUDNESS = -23.0
"""Integrated loudness after normalisation, LUFS (ITU-R BS.1770, EBU R 128's target)."""
MIN_SECONDS = 0.45
MAX_SECONDS = 300.0
"""Longest recording of an utterance."""
RATES = (4_000, 192_000)
"""Lowest and highest sample rate, Hz."""
STEADY = 3.0
"""Decibels between quiet and loud frames (5th and 95th percentile) below which a signal is a tone or noise. Of 18,000 recordings and
renderings of speech the steadiest, a whispered word, has 7."""
PADDING_SECONDS = 0.05
CLIPPED_FRACTION = 0.01
INAUDIBLE_OFFSET = 1e-3
"""Largest constant offset, relative to full scale; a larger one lifts silence to the level of speech."""
SOUNDING = 45.0
"""Decibels below the loudest frame. If less than a quarter of a recording lies above this, only that part sets the speech levels."""
OPPOSED = -0.5
"""Correlation of two channels. Below it one is the other inverted, or late by half a period, and their mean would lose speech."""


class Unusable(Exception):
    """An utterance must be skipped; the message is the reason that preparation counts."""


def standardise(samples: Audio, rate: int) -> tuple[npt.NDArray[np.int16], float]:
    """The audio as int16: mono, 16 kHz, trimmed, at ``LOUDNESS`` (less if that would clip); and the seconds cut at the start.

    Args:
        samples: shape (samples,) or (samples, channels), float in [-1, 1].
        rate: in Hz.

    Raises:
        Unusable: the audio is empty, not finite, silent, clipped, steady, too short or too long, or its rate can't be one.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise Unusable(f"sample rate outside {RATES[0] // 1000} to {RATES[1] // 1000} kHz")
    if len(samples) > MAX_SECONDS * rate:
        raise Unusable(f"longer than {MAX_SECONDS / 60:.0f} minutes")
    if samples.size == 0:
        raise Unusable("empty audio")
    if not np.isfinite(samples).all():
        raise Unusable("audio holds values that are not finite")
    peak = float(np.abs(samples).max())
    if peak > 1:
        samples = samples / peak  # float files may go beyond full scale without being clipped
    elif np.mean(np.abs(samples) >= 0.999) > CLIPPED_FRACTION:
        raise Unusable("clipped audio")
    samples = _centred(_without_steps(samples, rate))
    if samples.ndim == 2:
        samples = _mono(samples)
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
    start, end = speech_bounds(samples)
    samples = samples[start:end]
    if len(samples) < MIN_SECONDS * SAMPLE_RATE:
        raise Unusable(f"shorter than {MIN_SECONDS} s of speech")
    if _range(samples) < STEADY:
        raise Unusable("a constant signal, no speech")
    loudness = pyloudnorm.Meter(SAMPLE_RATE, block_size=0.4).integrated_loudness(samples.astype(np.float64))
    if not np.isfinite(loudness):
        raise Unusable("silent audio")
    gain = min(10 ** ((LOUDNESS - loudness) / 20), 0.99 / max(float(np.abs(samples).max()), 1e-9))
    return np.round(samples * gain * 32767).astype(np.int16), start / SAMPLE_RATE


def speech_bounds(samples: Audio) -> tuple[int, int]:
    """First and last sample of the speech, with ``PADDING_SECONDS`` around it.

    A 10 ms frame is speech if its level exceeds two thresholds: 38 dB below the loud frames (95th percentile), and 6 dB above
    the quiet ones (5th percentile) but at most 20 dB below the loud ones, so that noise does not hide speech. If more than
    three quarters of the recording are silence, the percentiles are taken over the rest.

    Raises:
        Unusable: there is nothing but silence.
    """
    hop = SAMPLE_RATE // 100
    frames = len(samples) // hop
    if frames < 3:
        raise Unusable(f"shorter than {MIN_SECONDS} s of speech")
    level = _levels(samples)
    sounding = level > level.max() - SOUNDING
    # Otherwise long silence around speech would set both percentiles.
    loud, quiet = np.percentile(level[sounding] if sounding.mean() < 0.25 else level, [95, 5])
    if loud < -70:
        raise Unusable("silent audio")
    active = np.flatnonzero(level > max(loud - 38, min(quiet + 6, loud - 20)))
    padding = round(PADDING_SECONDS * 100)
    start, end = max(0, active[0] - padding), min(frames, active[-1] + 1 + padding)
    return int(start * hop), int(end * hop)


def _levels(samples: Audio) -> npt.NDArray[np.float64]:
    """The level of each 10 ms frame, smoothed over three, in decibels relative to full scale; shape (frames,)."""
    hop = SAMPLE_RATE // 100
    frames = len(samples) // hop
    power = np.square(samples[: frames * hop].astype(np.float64)).reshape(frames, hop).mean(1)
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.convolve(power, np.ones(3) / 3, mode="same") + 1e-12)
    return levels


def _range(samples: Audio) -> float:
    """Decibels between quiet and loud frames; the first and the last one reach beyond the signal."""
    loud, quiet = np.percentile(_levels(samples)[1:-1], [95, 5])
    return float(loud - quiet)


def _centred(samples: Audio) -> Audio:
    """The audio without constant offsets: each channel has its own."""
    offset = samples.mean(axis=0, dtype=np.float64)
    if np.abs(offset).max() <= INAUDIBLE_OFFSET:
        return samples
    centred: Audio = samples - offset.astype(np.float32)
    return centred


def _without_steps(samples: Audio, rate: int) -> Audio:
    """The audio without offsets that begin and end in a step, from and to digital silence around it, which does not share them.

    Args:
        samples: shape (samples,) or (samples, channels).
        rate: in Hz.
    """
    if samples.ndim == 2:
        return np.stack([_without_steps(channel, rate) for channel in samples.T], axis=1)
    hop = max(1, rate // 100)
    sounding = np.flatnonzero(samples)
    if len(sounding) < hop or min(sounding[0], len(samples) - 1 - sounding[-1]) < hop:
        return samples
    inside = slice(sounding[0], sounding[-1] + 1)
    ends = samples[inside][:hop], samples[inside][-hop:]
    first, last = (float(np.median(part)) for part in ends)
    # Speech too may begin and end abruptly, but hardly at one steady level.
    if any(np.abs(part - np.median(part)).mean() > abs(first) / 2 for part in ends):
        return samples
    if min(abs(first), abs(last)) <= INAUDIBLE_OFFSET or abs(first - last) > INAUDIBLE_OFFSET:
        return samples
    level: Audio = samples.copy()
    level[inside] -= np.float32((first + last) / 2)
    return level


def _mono(samples: Audio) -> Audio:
    """The channels' mean; or the loudest channel, if another is its inverse.

    Args:
        samples: shape (samples, channels), without offsets.
    """
    power = np.square(samples, dtype=np.float64).sum(0)
    loudest = samples[:, int(power.argmax())]
    products = (samples * loudest[:, None]).sum(0, dtype=np.float64)
    correlation = products / np.sqrt(np.maximum(power * power.max(), 1e-24))
    mean: Audio = samples.mean(axis=1)
    return loudest if correlation.min() < OPPOSED else mean
