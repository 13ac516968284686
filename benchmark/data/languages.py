"""Whether a text is in the language that a voice of espeak-ng reads, where its letters do not tell: a language identifier does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

LEAST_LETTERS = 12
"""Shorter texts ("Guten Tag.") are not judged."""
LEAST_PROBABILITY = 0.001
"""Of a text's being in the voice's language. Of 3,020 English sentences of speechocean762 and 408 in 17 other languages (the texts of the
dataset of synthetic voices) none is below it in its own language; 98 % of the 408 are below it in English."""
MOST_CHARACTERS = 1000
"""Of a text that are looked at."""
CODES = {"nb": "no", "cmn": "zh", "yue": "zh"}
"""What the identifier calls languages that espeak-ng calls otherwise."""


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def is_other_language(text: str, voice: str) -> bool:
    """Whether a text is surely in another language than an espeak-ng voice ("en-us", "de") reads.

    Mixed texts pass, and so do texts in close languages, short ones, and all where the identifier does not know the voice's language.
    """
    if sum(map(str.isalpha, text)) < LEAST_LETTERS:
        return False
    main = voice.partition("-")[0]
    plain = text[:MOST_CHARACTERS]
    found = dict(_identifier().rank(plain.lower() if plain.isupper() else plain))
    return bool(found.get(CODES.get(main, main), 1.0) < LEAST_PROBABILITY)
