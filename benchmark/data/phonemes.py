"""Text to phonemes: espeak-ng through phonemizer, with the library from the espeakng-loader wheel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from benchmark.utterance import Words


@lru_cache(maxsize=4)
def _backend(language: str) -> Any:
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    from benchmark.errors import BenchmarkError

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    quiet = logging.getLogger("benchmark.phonemizer")
    quiet.setLevel(logging.ERROR)
    try:
        return EspeakBackend(language, with_stress=False, language_switch="remove-flags", logger=quiet)
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
