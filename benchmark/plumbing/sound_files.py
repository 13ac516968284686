"""Reading sound files whose headers may give a wrong length although the audio is whole."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

BLOCK = 1 << 16
OGG_PAGE = 65_307
"""Most bytes of an Ogg page."""
MP3_FRAME = 1152
"""Most samples of an MPEG audio frame."""
UNKNOWN = 0x7FFF0000
"""Sizes from this value on mean "unknown": programs that write to a pipe can't go back to fill them in."""
SLACK = 64
"""Bytes by which a header may promise too much: some writers count a chunk's own header."""


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads from beginning to end. The library seeks after each block, which fails if a FLAC file gives no length."""

    def seekable(self) -> bool:
        return False


def read(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """The samples, shape (samples,) or (samples, channels), float32, and their rate in Hz.

    Raises:
        OSError: the file can't be opened.
        soundfile.LibsndfileError: it can't be decoded.
    """
    # Opened here, because libsndfile accepts only UTF-8 names.
    with path.open("rb") as stream:
        header = stream.read(12)
        stream.seek(0)
        source: io.BufferedReader | io.BytesIO = stream
        if header[:4] == b"RIFF" and header[8:] == b"WAVE":
            content = stream.read()
            at, size = _data_chunk(content)
            if at and size == 0 and len(content) > at:  # no size was ever filled in
                content = content[: at - 4] + struct.pack("<I", len(content) - at) + content[at:]
            source = io.BytesIO(content)
        with _Forward(source) as sound:
            blocks = []
            while len(block := sound.read(BLOCK, dtype="float32")):
                blocks.append(block)
            return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), int(sound.samplerate)


def is_cut_short(path: Path) -> bool:
    """Whether a file is truncated in a way that its decoder would not report.

    WAV: the data chunk promises more than the file holds (the RIFF header's size does not matter). Ogg (Vorbis, Opus): the file
    does not end with a whole page that is marked as the stream's last. MP3: it is shorter than its Xing or Info header says, by
    more than an MPEG frame; without such a header truncation can't be detected. FLAC decoders report it themselves.
    """
    with path.open("rb") as stream:
        header = stream.read(12)
        if header[:4] == b"RIFF" and header[8:] == b"WAVE":
            stream.seek(0)
            content = stream.read()
            at, size = _data_chunk(content)
            return size < UNKNOWN and at + size > len(content) + SLACK
        if header[:4] == b"OggS":
            stream.seek(max(0, path.stat().st_size - OGG_PAGE))
            return not _ends_ogg(stream.read())
        if header[:3] != b"ID3" and header[:2] < b"\xff\xe0":
            return False
        stream.seek(0)
        try:
            with soundfile.SoundFile(stream) as sound:
                return bool(sound.format == "MP3" and len(sound.read(dtype="float32")) + MP3_FRAME < sound.frames)
        except soundfile.LibsndfileError:
            return False  # another format, which the dataset decodes itself


def _data_chunk(content: bytes) -> tuple[int, int]:
    """The offset of a WAV file's samples, and the size that their chunk claims; (0, 0) if there is no such chunk."""
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data":
            return at + 8, size
        at += 8 + size + size % 2
    return 0, 0


def _ends_ogg(tail: bytes) -> bool:
    """Whether the last page that begins in ``tail`` is whole and ends its stream (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    return len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
