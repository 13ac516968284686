"""A metric: the character error rate of a recogniser's transcript.

    python -m benchmark check examples/cer.py
    python -m benchmark run --plugin examples/cer.py --metrics cer --plugin examples/recogniser.py --backbone recogniser \\
        --algo finetune --dataset espeak --preset smoke
"""

from __future__ import annotations

from typing import ClassVar

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.utterance import spelled


class CER(Metric):
    """Character error rate: (substitutions + deletions + insertions) / characters (Levenshtein 1966); 0 is perfect.

    Both texts are compared as :func:`benchmark.utterance.spelled` writes them, without case and punctuation.
    """

    version = "1"
    columns: ClassVar = {
        "cer": Column(
            unit="fraction", meaning="share of characters that are understood wrongly", higher_is_better=False, low=0.0, headline=True,
        ),
    }  # fmt: skip
    needs = ("text", "transcript")

    def score(self, sample: Sample) -> dict[str, float]:
        """The character error rate of one sentence.

        Raises:
            CannotScore: its transcript has no characters.
        """
        from torchaudio.functional import edit_distance

        said, understood = spelled(sample.transcript), spelled(sample.text)
        if not said:
            raise CannotScore("the transcript is empty")
        return {"cer": edit_distance(understood, said) / len(said)}


PLUGIN = CER
