"""Text to phonemes: espeak-ng through phonemizer, with the library from the espeakng-loader wheel."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from benchmark.plumbing import scratch
from benchmark.utterance import Words

ALIASES = {"en": "en-us", "zh": "cmn", "fr": "fr-fr", "no": "nb", "en-uk": "en-gb"}
"""espeak-ng's voices for languages that it calls otherwise."""
TAG = "[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?"
"""A language, perhaps with a script and a region, which may be left out (BCP 47); "no-such-name" is not Norwegian."""


def _espeak() -> Any:
    """phonemizer's backend, with the wheel's library."""
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend


@lru_cache(maxsize=1)
def _voices() -> dict[str, str]:
    """Names of languages by voice."""
    with scratch.for_libraries():  # phonemizer copies the library
        return dict(_espeak().supported_languages())


@lru_cache
def voice(language: str) -> str:
    """The espeak-ng voice of a language as people write it: "en", "en_US" and "EN-us" are en-us, "de-DE" is de.

    Raises:
        ValueError: there is none; the message suggests some.
    """
    voices = _voices()
    if language in voices:
        return language
    codes = {code.casefold(): code for code in voices}
    plain = language.strip().casefold().replace("_", "-")
    main = plain.partition("-")[0] if re.fullmatch(TAG, plain) else ""
    found = next((codes[each] for each in (plain, ALIASES.get(plain, ""), main, ALIASES.get(main, "")) if each in codes), None)
    if found is not None:
        return found
    named = sorted(code for code, name in voices.items() if plain and name.casefold().partition(" (")[0] == plain)
    near = [code for code in named if code in ALIASES.values()] or named or get_close_matches(plain, codes, 3)
    advice = f"did you mean {' or '.join(near[:3])}?" if near else "its voices are called en-us, de or cmn."
    raise ValueError(f"espeak-ng has no voice {language!r}; {advice}")


@lru_cache(maxsize=4)
def _backend(language: str) -> Any:
    from benchmark.errors import BenchmarkError

    quiet = logging.getLogger("benchmark.phonemizer")
    quiet.setLevel(logging.ERROR)
    try:
        with scratch.for_libraries():
            return _espeak()(language, with_stress=False, language_switch="remove-flags", logger=quiet)
    except RuntimeError as error:
        raise BenchmarkError(f"espeak-ng can't phonemise {language!r}: {error}") from error


def phonemise(texts: Sequence[str], language: str) -> list[Words]:
    """IPA phones of each text, word by word, without stress; an empty tuple if a text yields none.

    Text in capitals is lower-cased first, because espeak-ng would spell it out.
    """
    from phonemizer.separator import Separator

    plain = [text.lower() if text.isupper() else text for text in texts]
    lines = _backend(language).phonemize(plain, separator=Separator(phone=" ", word="|", syllable=""), strip=False)
    return [
        tuple(phones for word in line.split("|") if (phones := tuple(word.split())))
        for line in lines
    ]  # fmt: skip
