"""The speech that runs keep to listen to: what its files are called, where they are, and whether they are as they were written.

A run keeps, of each target, what it said first at each place of the grid; and beside that, what the target itself said: the recording of
that sentence, its copy through mel spectrogram and vocoder, and the first support sentence. A run of recognition keeps, in the same
places, what it heard: transcripts, and beside them the recording with its text.
"""

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
BESIDE = ("recording", "copy", "support")
"""What is kept beside a target's speech; of the recording and the support sentence also the text."""
NAME = re.compile(r"(.+)_(\d+)shot_(\d+)steps\.(?:wav|txt)", re.DOTALL)
UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f]|^\.')
"""Characters of a target that would lead to another folder, or that some file systems refuse."""


def safe(target: str) -> str:
    """A target as part of a file's name: unsafe characters become "%2F" and the like, so that no two targets share a name."""
    return UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", target)


def speech_file(target: str, shots: int, steps: int, end: str = "wav") -> str:
    """The name of the file with a target's speech; with ``end`` "txt", with the transcript of it."""
    return f"{safe(target)}_{shots}shot_{steps:04d}steps.{end}"


def beside_file(target: str, kind: str, end: str = "wav") -> str:
    """The name of the file that is kept beside a target's speech, of a ``kind`` of ``BESIDE``; with ``end`` "txt", of its text."""
    return f"{safe(target)}_{kind}.{end}"


def files_of(target: str, places: Iterable[tuple[int, int]]) -> set[str]:
    """The names of all that may be kept of a target, at these numbers of shots and steps."""
    own = {speech_file(target, shots, steps, end) for shots, steps in places for end in ("wav", "txt")}
    return own | {beside_file(target, kind, end) for kind in BESIDE for end in ("wav", "txt")}


def beside_in(folder: Path, result: Mapping[str, Any], target: str) -> dict[str, tuple[Path, str]]:
    """What a run kept beside a target's speech, by kind of ``BESIDE``: the sound and its text, "" if there is none."""
    found = {}
    for kind in BESIDE:
        sound, text = (folder / FOLDER / beside_file(target, kind, end) for end in ("wav", "txt"))
        known = result.get("speech") or {}
        if sound.name in known and sound.is_file():
            said = text.read_text(encoding="utf-8", errors="replace") if text.name in known and text.is_file() else ""
            found[kind] = sound, said.strip()
    return found


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
    """The blocks of a run whose speech is not as it was noted, or not noted; files that were deleted, to save room, are no fault.

    What is kept beside speech, and is not as it was noted, or not noted, is deleted: a block of its target makes it again.
    """
    sums, named = noted(folder), _named(folder)
    found = {(target, 0, shots) for (target, shots, _), path in named.items() if sums.get(path.name) != digest_of_file(path)}
    for path in _beside(folder, {*sums, *(name for target, *_ in named for name in files_of(target, ()))}):
        if sums.get(path.name) != digest_of_file(path):
            path.unlink()
            found |= {(target, 0, shots) for target, shots, _ in named if path.name in files_of(target, ())}
    return found


def check(folder: Path, result: Mapping[str, Any]) -> None:
    """Check a run's speech against the digests in its result, if it has any; files that were deleted are no fault.

    Raises:
        Contradiction: a file was changed.
    """
    known: Mapping[str, str] = result.get("speech") or {}  # results of before speech had digests have none
    every = [*speech_in(folder, result).values(), *speech_in(folder, result, "txt").values(), *_beside(folder, known)]
    for path in every if known else ():
        if known[path.name] != digest_of_file(path):
            raise Contradiction(folder, f"{FOLDER}/{path.name}")


def speech_in(folder: Path, result: Mapping[str, Any] | None = None, end: str = "wav") -> dict[tuple[str, int, int], Path]:
    """A run's speech, by target, shots and steps, sorted. Files of other origin beside it are passed over.

    Args:
        folder: of the run.
        result: of the run; None while it is not complete. In runs of before speech had digests, every file of such a name is taken.
        end: "txt" for transcripts instead.
    """
    known = (noted(folder) or None) if result is None else result.get("speech")
    return {place: path for place, path in _named(folder, f"*.{end}").items() if known is None or path.name in known}


def _beside(folder: Path, known: Iterable[str]) -> list[Path]:
    """The files of these names that are kept beside speech."""
    ends = tuple(f"_{kind}.{end}" for kind in BESIDE for end in ("wav", "txt"))
    return [path for name in sorted(known) if name.endswith(ends) and (path := folder / FOLDER / name).is_file()]


def _named(folder: Path, pattern: str = "*") -> dict[tuple[str, int, int], Path]:
    """The files that are called as speech and transcripts are, sorted; a run has one of the two."""
    found = {}
    for path in (folder / FOLDER).glob(pattern):
        if (match := NAME.fullmatch(path.name)) and path.is_file():
            found[unquote(match[1]), int(match[2]), int(match[3])] = path
    return dict(sorted(found.items()))
