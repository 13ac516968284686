"""Who speaks which languages in the embedded corpora of languages, and the sentences (``sentences/``, one file per language)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmark.data.espeak import VoiceSettings

# fmt: off
SPOKEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "train": {
        "cs": ("alicia", "steph3", "hugo", "lee"), "da": ("andrea", "anika", "ed", "pedro"),
        "de": ("annie", "belinda", "boris", "storm"), "en-us": ("alicia", "anika", "iven4", "nguyen"),
        "es": ("andrea", "belinda", "marcelo", "ricishay"), "fr-fr": ("annie", "steph3", "ed", "hugo"),
        "hu": ("alicia", "belinda", "lee", "pedro"), "pl": ("andrea", "steph3", "boris", "marcelo"),
        "sv": ("anika", "annie", "nguyen", "storm"), "tr": ("alicia", "andrea", "iven4", "ricishay"),
    },
    "validation": {"ca": ("f5", "ian", "f3"), "ro": ("shelby", "iven", "norbert")},
    "test": {
        "fi": ("steph", "jacky", "aunty"), "id": ("f2", "sandro", "m6"), "it": ("grandma", "gustave", "f4"),
        "nb": ("f1", "travis", "pablo"), "nl": ("zac", "kaukovalta", "linda"), "pt": ("steph2", "marco", "m8"),
    },
}
"""Voices by split and language. No voice is in two splits, and held-out languages share no voice. The voices are those of the English
corpus and these:"""

MORE_VOICES = {
    "aunty": VoiceSettings("+aunty", 158, 25), "f1": VoiceSettings("+f1", 164, 25), "f2": VoiceSettings("+f2", 168, 75),
    "f3": VoiceSettings("+f3", 160, 50), "f4": VoiceSettings("+f4", 154, 50), "gustave": VoiceSettings("+gustave", 166, 75),
    "jacky": VoiceSettings("+Jacky", 150, 50), "kaukovalta": VoiceSettings("+kaukovalta", 152, 50), "m8": VoiceSettings("+m8", 172, 75),
    "marco": VoiceSettings("+Marco", 160, 75), "norbert": VoiceSettings("+norbert", 162, 75), "pablo": VoiceSettings("+pablo", 156, 75),
    "steph": VoiceSettings("+steph", 170, 75), "zac": VoiceSettings("+zac", 162, 25),
}
# fmt: on
POLYGLOTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "train": {
        name: tuple(language for language, names in SPOKEN["train"].items() if name in names)
        for name in sorted({name for names in SPOKEN["train"].values() for name in names})
    },
    "validation": {"f5": ("de", "fr-fr"), "ian": ("es", "pl"), "iven": ("cs", "en-us"), "shelby": ("hu", "sv")},
    "test": {
        "grandma": ("cs", "es"), "linda": ("da", "pl"), "m6": ("de", "tr"), "sandro": ("en-us", "hu"), "steph2": ("fr-fr", "sv"),
        "travis": ("de", "es"),
    },
}  # fmt: skip
"""The voices that read several languages, and which: all of them languages that training voices speak. No voice is in two splits."""
NAMES = {"fr-fr": "fr"}
"""Voices that the synthesiser calls otherwise than the phonemiser does."""


def voice_in(language: str, voice: VoiceSettings) -> VoiceSettings:
    """A voice of any language, speaking this one."""
    return replace(voice, name=f"{NAMES.get(language, language)}+{voice.name.partition('+')[2]}")


@cache
def sentences_in(language: str) -> tuple[str, ...]:
    """The sentences of a language, "en-us" excepted."""
    return tuple((Path(__file__).parent / "sentences" / f"{language}.txt").read_text(encoding="utf-8").splitlines())
