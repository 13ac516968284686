"""Names of speakers, utterances and plugins: what they may look like, checked wherever they enter.

They become parts of file names, cells of tables and text on pages. So they hold nothing that leads to another folder, breaks a line,
or that a spreadsheet takes for a formula. Spaces, dots and letters of any script are fine.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LONGEST = 120
"""Most bytes of a name in UTF-8; file systems take 255 for a file that is named after one, and more follows the name."""
FORMULA = ("=", "+", "-", "@")
"""Beginnings of cells that spreadsheets take for formulas."""
CONTROL = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, lone surrogates and line separators."""
BACKSLASH = re.compile(r"\\(?!x[0-9a-f]{2})")
"""A backslash that is no escape of a byte that is not UTF-8 (:func:`benchmark.plumbing.files.printable`)."""


@lru_cache(maxsize=8192)
def fault(name: str) -> str:
    """Why something can't be a name, as the end of a sentence ("begins with '='"); "" if it can."""
    if not name.strip():
        return "is empty"
    if character := control_in(name):
        return f"holds the control character {character!r}"
    if name.startswith(FORMULA):
        return f"begins with {name[0]!r}, which spreadsheets take for a formula"
    if name in (".", "..") or "/" in name or BACKSLASH.search(name):
        return "leads to another folder"
    if len(name.encode("utf-8")) > LONGEST:
        return f"is longer than {LONGEST} bytes"
    return ""


def control_in(text: str) -> str:
    """The first character of a text that no line of a table can hold; "" if there is none."""
    return next((character for character in text if unicodedata.category(character) in CONTROL), "")
