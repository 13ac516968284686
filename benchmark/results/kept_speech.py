"""The speech that runs keep to listen to: what its files are called, where they are, and whether they are as they were written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from benchmark.plumbing.files import digest_of_file, write_text
from benchmark.results.blocks import Block
from benchmark.results.episode_tables import Contradiction

FOLDER = "audio"
"""Of a run's speech, in its folder."""
SUMS = "SHA256SUMS"
"""There, the digests of the speech, noted with the scores that belong to it; ``sha256sum -c`` reads it too."""
NAME = re.compile(r"(.+)_(\d+)shot_(\d+)steps\.wav", re.DOTALL)
UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f]|^\.')
"""Characters of a target that would lead to another folder, or that some file systems refuse."""


def safe(target: str) -> str:
    """A target as part of a file's name: unsafe characters become "%2F" and the like, so that no two targets share a name."""
    return UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", target)


def speech_file(target: str, shots: int, steps: int) -> str:
    """The name of the file with a target's speech."""
    return f"{safe(target)}_{shots}shot_{steps:04d}steps.wav"


def note(folder: Path, names: Iterable[str]) -> None:
    """Note the digests of a run's speech of these names; what was not kept, because there is no speech, is passed over."""
    sums = noted(folder)
    found = {name: path for name in names if (path := folder / FOLDER / name).is_file()}
    if found:
        write_text(folder / FOLDER / SUMS, _as_text(sums | {name: digest_of_file(path) for name, path in found.items()}))


def mend(folder: Path, result: Mapping[str, Any]) -> None:
    """Let the digests beside a finished run's speech be those in its result again, if both are there."""
    path, text = folder / FOLDER / SUMS, _as_text(result.get("speech") or {})
    if text and path.is_file() and path.read_bytes() != text.encode():
        write_text(path, text)


def _as_text(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def noted(folder: Path) -> dict[str, str]:
    """The digests that were noted, by file name; lines that are none are passed over."""
    path = folder / FOLDER / SUMS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    found = (re.fullmatch(r"([0-9a-f]{64})  ([^/\\]+)", line) for line in lines)
    return {match[2]: match[1] for match in found if match}


def damaged(folder: Path) -> set[Block]:
    """The blocks of a run whose speech is not as it was noted, or not noted; files that were deleted, to save room, are no fault."""
    sums = noted(folder)
    return {(target, 0, shots) for (target, shots, _), path in _named(folder).items() if sums.get(path.name) != digest_of_file(path)}


def check(folder: Path, result: Mapping[str, Any]) -> None:
    """Check a run's speech against the digests in its result, if it has any; files that were deleted are no fault.

    Raises:
        Contradiction: a file was changed.
    """
    for path in speech_in(folder, result).values():
        if result.get("speech") is not None and result["speech"][path.name] != digest_of_file(path):
            raise Contradiction(folder, f"{FOLDER}/{path.name}")


def speech_in(folder: Path, result: Mapping[str, Any] | None = None) -> dict[tuple[str, int, int], Path]:
    """A run's speech, by target, shots and steps, sorted. Files of other origin beside it are passed over.

    Args:
        folder: of the run.
        result: of the run; None while it is not complete. In runs of before speech had digests, every file of such a name is taken.
    """
    known = (noted(folder) or None) if result is None else result.get("speech")
    return {place: path for place, path in _named(folder).items() if known is None or path.name in known}


def _named(folder: Path) -> dict[tuple[str, int, int], Path]:
    """The files that are called as speech is, sorted."""
    found = {}
    for path in (folder / FOLDER).glob("*.wav"):
        if (match := NAME.fullmatch(path.name)) and path.is_file():
            found[unquote(match[1]), int(match[2]), int(match[3])] = path
    return dict(sorted(found.items()))
