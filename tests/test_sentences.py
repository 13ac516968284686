"""Long text is spoken sentence by sentence: cut where sentences end, nowhere else."""

from __future__ import annotations

import pytest

from benchmark.data.sentences import LONGEST, sentences_of


@pytest.mark.parametrize(
    "sentences",
    [
        ["One.", "Two!", "Three?", "Four…"],
        ["Dr. Smith met J. R. Jones.", "They left."],
        ["He said: “Stop.”", "She did."],
        ["Der 3. Mai war kalt.", "Das z.B. war neu, bzw. alt."],
        ["It cost 3.50 in the U.S. Army, approx. nothing.", "Mr. and Mrs. Fox paid."],
        ["It ends etc. and goes on.", "See St. Ives."],
        ["早上好。", "你好吗？", "好！", "「再见。」", "走"],
        ["おはよう。", "さくら！？", "はい"],
        ["No mark"],
    ],
)
def test_sentences_end_where_they_end(sentences: list[str]) -> None:
    joined = ("" if any(mark in sentences[0] for mark in "。！？") else " ").join(sentences)
    assert sentences_of(joined.replace("said: ", "said ")) == [each.replace("said: ", "said ") for each in sentences]


def test_long_sentences_are_cut_at_commas_or_between_words_and_nothing_is_lost() -> None:
    words = " ".join(f"word{number}" for number in range(150))
    commas = ", ".join(f"some words {number}" for number in range(60))
    chinese = "，".join(["我们今天去公园看花"] * 60) + "。"
    for text in (words, commas, chinese, "a" * 700):
        pieces = sentences_of(text)
        assert len(pieces) > 1 and all(0 < len(piece) <= LONGEST for piece in pieces)
        assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert all(piece.endswith(",") for piece in sentences_of(commas)[:-1])
    assert all(piece.endswith("，") for piece in sentences_of(chinese)[:-1])
