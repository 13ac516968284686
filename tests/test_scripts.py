"""Texts in a script that the voice does not read are refused, not spelled out."""

from __future__ import annotations

import pytest

from benchmark.data.phonemes import phonemise
from benchmark.data.scripts import is_foreign

READ = [
    ("Good morning.", "en-us"), ("Grüße aus Łódź, señor!", "de"), ("Доброе утро.", "ru"), ("おはよう、さくら。", "ja"), ("サクラ", "ja"),
    ("Καλημέρα", "el"), ("안녕하세요", "ko"), ("dobro jutro", "sr"), ("добро јутро", "sr"), ("добро јутро", "bs"), ("dobro jutro", "bs"),
    ("xin chào các bạn", "vi"), ("ሰላም ቤት", "ti"), ("салам дослар", "nog"), ("salam khubi", "fa-latn"), ("سلام کتاب", "fa-latn"),
    ("سلام کتاب", "fa"), ("salom dunyo", "uz"), ("салом бола", "uz"), ("ngai he hak", "hak"), ("osiyo", "chr-US-Qaaa-x-west"),
]  # fmt: skip
SPELLED = [
    ("早上好", "en-us"), ("Доброе утро", "en-us"), ("Доброе утро", "az"), ("안녕", "ja"), ("東京", "ja"), ("漢字", "ko"), ("早上好", "hak"),
    ("नमस्कार", "kok"), ("سلام", "ms"), ("ᎣᏏᏲ", "chr-US-Qaaa-x-west"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "voice"), READ)
def test_what_the_library_reads_word_by_word_is_not_foreign(text: str, voice: str) -> None:
    (words,) = phonemise([text], voice)
    assert len(words) == len(text.replace("、", " ").split()), "it reads words"
    assert not is_foreign(text, voice)


@pytest.mark.parametrize(("text", "voice"), SPELLED)
def test_what_the_library_spells_by_names_of_letters_is_foreign(text: str, voice: str) -> None:
    (words,) = phonemise([text], voice)
    assert len(words) > len(text.split()) or len(words[0]) > 2 * len(text), "it names letters"
    assert is_foreign(text, voice)


@pytest.mark.parametrize(
    ("text", "voice"),
    [("Good morning", "ru"), ("Καλημέρα", "de"), ("सलाम", "ur"), ("早上好", "vi")],
)
def test_what_the_library_reads_in_another_language_is_foreign(text: str, voice: str) -> None:
    assert is_foreign(text, voice)


@pytest.mark.parametrize(
    ("text", "voice"),
    [("早上好", "cmn"), ("我喜欢 Python 编程", "cmn"), ("zao3 shang4 hao3", "cmn-latn-pinyin"), ("早上好", "yue"),
     ("We met Ян in Warsaw last year.", "en-gb"), ("42!", "en-us"), ("", "en-us"), ("1ª vez", "pt-br")],
)  # fmt: skip
def test_a_name_digits_and_nothing_are_not_foreign(text: str, voice: str) -> None:
    assert not is_foreign(text, voice)
