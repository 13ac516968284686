"""Atomic writes and content hashes: a file is either whole or absent, even after ``kill -9``."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError

TEMPORARY = ".tmp-"
"""How the names of files that are being written begin."""
BRAND_NEW = 60.0
"""Seconds in which a temporary file may not be locked yet."""
SEAL = "digest"
"""The key of a sealed file's digest of itself."""
MOST_DIGITS = 100
"""More digits than any integer of ours has."""
MOST_NESTED = 40
"""Most levels of lists and mappings in a file of ours; deeper ones are no such file."""


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it into place.

    Raises:
        BenchmarkError: the folder can't be written to, the disk is full, or the path is a device, a pipe or a folder.
    """
    if is_there(path) and not is_file(path):
        raise BenchmarkError(f"Could not write {path}: it is there and is no file; choose another name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because some writers, such as numpy's, append a missing one.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY, suffix=path.suffix)
        temporary = Path(name)
        try:
            with suppress(OSError):  # on file systems without locks nothing is ever taken for left behind
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                write(temporary)
            except Exception:
                _probe(temporary)
                raise
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)
    except OSError as error:
        raise _could_not_write(path, error) from error


def check_place(path: Path) -> None:
    """Before long work: find out whether :func:`write_atomic` can make files in the folder of ``path``, without making it.

    Raises:
        BenchmarkError: it can't.
    """
    there = next(folder for folder in path.absolute().parents if is_there(folder))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _could_not_write(path, error) from error


def _could_not_write(path: Path, error: OSError) -> BenchmarkError:
    return BenchmarkError(f"Could not write {path}: {error.strerror or error}; choose a folder that is writable and has space.")


def remove_left_over(paths: Iterable[Path]) -> None:
    """Remove those temporary files whose writers were killed: nobody holds them, and they are not brand-new."""
    for path in paths:
        with suppress(OSError):  # gone, being written, or another user's
            if time.time() - path.stat().st_mtime < BRAND_NEW:
                continue
            with path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _probe(path: Path) -> None:
    """Raise the ``OSError`` of a full disk if that made a library fail; C libraries don't report it."""
    with path.open("ab") as stream:
        stream.write(bytes(1 << 20))
        stream.flush()
        os.fsync(stream.fileno())


def printable(name: str | Path) -> str:
    """A name as text that can be printed and saved: bytes that are not UTF-8, which Python keeps as surrogates, become ``\\xe9``."""
    return os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_file(path: Path) -> bool:
    """Whether there is such a file; no name, however long or strange, is an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Whether there is anything at a path; no name, however long or strange, is an error."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, what: str, advice: str = "delete it and create it again") -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        what: what the file is, for the error ("run result").
        advice: what to do about a damaged file.

    Raises:
        BenchmarkError: it is missing, truncated, not JSON (NaN is none), or nested more than ``MOST_NESTED`` deep.
    """
    try:
        value = parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BenchmarkError(f"There is no {what} at {path}.") from error
    except (OSError, ValueError, RecursionError) as error:  # a ValueError also tells of integers of thousands of digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise BenchmarkError(f"The {what} at {path} can't be read ({reason}); {advice}.") from error
    return value


def parsed(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError, RecursionError: it is not JSON (NaN is none), or nested more than ``MOST_NESTED`` deep.
    """
    odd: list[_Odd] = []

    def note(literal: str) -> _Odd:
        odd.append(_Odd(f"{literal}, which is not JSON" if len(literal) < MOST_DIGITS else f"an integer of {len(literal)} digits"))
        return odd[-1]

    value = json.loads(text, parse_constant=note, parse_int=lambda literal: int(literal) if len(literal) < MOST_DIGITS else note(literal))
    _refuse_deep(value)
    if odd:
        raise ValueError(f"{_place(value, odd[0])} is {odd[0].what}")
    return value


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as JSON will give it back, with a digest of itself; :func:`unsealed` finds any change of it."""
    content = json.loads(json.dumps(value, allow_nan=False))  # as it will be read: tuples are lists, keys are text
    return {**content, SEAL: digest_of(content)}


@dataclass(frozen=True, eq=False)
class _Odd:
    """Stands for a number that no JSON of ours holds, until its place is known."""

    what: str


def _place(value: Any, wanted: _Odd, place: str = "") -> str:
    """Where something is in a JSON value, "curve.0.shots"; "it" where the value is that itself."""
    if value is wanted:
        return repr(place) if place else "it"
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(filter(None, (_place(each, wanted, f"{place}.{name}".lstrip(".")[:100]) for name, each in inside)), "")


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(MOST_NESTED):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [child for each in inside for child in each]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON that carries a digest of itself, atomically; :func:`read_sealed` finds any change of it."""
    write_json(path, sealed(value))


def read_sealed(path: Path, what: str) -> dict[str, Any]:
    """Read what :func:`write_sealed` wrote, without the digest.

    Args:
        path: the file.
        what: what the file is, for the error.

    Raises:
        BenchmarkError: it is missing, unreadable, or was changed.
    """
    return unsealed(read_json(path, what), path, what)


def unsealed(content: Any, path: Path, what: str) -> dict[str, Any]:
    """What was sealed in the content of a file, already read; see :func:`read_sealed`."""
    inside = {name: value for name, value in content.items() if name != SEAL} if isinstance(content, dict) else {}
    if not inside or content.get(SEAL) != digest_of(inside):
        raise BenchmarkError(f"The {what} at {path} was changed or damaged: its digest does not match; restore it, or delete it.")
    return inside


def digest_of(value: Any, length: int = 64) -> str:
    """SHA-256 (hexadecimal, cut to ``length``) of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_of_file(path: Path) -> str:
    """SHA-256 (hexadecimal) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Iterable[bytes]) -> str:
    """Python 3.10 has no ``hashlib.file_digest``."""
    state = hashlib.sha256()
    for block in stream:
        state.update(block)
    return state.hexdigest()
