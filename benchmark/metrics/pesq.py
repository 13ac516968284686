"""PESQ: perceptual evaluation of speech quality, wide band."""

from __future__ import annotations

from typing import ClassVar

from benchmark.audio import SAMPLE_RATE
from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.metrics._pesq_utterances import utterances
from benchmark.scoring.checks import aligned_pair

MOST_UTTERANCES = 49
"""Most stretches of speech between pauses. The C code has room for 50, of which it needs one to work in, and never checks: more give
numbers from overwritten memory, or end the process."""
COUNTED_SECONDS = 18.0
"""Stretches are counted in recordings above this length. Shorter ones have no room for so many: each lasts 0.38 s with its pause."""
LONGEST_SECONDS = 90.0
"""The C code has room for 1000 disturbed passages, each at least 0.096 s long, and never checks that either."""


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
            higher_is_better=True, low=1.0, high=4.65, headline=True,
        ),
    }
    needs = ("aligned", "reference")

    def score(self, sample: Sample) -> dict[str, float]:
        """The MOS-LQO.

        Raises:
            CannotScore: either signal holds no speech or is shorter than 1/4 s, the lengths differ, or the recording is longer or
                has more pauses than the C code has room for.
        """
        from pesq import PesqError, pesq

        reference, audio = aligned_pair(sample, seconds=0.25)
        if len(reference) > LONGEST_SECONDS * SAMPLE_RATE:
            raise CannotScore(f"PESQ can't take more than {LONGEST_SECONDS:.0f} s, and the recording is longer")
        if len(reference) > COUNTED_SECONDS * SAMPLE_RATE and (found := utterances(reference, audio)) > MOST_UTTERANCES:
            raise CannotScore(f"PESQ can't take more than {MOST_UTTERANCES} stretches of speech between pauses, and there are {found}")
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
