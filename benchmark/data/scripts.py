"""Which script a language is written in: espeak-ng spells out text that it can't read, letter by letter."""

from __future__ import annotations

import unicodedata

LATIN = ("LATIN",)
CYRILLIC, ARABIC, DEVANAGARI = ("CYRILLIC",), ("ARABIC",), ("DEVANAGARI",)
BENGALI, CHINESE, MYANMAR = ("BENGALI",), ("CJK",), ("MYANMAR",)
SCRIPTS: dict[str, tuple[str, ...]] = {
    "am": ("ETHIOPIC",), "ar": ARABIC, "as": BENGALI, "ba": CYRILLIC, "be": CYRILLIC, "bg": CYRILLIC, "bn": BENGALI, "bpy": BENGALI,
    "chr": ("CHEROKEE",), "cmn": (*CHINESE, *LATIN), "cv": CYRILLIC, "el": ("GREEK",), "fa": ARABIC, "grc": ("GREEK",),
    "gu": ("GUJARATI",), "hak": CHINESE, "he": ("HEBREW",), "hi": DEVANAGARI, "hy": ("ARMENIAN",), "hyw": ("ARMENIAN",),
    "ja": ("HIRAGANA", "KATAKANA", *CHINESE), "ka": ("GEORGIAN",), "kk": CYRILLIC, "kn": ("KANNADA",), "ko": ("HANGUL",),
    "kok": DEVANAGARI, "ky": CYRILLIC, "mk": CYRILLIC, "ml": ("MALAYALAM",), "mr": DEVANAGARI, "mto": LATIN, "my": MYANMAR,
    "ne": DEVANAGARI, "or": ("ORIYA",), "pa": ("GURMUKHI",), "ru": CYRILLIC, "sd": ARABIC, "shn": MYANMAR, "si": ("SINHALA",),
    "sr": (*CYRILLIC, *LATIN), "ta": ("TAMIL",), "te": ("TELUGU",), "th": ("THAI",), "tt": CYRILLIC, "ug": ARABIC, "uk": CYRILLIC,
    "ur": ARABIC, "yue": CHINESE,
}  # fmt: skip
"""Scripts, as Unicode names letters, by a language's first subtag; all other languages use Latin letters."""
MOST_FOREIGN = 0.2
"""Largest share of a text's letters in another script: a foreign name does no harm."""


def is_foreign(text: str, language: str) -> bool:
    """Whether a text is written in a script that an espeak-ng voice ("en-us", "ru") does not read."""
    scripts = SCRIPTS.get(language.partition("-")[0], LATIN)
    letters = [unicodedata.name(letter, "") for letter in text if letter.isalpha()]
    foreign = sum(not name.startswith((*scripts, "MODIFIER", "FEMININE", "MASCULINE")) for name in letters)
    return foreign > MOST_FOREIGN * len(letters)
