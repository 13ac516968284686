"""A text cut into sentences to be spoken one by one."""

from __future__ import annotations

import re

LONGEST = 300
"""Most characters of a sentence. Longer ones are cut, because models learned from shorter ones and memory grows with length."""
ABBREVIATIONS = frozenset({
    "mr", "mrs", "ms", "mx", "dr", "prof", "st", "sr", "jr", "vs", "nr", "hr", "mme", "mlle", "bzw", "ca", "sra", "inc",
    "ltd", "dept", "gen", "col", "lt", "sgt", "capt", "rev", "vol", "fig", "approx",
})  # fmt: skip
"""Words whose full stop ends no sentence, in lower case."""
_END = re.compile(r"""(?P<mark>[.!?…;:]+)["'”’)\]»]*\s+|[。！？]+[」』”’）]*\s*""")
_PAUSES = (", ", "，", "、", " ")


def sentences_of(text: str) -> list[str]:
    """A text cut after sentence-final marks; sentences over ``LONGEST`` are cut at commas or between words.

    A full stop after an abbreviation ("Dr. Smith"), an initial ("J. Smith") or a short number ("3. Mai"), or before a small letter, ends
    no sentence. What is left whole by mistake is only a longer sentence.
    """
    found, start = [], 0
    for end in _END.finditer(text):
        if end["mark"] == "." and _goes_on(text[start : end.start()], text[end.end() : end.end() + 1]):
            continue
        found += _pieces(text[start : end.end()].strip())
        start = end.end()
    return [sentence for sentence in [*found, *_pieces(text[start:].strip())] if sentence]


def _goes_on(before: str, after: str) -> bool:
    """Whether a sentence goes on after the full stop between these texts."""
    word = re.split(r"[\s\"'“‘(\[«]", before)[-1]
    return after.islower() or len(word) == 1 or "." in word or word.casefold() in ABBREVIATIONS or (word.isdigit() and len(word) < 3)


def _pieces(sentence: str) -> list[str]:
    """A sentence in pieces of at most ``LONGEST`` characters."""
    found = []
    while len(sentence) > LONGEST:
        cut = next((place + 1 for mark in _PAUSES if (place := sentence.rfind(mark, 0, LONGEST)) > 0), LONGEST)
        found.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [*found, sentence]
