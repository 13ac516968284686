"""Where the samples lie in sound files without compression, as their headers tell: WAV, RF64, Wave64, AIFF, AU."""

from __future__ import annotations

from typing import Literal, NamedTuple

UNKNOWN = 0x7FFF0000
"""Sizes from this value on mean "unknown": programs that write to a pipe can't go back to fill them in."""
SLACK = 64
"""Bytes by which a header may promise too much: some writers count a chunk's own header."""
CLOSING = 256
"""Bytes that may follow the samples and be no chunk: padding, or an MP3 player's tag."""
TAGS = (b"LIST", b"ID3", b"TAG", b"APET")
"""Names of what taggers append, whole or not, with a size or without."""
XING_WITHIN = 64
"""Bytes of the first MPEG frame within which its Xing or Info header begins: after 4 of its own and at most 32 of side information."""
WAVE64 = (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a")
"""Wave64's names of a file and of its samples."""

Order = Literal["little", "big"]


class Samples(NamedTuple):
    """The samples of a file, as its header claims.

    Attributes:
        start: offset of the first byte.
        size: in bytes.
    """

    start: int
    size: int


def claimed(content: bytes) -> Samples | None:
    """Where a file's samples lie; None if it is of another format or has none.

    Args:
        content: the whole file.
    """
    kind, form = content[:4], content[8:12]
    if kind in (b".snd", b"dns."):
        order: Order = "big" if kind == b".snd" else "little"
        return Samples(int.from_bytes(content[4:8], order), int.from_bytes(content[8:12], order))
    if content.startswith(WAVE64[0]):
        return _wave64(content)
    if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _chunk(content, b"SSND", "big")
    if is_wav(content):
        found = _chunk(content, b"data", wav_order(content))
        if found and kind == b"RF64" and found.size == 0xFFFFFFFF and content[12:16] == b"ds64":
            return Samples(found.start, int.from_bytes(content[28:36], "little"))
        return found
    return None


def is_wav(content: bytes) -> bool:
    """Whether a file begins like WAV, big-endian WAV or RF64."""
    return content[:4] in (b"RIFF", b"RIFX", b"RF64") and content[8:12] == b"WAVE"


def wav_order(content: bytes) -> Order:
    """The byte order of a WAV file's numbers."""
    return "big" if content[:4] == b"RIFX" else "little"


def promises_too_much(content: bytes) -> bool:
    """Whether a file ends before its samples do. A WAV file's own size, where it is right, is believed before that of its samples."""
    found = claimed(content)
    if is_wav(content) and 8 + int.from_bytes(content[4:8], wav_order(content)) == len(content):
        return False
    return found is not None and found.size < UNKNOWN and found.start + found.size > len(content) + SLACK


def goes_on(content: bytes) -> bool:
    """Whether a WAV file has more samples than it claims: what follows them is no chunk."""
    found = claimed(content)
    if found is None or not is_wav(content):
        return False
    at = found.start + found.size + found.size % 2
    if len(content) - at <= CLOSING:
        return found.size == 0 and len(content) > at
    name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], wav_order(content))
    named = all(32 <= letter < 127 for letter in name) or name.startswith(TAGS)
    return not named or (at + 8 + size > len(content) + SLACK and not name.startswith(TAGS))


def padded(content: bytes) -> bytes:
    """A WAV file of which each chunk before the samples has an even length; some writers forget the byte that fills up an odd one."""
    order, at, total = wav_order(content), 12, len(content)
    while is_wav(content) and at + 8 <= len(content) and content[at : at + 4] != b"data":
        size = int.from_bytes(content[at + 4 : at + 8], order)
        at += 8 + size
        if size % 2 and content[at : at + 1] != b"\0" and content[at + 1 : at + 5] != b"data":
            content = content[:at] + b"\0" + content[at:]
        at += size % 2
    riff = int.from_bytes(content[4:8], order) + len(content) - total
    return content if len(content) == total else content[:4] + min(riff, 0xFFFFFFFF).to_bytes(4, order) + content[8:]


def with_true_size(content: bytes) -> bytes:
    """An MP3 file whose Xing or Info header gives the file's own size; the decoder complains on standard error about another."""
    begin = 10 + _syncsafe(content[6:10]) if content[:3] == b"ID3" else 0
    at = next((at for name in (b"Xing", b"Info") if (at := content.find(name, begin, begin + XING_WITHIN)) >= 0), -1)
    flags = int.from_bytes(content[at + 4 : at + 8], "big")
    if at < 0 or not flags & 2:
        return content
    at += 8 + 4 * (flags & 1)
    return content[:at] + (len(content) - begin).to_bytes(4, "big") + content[at + 4 :]


def _syncsafe(content: bytes) -> int:
    """A number of seven bits a byte (ID3v2, section 6.2)."""
    return sum((byte & 127) << 7 * place for place, byte in enumerate(reversed(content)))


def _chunk(content: bytes, wanted: bytes, order: Order) -> Samples | None:
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], order)
        if name == wanted:
            return Samples(at + 8, size)
        at += 8 + size + size % 2
    return None


def _wave64(content: bytes) -> Samples | None:
    at = 40
    while at + 24 <= len(content):
        name, size = content[at : at + 16], int.from_bytes(content[at + 16 : at + 24], "little")  # it counts its own header
        if name == WAVE64[1]:
            return Samples(at + 24, size - 24)
        at += max(24, size + -size % 8)
    return None
