"""WORLD analysis of speech (pitch and mel-cepstra) and the warping path between two utterances, shared by metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE, Audio

ORDER = 24
ALPHA = 0.41
"""All-pass constant that bends frequency towards the mel scale at 16 kHz (0.42 is also seen)."""
FRAME_PERIOD = 5.0
"""Milliseconds."""
VOICED = 0.85
"""LoveTrain's threshold: its authors' default."""
FLOOR = 71.0
"""Lowest pitch in Hz that is looked for in most voices: WORLD's default. Harvest doubles what is lower."""
LOW_FLOOR = 45.0
"""The same for low voices. For all it would be too low: mains hum and rumble in pauses become voiced, creaky vowels drop by octaves."""
LOW = 80.0
LOW_SHARE = 0.4
"""A voice is low where so large a share of its loud frames is below ``LOW`` Hz: on real speech, what parts men of 75 Hz from all others."""
LOUD, PAUSE = -15.0, -30.0
"""dB against the loudest frames: above the one are vowels, below the other are pauses."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Analysis:
    """What WORLD finds in an utterance, every ``FRAME_PERIOD``.

    Attributes:
        pitch: shape (frames,), F0 in Hz, 0 where unvoiced: Harvest (Morise, Interspeech 2017), which gives a pitch
            to much that has none, and D4C's "LoveTrain" (Morise 2016), which says what has none. At least
            :func:`pitch_floor`.
        cepstra: shape (frames, ``ORDER`` + 1), mel-cepstra of the spectral envelope (CheapTrick; Morise 2015), c0
            included; ln-magnitude scale: ln|H(ω)| = Σ c_m cos(m·ω̃).
    """

    pitch: Floats
    cepstra: Floats


def analyse(audio: Audio) -> Analysis:
    """Pitch and mel-cepstra; the latest results are kept, because several metrics ask for them.

    Args:
        audio: shape (samples,), float32 at 16 kHz.
    """
    return _analyse(audio.tobytes())


# One recording is compared with many syntheses of it.
@lru_cache(maxsize=128)
def _analyse(samples: bytes) -> Analysis:
    import pyworld

    audio = np.frombuffer(samples, dtype=np.float32).astype(np.float64)
    floor = pitch_floor(audio)
    pitch, times = pyworld.harvest(audio, SAMPLE_RATE, f0_floor=floor, frame_period=FRAME_PERIOD)
    if floor < FLOOR:
        # Mains hum is as low as these voices are.
        pitch[(pitch < FLOOR) & (level(audio, len(pitch)) < PAUSE)] = 0.0
    # The floor decides the FFT's size: a window of three periods has to fit, or CheapTrick takes the frame for unvoiced.
    envelope = pyworld.cheaptrick(audio, pitch, times, SAMPLE_RATE, f0_floor=floor)
    # 1 at frequency 0 where unvoiced.
    voiced = pyworld.d4c(audio, pitch, times, SAMPLE_RATE, threshold=VOICED)[:, 0] < 0.5
    half = envelope.shape[1]
    cepstra = np.fft.irfft(np.log(envelope), axis=1)[:, :half]
    cepstra[:, 0] /= 2.0
    return Analysis(np.where(voiced, pitch, 0.0), cepstra @ warping(half))


def pitch_floor(audio: Floats) -> float:
    """The lowest pitch in Hz to look for in an utterance: ``LOW_FLOOR`` for a low voice, else ``FLOOR``.

    A first look at the pitch sets the range of the second, as is usual (De Looze & Hirst 2008): DIO (Morise 2009), which errs more than
    Harvest and takes a twentieth of its time.
    """
    import pyworld

    pitch, _ = pyworld.dio(audio, SAMPLE_RATE, f0_floor=LOW_FLOOR, frame_period=FRAME_PERIOD)
    loud = pitch[(pitch > 0) & (level(audio, len(pitch)) > LOUD)]
    return LOW_FLOOR if len(loud) and np.mean(loud < LOW) >= LOW_SHARE else FLOOR


def level(audio: Floats, frames: int) -> Floats:
    """Power in dB of 25 ms around each frame, against that of the loudest twentieth of them; what is below 100 Hz, as hum is, counts little.

    Args:
        audio: shape (samples,).
        frames: how many, every ``FRAME_PERIOD`` from 0.
    """
    from scipy.signal import butter, sosfiltfilt

    power = np.square(sosfiltfilt(butter(2, 100.0, "highpass", fs=SAMPLE_RATE, output="sos"), audio))
    total = np.concatenate([[0.0], np.cumsum(power)])
    middle = np.arange(frames) * round(SAMPLE_RATE * FRAME_PERIOD / 1000)
    half = SAMPLE_RATE // 80
    start, end = np.clip(middle - half, 0, len(audio)), np.clip(middle + half, 0, len(audio))
    decibels = 10.0 * np.log10((total[end] - total[start]) / np.maximum(end - start, 1) + 1e-12)
    return np.asarray(decibels - np.percentile(decibels, 95))


@cache
def warping(size: int, order: int = ORDER, alpha: float = ALPHA) -> Floats:
    """The linear map from cepstra to mel-cepstra (Oppenheim & Johnson 1972; SPTK's ``freqt``) as a matrix.

    Args:
        size: number of cepstra M + 1.
        order: of the mel-cepstra.
        alpha: the all-pass constant.

    Returns:
        shape (M + 1, order + 1); multiply cepstra of shape (frames, M + 1) by it from the right.
    """
    result = np.zeros((size, order + 1))
    # Row m holds the coefficients of the m-th power of the all-pass (z⁻¹ + α) / (1 + α·z⁻¹): each row is the
    # one before it, filtered.
    row = np.zeros(order + 1)
    row[0] = 1.0
    for m in range(size):
        result[m] = row
        filtered = np.empty_like(row)
        filtered[0] = alpha * row[0]
        for k in range(1, order + 1):
            filtered[k] = row[k - 1] + alpha * (row[k] - filtered[k - 1])
        row = filtered
    return result


def warp(reference: Audio, synthesised: Audio) -> tuple[Ints, float]:
    """The best warping path between two utterances: exact dynamic time warping of mel-cepstra 1 … ``ORDER``.

    Euclidean cost, steps (1,1), (1,0), (0,1) with equal weights (``librosa.sequence.dtw``). c0 is left out: it holds
    the loudness.

    Args:
        reference: shape (samples,), float32 at 16 kHz.
        synthesised: shape (other samples,).

    Returns:
        the path, shape (pairs, 2), of frames of the one and the other, and the mean distance along it.
    """
    return _warp(reference.tobytes(), synthesised.tobytes())


@lru_cache(maxsize=16)
def _warp(reference: bytes, synthesised: bytes) -> tuple[Ints, float]:
    return path(_analyse(reference).cepstra[:, 1:], _analyse(synthesised).cepstra[:, 1:])


def path(reference: Floats, synthesised: Floats) -> tuple[Ints, float]:
    """:func:`warp` of features of shape (frames, coefficients) and (other frames, coefficients)."""
    from librosa.sequence import dtw
    from scipy.spatial.distance import cdist

    distances = cdist(reference, synthesised)
    _, pairs = dtw(C=distances)
    return pairs, float(distances[pairs[:, 0], pairs[:, 1]].mean())
