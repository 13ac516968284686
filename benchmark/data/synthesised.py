"""Wav files of synthesised speech, marked so that nobody takes them for recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import soundfile

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import UsageError
from benchmark.plumbing.files import check_place, write_atomic
from benchmark.plumbing.sound_files import mended

MARK = "Synthesised speech, no recording: written by 'benchmark say'"
"""The comment in the file (the ``ICMT`` chunk)."""


def write(path: Path, pieces: Iterable[Audio]) -> None:
    """Write speech with the mark, atomically and piece by piece.

    Args:
        path: of the wav file.
        pieces: each of shape (samples,), in [-1, 1], at 16 kHz. If one can't be made, nothing is written.

    Raises:
        BenchmarkError: the folder can't be written to, or the disk is full.
    """
    write_atomic(path, lambda temporary: _write(temporary, pieces))


def is_marked(path: Path) -> bool:
    """Whether a file is synthesised speech that :func:`write` wrote."""
    try:
        with path.open("rb") as stream, soundfile.SoundFile(mended(stream)) as sound:
            return bool(sound.comment == MARK)
    except (soundfile.LibsndfileError, OSError):
        return False


def refuse_to_overwrite(path: Path) -> None:
    """Refuse to write anything but a wav file, where nothing can be written, or where something is that :func:`write` did not write.

    Raises:
        BenchmarkError: the folder can't be written to.
        UsageError: it is refused.
    """
    if path.suffix.lower() != ".wav" or path.is_dir():
        raise UsageError(f"Speech is written as wav; name a file such as out.wav, not {path}.")
    if path.exists() and not is_marked(path):
        raise UsageError(f"{path} is there and was not written by 'say'; choose another name.")
    check_place(path)


def _write(path: Path, pieces: Iterable[Audio]) -> None:
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as sound:
        sound.comment = MARK
        for piece in pieces:
            sound.write(piece)
