"""The speech that runs keep to listen to: what its files are called, and where they are."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f]|^\.')
"""Characters of a target that would lead to another folder, or that some file systems refuse."""


def safe(target: str) -> str:
    """A target as part of a file's name: unsafe characters become "%2F" and the like, so that no two targets share a name."""
    return UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", target)


def speech_file(target: str, shots: int, steps: int) -> str:
    """The name of the file with a target's speech."""
    return f"{safe(target)}_{shots}shot_{steps:04d}steps.wav"


def speech_in(folder: Path) -> dict[tuple[str, int, int], Path]:
    """The files in a run's ``audio``, by target, shots and steps, sorted."""
    found = {}
    for path in folder.glob("*.wav"):
        if match := re.fullmatch(r"(.+)_(\d+)shot_(\d+)steps", path.stem, re.DOTALL):
            found[unquote(match[1]), int(match[2]), int(match[3])] = path
    return dict(sorted(found.items()))
