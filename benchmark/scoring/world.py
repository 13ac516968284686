"""Pitch and mel-cepstra of speech, and the warping path between two utterances, shared by metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.scoring.pitch import FLOOR, track

ORDER = 24
ALPHA = 0.41
"""All-pass constant that bends frequency towards the mel scale at 16 kHz (0.42 is also seen)."""
FRAME_PERIOD = 5.0
"""Milliseconds."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Analysis:
    """Pitch and spectral envelope of an utterance, every ``FRAME_PERIOD``.

    Attributes:
        pitch: shape (frames,), F0 in Hz, 0 where unvoiced (:func:`benchmark.scoring.pitch.track`).
        cepstra: shape (frames, ``ORDER`` + 1), mel-cepstra of WORLD's spectral envelope (CheapTrick; Morise 2015), c0
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

    audio = np.frombuffer(samples, dtype=np.float32)
    hop = round(FRAME_PERIOD * SAMPLE_RATE / 1000.0)
    times = np.arange(len(audio) // hop + 1) * hop / SAMPLE_RATE
    pitch = track(audio, times)
    # The floor decides the FFT's size: a window of three periods has to fit, or CheapTrick takes the frame for unvoiced.
    envelope = pyworld.cheaptrick(audio.astype(np.float64), pitch, times, SAMPLE_RATE, f0_floor=FLOOR)
    half = envelope.shape[1]
    cepstra = np.fft.irfft(np.log(envelope), axis=1)[:, :half]
    cepstra[:, 0] /= 2.0
    return Analysis(pitch, cepstra @ warping(half))


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
        the path, shape (pairs, 2), as frames of reference and synthesis, and the mean distance along it.
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
