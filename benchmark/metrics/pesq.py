"""PESQ: perceptual evaluation of speech quality, wide band."""

from __future__ import annotations

from typing import ClassVar

from benchmark.audio import SAMPLE_RATE
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.scoring.checks import aligned_pair


class PESQ(Metric):
    """Perceptual quality against the real recording, on the mean-opinion-score scale (1.04 bad … 4.64 identical).

    ITU-T P.862.2 (wide-band, 50–7000 Hz, 16 kHz): both signals are brought to one level, aligned in time by the
    algorithm itself, mapped to loudness over time and Bark bands, and the symmetric and asymmetric disturbance,
    d_s and d_a, give y = 4.5 − 0.1·d_s − 0.0309·d_a, mapped to MOS-LQO = 0.999 + 4 / (1 + exp(−1.3669·y + 3.8224))
    (Rix et al., ICASSP 2001; P.862.2 eq. 1). The reference C code, through the package ``pesq``. Speech made with other
    durations than the recording's gets a meaningless value, so the mode is aligned.
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
            CannotScore: no speech is found in either signal, it is shorter than 1/4 s, or the lengths differ.
        """
        from pesq import PesqError, pesq

        reference, audio = aligned_pair(sample, seconds=0.25)
        try:
            value = pesq(SAMPLE_RATE, reference, audio, "wb")
        except (PesqError, ValueError) as error:
            raise CannotScore(f"PESQ gives no value: {_reason(error)}") from error
        if not 1.0 <= value <= 4.65:  # False for NaN too
            raise CannotScore(f"PESQ gave {value}, outside of its scale")
        return {"pesq": float(value)}


def _reason(error: Exception) -> str:
    message = error.args[0] if error.args else type(error).__name__
    return message.decode() if isinstance(message, bytes) else str(message)


PLUGIN = PESQ
