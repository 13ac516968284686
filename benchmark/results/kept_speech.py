"""The speech that runs keep to listen to: what its files are called, and where they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from benchmark.plumbing.files import digest_of_file
from benchmark.results.episode_tables import Contradiction

FOLDER = "audio"
"""Of a run's speech, in its folder."""

UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f]|^\.')
"""Characters of a target that would lead to another folder, or that some file systems refuse."""


def safe(target: str) -> str:
    """A target as part of a file's name: unsafe characters become "%2F" and the like, so that no two targets share a name."""
    return UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", target)


def speech_file(target: str, shots: int, steps: int) -> str:
    """The name of the file with a target's speech."""
    return f"{safe(target)}_{shots}shot_{steps:04d}steps.wav"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the speech that a run kept, by file name."""
    return {path.name: digest_of_file(path) for path in sorted((folder / FOLDER).glob("*.wav"))}


def check(folder: Path, result: Mapping[str, Any]) -> None:
    """Check a run's speech against the digests in its result, if it has any; files that were deleted, to save room, are no fault.

    Raises:
        Contradiction: a file was changed, or is not the run's.
    """
    if (known := result.get("speech")) is None:
        return
    for name, digest in digests(folder).items():
        if known.get(name) != digest:
            raise Contradiction(folder, f"{FOLDER}/{name}")


def speech_in(folder: Path) -> dict[tuple[str, int, int], Path]:
    """The files in a run's ``audio``, by target, shots and steps, sorted."""
    found = {}
    for path in folder.glob("*.wav"):
        if match := re.fullmatch(r"(.+)_(\d+)shot_(\d+)steps", path.stem, re.DOTALL):
            found[unquote(match[1]), int(match[2]), int(match[3])] = path
    return dict(sorted(found.items()))
