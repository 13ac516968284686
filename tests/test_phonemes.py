"""Text becomes words of phones, without stress or punctuation; capitals are read, and nothing to say is an empty utterance."""

from __future__ import annotations

import pytest

from benchmark.data.phonemes import phonemise, voice
from benchmark.errors import BenchmarkError


def test_words_and_their_phones() -> None:
    assert phonemise(["Two red ships."], "en-us") == [(("t", "uː"), ("ɹ", "ɛ", "d"), ("ʃ", "ɪ", "p", "s"))]


def test_capitals_are_read_not_spelled() -> None:
    assert phonemise(["HE NEEDS NEW SHOES"], "en-us") == phonemise(["he needs new shoes"], "en-us")
    # A name in ordinary text keeps its capital.
    assert len(phonemise(["We flew to Berlin"], "en-us")[0]) == 4


def test_punctuation_and_numbers() -> None:
    plain = phonemise(["well he said stop"], "en-us")
    assert phonemise(["“Well,” he said; stop!"], "en-us") == plain
    assert phonemise(["7 dogs"], "en-us") == phonemise(["seven dogs"], "en-us")


@pytest.mark.parametrize("text", ["", "   ", "…", "?!", "()"])
def test_nothing_to_say_is_an_empty_utterance_and_moves_no_other(text: str) -> None:
    assert phonemise(["red", text, "ship"], "en-us") == [(("ɹ", "ɛ", "d"),), (), (("ʃ", "ɪ", "p"),)]


def test_no_symbol_holds_stress_space_or_separator() -> None:
    found = phonemise(["The extraordinary photographer's computer | and / 20% of 'em", "Communication isn't easy"], "en-us")
    symbols = {phone for words in found for word in words for phone in word}
    assert symbols and not any(character in symbol for symbol in symbols for character in "ˈˌ |/()-%")


def test_a_batch_gives_what_single_texts_give() -> None:
    texts = ["the old man", "a quick answer", "for all of them"]
    assert phonemise(texts, "en-us") == [phonemise([text], "en-us")[0] for text in texts]


def test_other_languages() -> None:
    assert phonemise(["schön"], "de") == [(("ʃ", "øː", "n"),)]


def test_an_unknown_language_is_one_clear_error() -> None:
    with pytest.raises(BenchmarkError, match="'xx-nowhere'"):
        phonemise(["text"], "xx-nowhere")


def test_a_name_that_only_starts_as_a_language_is_none() -> None:
    assert (voice("de-DE"), voice("zh_Hant_TW"), voice("no-NO")) == ("de", "cmn", "nb")
    with pytest.raises(ValueError, match="espeak-ng has no voice 'no_such_name'"):
        voice("no_such_name")
