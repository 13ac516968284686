"""Which scripts a voice of espeak-ng reads: it spells out other text letter by letter, by the letters' names."""

from __future__ import annotations

import unicodedata

LATIN = ("LATIN",)
CYRILLIC, ARABIC, DEVANAGARI, ETHIOPIC, GREEK = ("CYRILLIC",), ("ARABIC",), ("DEVANAGARI",), ("ETHIOPIC",), ("GREEK",)
BENGALI, CHINESE, MYANMAR = ("BENGALI",), ("CJK",), ("MYANMAR",)
BOTH = (*CYRILLIC, *LATIN)
SCRIPTS: dict[str, tuple[str, ...]] = {
    "am": ETHIOPIC, "ar": ARABIC, "as": BENGALI, "ba": CYRILLIC, "be": CYRILLIC, "bg": CYRILLIC, "bn": BENGALI, "bpy": BENGALI, "bs": BOTH,
    "cmn": (*CHINESE, *LATIN), "cv": CYRILLIC, "el": GREEK, "fa": ARABIC, "fa-latn": (*ARABIC, *LATIN), "grc": (*GREEK, *LATIN),
    "gu": ("GUJARATI",), "he": ("HEBREW",), "hi": DEVANAGARI, "hr": BOTH, "hy": ("ARMENIAN",), "hyw": ("ARMENIAN",),
    "ja": ("HIRAGANA", "KATAKANA"), "ka": ("GEORGIAN",), "kk": CYRILLIC, "kn": ("KANNADA",), "ko": ("HANGUL",), "kok": (), "ky": CYRILLIC,
    "lfn": BOTH, "mk": BOTH, "ml": ("MALAYALAM",), "mr": DEVANAGARI, "my": MYANMAR, "ne": DEVANAGARI, "nog": CYRILLIC, "or": ("ORIYA",),
    "pa": ("GURMUKHI",), "ru": CYRILLIC, "sd": ARABIC, "shn": MYANMAR, "si": ("SINHALA",), "sr": BOTH, "ta": ("TAMIL",),
    "te": ("TELUGU",), "th": ("THAI",), "ti": ETHIOPIC, "tt": CYRILLIC, "ug": (*ARABIC, *LATIN), "uk": CYRILLIC, "ur": ARABIC, "uz": BOTH,
    "yue": CHINESE,
}  # fmt: skip
"""Scripts, as Unicode names letters, by a voice's name or its first subtag; all others read Latin letters. This is what the library reads,
not what the language is written in: its Japanese voice knows only kana, its Hakka and Cherokee ones only Latin letters, and its Konkani
one names the signs of vowels."""
MOST_FOREIGN = 0.2
"""Largest share of a text's letters in another script: a foreign name does no harm."""


def is_foreign(text: str, voice: str) -> bool:
    """Whether a text is written in a script that an espeak-ng voice ("en-us", "ru") does not read."""
    scripts = SCRIPTS.get(voice, SCRIPTS.get(voice.partition("-")[0], LATIN))
    letters = [unicodedata.name(letter, "") for letter in text if letter.isalpha()]
    foreign = sum(not name.startswith((*scripts, "MODIFIER", "FEMININE", "MASCULINE")) for name in letters)
    return foreign > MOST_FOREIGN * len(letters)
