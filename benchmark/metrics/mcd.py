"""MCD: mel-cepstral distortion."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.metric import SAMPLE_RATE, Metric, Sample
from benchmark.metrics import require_speech

ORDER = 24
ALPHA = 0.41
"""All-pass constant that bends frequency towards the mel scale at 16 kHz (0.42 is also seen)."""
FRAME_PERIOD = 5.0
"""Milliseconds."""
DECIBEL = 10.0 * np.sqrt(2.0) / np.log(10.0)

Floats = npt.NDArray[np.float64]


class MCD(Metric):
    """Mel-cepstral distortion between synthesised and real speech in dB, 0 for identical speech.

    Kubichek (1993): (10·√2 / ln 10) · mean ‖c − ĉ‖ over the path of exact dynamic time warping with Euclidean cost
    (steps (1,1), (1,0), (0,1), equal weights; ``librosa.sequence.dtw``). c are mel-cepstra 1 … 24 with α = 0.41 of the
    WORLD envelope (Harvest F0, CheapTrick, 5 ms; Morise et al., 2016). **c0 is dropped**: it holds the loudness.
    Published values differ in order, α, analysis and warping: compare only rows of the same ``version``.
    """

    version = "1"
    columns = ("mcd",)
    higher_is_better: ClassVar = {"mcd": False}
    mode = "free"

    def score(self, sample: Sample) -> dict[str, float]:
        """The distortion in dB.

        Raises:
            CannotScore: either audio is empty, silent, not finite or shorter than 1/10 s.
        """
        audio = require_speech(sample.audio, "synthesised audio", seconds=0.1)
        reference = require_speech(sample.reference, "reference", seconds=0.1)
        return {"mcd": distortion(_reference_cepstra(reference.tobytes()), mel_cepstra(audio)[:, 1:])}


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


def mel_cepstra(audio: npt.NDArray[np.float32]) -> Floats:
    """Mel-cepstra of the WORLD spectral envelope.

    Args:
        audio: shape (samples,), at 16 kHz.

    Returns:
        shape (frames, ``ORDER`` + 1), c0 included; ln-magnitude scale: ln|H(ω)| = Σ c_m cos(m·ω̃).
    """
    import pyworld

    samples = audio.astype(np.float64)
    pitch, times = pyworld.harvest(samples, SAMPLE_RATE, frame_period=FRAME_PERIOD)
    envelope = pyworld.cheaptrick(samples, pitch, times, SAMPLE_RATE)
    half = envelope.shape[1]
    cepstra = np.fft.irfft(np.log(envelope), axis=1)[:, :half]
    cepstra[:, 0] /= 2.0
    return cepstra @ warping(half)


@lru_cache(maxsize=128)
def _reference_cepstra(samples: bytes) -> Floats:
    """Kept, because one recording is compared with many syntheses of it."""
    return mel_cepstra(np.frombuffer(samples, dtype=np.float32))[:, 1:]


def distortion(reference: Floats, synthesised: Floats) -> float:
    """(10·√2 / ln 10) · the mean Euclidean distance over the best warping path, in dB.

    Args:
        reference: shape (frames, coefficients).
        synthesised: shape (other frames, coefficients).
    """
    from librosa.sequence import dtw
    from scipy.spatial.distance import cdist

    distances = cdist(reference, synthesised)
    _, path = dtw(C=distances)
    return float(DECIBEL * distances[path[:, 0], path[:, 1]].mean())


PLUGIN = MCD
