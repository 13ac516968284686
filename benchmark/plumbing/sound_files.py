"""Reading sound files whose headers may give a wrong length although the audio is whole."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from benchmark.plumbing import sound_headers

BLOCK = 1 << 16
MOST_SECONDS = 600
"""What is longer is no utterance, and could fill the memory."""
MOST_BYTES = 512 << 20
"""Largest file that is read into memory: five minutes at 192 kHz, of two channels of 32 bits, take 461 MB."""
OGG_PAGE = 65_307
"""Most bytes of an Ogg page."""
MP3_FRAME = 1152
"""Most samples of an MPEG audio frame."""
CODED = (b"fLaC", b"ID3")
"""Beginnings of FLAC and of MP3 with a tag."""
MPEG = b"\xff\xe0"
"""Beginning of an MPEG audio frame, at least."""


class TooLarge(OSError):
    """A file that would have to be read into memory and is larger than any utterance."""


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads from beginning to end. The library seeks after each block, which fails if a FLAC file gives no length."""

    def seekable(self) -> bool:
        return False


def read(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """The samples, shape (samples,) or (samples, channels), float32, and their rate in Hz; little more than the first ``MOST_SECONDS``.

    Raises:
        OSError: the file can't be opened, or is ``TooLarge``.
        soundfile.LibsndfileError: it can't be decoded.
    """
    # Opened here, because libsndfile accepts only UTF-8 names.
    with path.open("rb") as stream, _Forward(mended(stream)) as sound:
        blocks = list(_blocks(sound))
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), int(sound.samplerate)


def is_cut_short(path: Path) -> bool:
    """Whether a file is truncated, which its decoder need not report.

    WAV, RF64, Wave64, AIFF, AU: the header promises more samples than the file holds. Ogg (Vorbis, Opus): the file does not end with a
    whole page that is marked as the stream's last. FLAC: the last sample that the header counts can't be decoded. MP3: it is shorter than
    its Xing or Info header says, by more than an MPEG frame. Without such a count of samples truncation can't be detected, and after
    ``MOST_SECONDS`` of MP3 it is not looked for.

    Raises:
        OSError: the file can't be opened, or is ``TooLarge``.
    """
    with path.open("rb") as stream:
        header = stream.read(12)
        stream.seek(0)
        if header[:4] == b"OggS":
            stream.seek(max(0, path.stat().st_size - OGG_PAGE))
            return not _ends_ogg(stream.read())
        if not header.startswith(CODED) and header[:2] < MPEG:
            return sound_headers.promises_too_much(sound_headers.padded(_content(stream)))
        try:
            with _Forward(mended(stream)) as sound:
                if sound.format == "FLAC":
                    return _lacks_its_end(sound)
                if sound.format != "MP3":
                    return False
                decoded = sum(map(len, _blocks(sound)))
                return bool(decoded <= MOST_SECONDS * sound.samplerate and decoded + MP3_FRAME < sound.frames)
        except soundfile.LibsndfileError:
            return False  # another format, which the dataset decodes itself


def mended(stream: io.BufferedReader) -> io.BufferedReader | io.BytesIO:
    """A sound file, open at its beginning, with the right sizes in its header if it is WAV or MP3.

    Raises:
        TooLarge: it is WAV or MP3, of more than ``MOST_BYTES``.
    """
    header = stream.read(12)
    stream.seek(0)
    if sound_headers.is_wav(header):
        return io.BytesIO(_whole(sound_headers.padded(_content(stream))))
    if header[:3] == b"ID3" or header[:2] >= MPEG:
        return io.BytesIO(sound_headers.with_true_size(_content(stream)))
    return stream


def _blocks(sound: soundfile.SoundFile) -> Iterator[npt.NDArray[np.float32]]:
    """The samples of a file in pieces, little more than the first ``MOST_SECONDS``."""
    for _ in range(MOST_SECONDS * sound.samplerate // BLOCK + 2):
        block = sound.read(BLOCK, dtype="float32")
        if not len(block):
            return
        yield block


def _content(stream: io.BufferedReader) -> bytes:
    if os.fstat(stream.fileno()).st_size > MOST_BYTES:
        raise TooLarge(f"larger than {MOST_BYTES >> 20} MiB")
    return stream.read()


def _whole(content: bytes) -> bytes:
    """A WAV file whose header claims all the samples that it holds."""
    found = sound_headers.claimed(content)
    if found is None or not sound_headers.goes_on(content):
        return content
    size = (len(content) - found.start).to_bytes(4, sound_headers.wav_order(content))
    return content[: found.start - 4] + size + content[found.start :]


def _lacks_its_end(sound: soundfile.SoundFile) -> bool:
    if not 0 < sound.frames < 1 << 36:
        return False  # the header does not count them
    try:
        sound.seek(sound.frames - 1)
        return len(sound.read(1, dtype="float32")) == 0
    except soundfile.LibsndfileError:
        return True


def _ends_ogg(tail: bytes) -> bool:
    """Whether the last page that begins in ``tail`` is whole and ends its stream (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    return len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
