"""Texts in a script that the voice does not read are refused, not spelled out."""

from __future__ import annotations

import pytest

from benchmark.data.scripts import is_foreign


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Good morning.", "en-us"), ("Grüße aus Łódź, ¡señor!", "de"), ("Доброе утро.", "ru"), ("早上好", "cmn"),
        ("おはよう、東京。", "ja"),
                ("Καλημέρα", "el"), ("안녕하세요", "ko"), ("dobro jutro", "sr"), ("добро јутро", "sr"), 
        ("We met Ян in Warsaw last year.", "en-gb"),
        ("42!", "en-us"), ("", "en-us"), ("xin chào các bạn", "vi"), ("1ª vez", "pt-br"),
    ],
)  # fmt: skip
def test_a_language_in_its_own_script_is_read(text: str, language: str) -> None:
    assert not is_foreign(text, language)


@pytest.mark.parametrize(
    ("text", "language"), [("早上好", "en-us"), ("Доброе утро.", "en-us"), ("Good morning.", "ru"), ("Καλημέρα", "de"), ("안녕", "ja")]
)
def test_another_script_is_foreign(text: str, language: str) -> None:
    assert is_foreign(text, language)
