"""PESQ: perceptual evaluation of speech quality, wide band."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.scoring.checks import aligned_pair

MOST_UTTERANCES = 48
"""Most stretches of speech between pauses. The C code has room for 50 and never checks: 51 to 58 give numbers from overwritten
memory, 60 end the process."""
FRAME = 64
"""Samples per frame (4 ms) of the C code's voice activity detector."""
PAUSE, UTTERANCE = 50, 40
"""In frames: a longer pause splits utterances (its JOINSEGLGTH), a shorter stretch is no utterance (its MINUTTLENGTH is 50; this
leaves some room)."""
THRESHOLDS = 48
"""Levels at which utterances are counted, because the detector's own threshold adapts to the signal."""


class PESQ(Metric):
    """Perceptual quality against the real recording, on the mean-opinion-score scale (1.04 bad … 4.64 identical).

    ITU-T P.862.2 (wide-band, 50–7000 Hz, 16 kHz): the algorithm brings both signals to one level, aligns them in time and
    maps them to loudness over time and Bark bands. The symmetric and asymmetric disturbances d_s and d_a give
    y = 4.5 − 0.1·d_s − 0.0309·d_a, mapped to MOS-LQO = 0.999 + 4 / (1 + exp(−1.3669·y + 3.8224)) (Rix et al., ICASSP 2001;
    P.862.2 eq. 1). Uses the reference C code, through the package ``pesq``. Speech with other durations than the
    recording's would get a meaningless value, so only aligned speech is scored.
    """

    version = "1"
    columns: ClassVar = {
        "pesq": Column(
            unit="MOS-LQO",
            meaning="quality against the recording, predicted by a standard for telephone speech",
            higher_is_better=True, low=1.0, high=4.65,
        ),
    }
    needs = ("aligned", "reference")

    def score(self, sample: Sample) -> dict[str, float]:
        """The MOS-LQO.

        Raises:
            CannotScore: either signal holds no speech or is shorter than 1/4 s, the lengths differ, or there are more pauses
                than the C code has room for.
        """
        from pesq import PesqError, pesq

        reference, audio = aligned_pair(sample, seconds=0.25)
        if (found := max(most_utterances(reference), most_utterances(audio))) > MOST_UTTERANCES:
            raise CannotScore(f"PESQ can't take more than {MOST_UTTERANCES} stretches of speech between pauses, and there may be {found}")
        try:
            value = pesq(SAMPLE_RATE, reference, audio, "wb")
        except (PesqError, ValueError) as error:
            raise CannotScore(f"PESQ gives no value: {_reason(error)}") from error
        if not 1.0 <= value <= 4.65:  # False for NaN too
            raise CannotScore(f"PESQ gave {value}, outside of its scale")
        return {"pesq": float(value)}


def most_utterances(audio: Audio) -> int:
    """An upper bound on the stretches of speech between pauses that PESQ's voice activity detector could find.

    Args:
        audio: shape (samples,), at 16 kHz.
    """
    frames = len(audio) // FRAME
    if frames < MOST_UTTERANCES * (PAUSE + UTTERANCE):
        return 0  # too short for so many, at any threshold
    power = np.square(audio[: frames * FRAME], dtype=np.float64).reshape(frames, FRAME).mean(1)
    levels = np.geomspace(max(power.min(), 1e-12), max(power.max(), 2e-12), THRESHOLDS, endpoint=False)
    return max(_stretches(power > level) for level in levels)


def _stretches(active: npt.NDArray[np.bool_]) -> int:
    """Counts runs of active frames long enough to be utterances, after joining runs across short gaps."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0
    parted = starts[1:] - ends[:-1] > PAUSE
    starts, ends = np.concatenate([starts[:1], starts[1:][parted]]), np.concatenate([ends[:-1][parted], ends[-1:]])
    return int(np.count_nonzero(ends - starts >= UTTERANCE))


def _reason(error: Exception) -> str:
    message = error.args[0] if error.args else type(error).__name__
    return message.decode() if isinstance(message, bytes) else str(message)


PLUGIN = PESQ
