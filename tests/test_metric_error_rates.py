"""Character and word error rates against Levenshtein distances worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import CannotScore
from benchmark.metric import Sample
from benchmark.metrics.cer import CER
from benchmark.metrics.wer import WER
from benchmark.utterance import spelled


def sample(transcript: str, text: str) -> Sample:
    nothing = np.zeros(0, np.float32)
    return Sample(nothing, nothing, (), "somebody", (), transcript, text)


@pytest.mark.parametrize(
    ("said", "understood", "cer", "wer"),
    [
        ("Sitting.", "kitten", 3 / 7, 1),
        ("It's SO!", "it’s so", 0, 0),
        ("ab", "", 1, 1),
        ("the cat sat", "the bat sat down", 6 / 11, 2 / 3),
        ("no", "no no no", 3, 2),
    ],
)
def test_edits_for_each_unit_that_was_said(said: str, understood: str, cer: float, wer: float) -> None:
    assert CER().score(sample(said, understood)) == {"cer": pytest.approx(cer)}
    assert WER().score(sample(said, understood)) == {"wer": pytest.approx(wer)}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("It’s_SO!  50 %", "it's so 50"),
        ("नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("สวัสดีครับ", "สวัสดีครับ"),
        ("re\u0301sume\u0301", "r\u00e9sum\u00e9"),
        ("İSTANBUL", "istanbul"),
        ("Straße", "strasse"),
        ("I\u0307\u0301", "í"),
        ("می\u200cخواهم", "میخواهم"),
        ("co\u00adoperate", "cooperate"),
    ],
)
def test_words_keep_the_marks_of_their_script(text: str, written: str) -> None:
    assert spelled(text) == written == spelled(written)


@pytest.mark.parametrize("metric", [CER(), WER()])
def test_an_empty_transcript_is_not_scored(metric: CER | WER) -> None:
    with pytest.raises(CannotScore, match="the transcript is empty"):
        metric.score(sample("?!", "something"))
