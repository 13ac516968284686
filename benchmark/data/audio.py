"""From a recording to what is learned from: 16 kHz mono, silence trimmed, one loudness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyloudnorm
import soundfile
import soxr

from benchmark.audio import SAMPLE_RATE, Audio

LOUDNESS = -23.0
"""Integrated loudness after normalisation, LUFS (ITU-R BS.1770, EBU R 128's target)."""
MIN_SECONDS = 0.45
PADDING_SECONDS = 0.05
CLIPPED_FRACTION = 0.01
OGG_PAGE = 65_307
"""Bytes of an Ogg page at most."""
MP3_FRAME = 1152
"""Samples of an MPEG audio frame at most."""


class Unusable(Exception):
    """An utterance has to be skipped; the message is the reason under which it is counted."""


def standardise(samples: Audio, rate: int) -> tuple[npt.NDArray[np.int16], float]:
    """Mono, 16 kHz, trimmed, at ``LOUDNESS`` (less where that would clip), as int16; and the seconds cut at the start.

    Args:
        samples: shape (samples,) or (samples, channels), float in [-1, 1].
        rate: in Hz.

    Raises:
        Unusable: empty, not finite, silent, clipped or too short.
    """
    if samples.size == 0:
        raise Unusable("empty audio")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise Unusable("audio holds values that are not finite")
    if np.mean(np.abs(samples) >= 0.999) > CLIPPED_FRACTION:
        raise Unusable("clipped audio")
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
    start, end = speech_bounds(samples)
    samples = samples[start:end]
    if len(samples) < MIN_SECONDS * SAMPLE_RATE:
        raise Unusable(f"shorter than {MIN_SECONDS} s of speech")
    loudness = pyloudnorm.Meter(SAMPLE_RATE, block_size=0.4).integrated_loudness(samples.astype(np.float64))
    if not np.isfinite(loudness):
        raise Unusable("silent audio")
    gain = min(10 ** ((LOUDNESS - loudness) / 20), 0.99 / max(float(np.abs(samples).max()), 1e-9))
    return np.round(samples * gain * 32767).astype(np.int16), start / SAMPLE_RATE


def speech_bounds(samples: Audio) -> tuple[int, int]:
    """First and last sample of the speech, with ``PADDING_SECONDS`` around it.

    A 10 ms frame is speech if it lies above both 38 dB below the loud frames (95th percentile) and 6 dB above the
    quiet ones (5th percentile), the latter at most 20 dB below the loud frames, so that noise does not hide speech.

    Raises:
        Unusable: nothing but silence.
    """
    hop = SAMPLE_RATE // 100
    frames = len(samples) // hop
    if frames < 3:
        raise Unusable(f"shorter than {MIN_SECONDS} s of speech")
    power = np.square(samples[: frames * hop].astype(np.float64)).reshape(frames, hop).mean(1)
    level = 10 * np.log10(np.convolve(power, np.ones(3) / 3, mode="same") + 1e-12)
    loud, quiet = np.percentile(level, 95), np.percentile(level, 5)
    if loud < -70:
        raise Unusable("silent audio")
    active = np.flatnonzero(level > max(loud - 38, min(quiet + 6, loud - 20)))
    padding = round(PADDING_SECONDS * 100)
    start, end = max(0, active[0] - padding), min(frames, active[-1] + 1 + padding)
    return int(start * hop), int(end * hop)


def is_cut_short(path: Path) -> bool:
    """Whether a file ends before it should, where the decoder would not say so.

    WAV: before its header's size. Ogg (Vorbis, Opus): before a whole page that is marked as the stream's last. MP3: more than
    an MPEG frame before the length in its Xing or Info header; one without such a header can't be told. FLAC decoders notice
    themselves.
    """
    with path.open("rb") as stream:
        header = stream.read(12)
        if header[:4] == b"RIFF" and header[8:] == b"WAVE":
            size = int.from_bytes(header[4:8], "little")
            # What writes to a pipe can't know the size and leaves 0 or the largest number there.
            return size < 0xFFFFFF00 and size + 8 > path.stat().st_size + 1
        if header[:4] == b"OggS":
            stream.seek(max(0, path.stat().st_size - OGG_PAGE))
            return not _ends_ogg(stream.read())
    if header[:3] != b"ID3" and header[:2] < b"\xff\xe0":
        return False
    try:
        with soundfile.SoundFile(path) as sound:
            return bool(sound.format == "MP3" and len(sound.read(dtype="float32")) + MP3_FRAME < sound.frames)
    except soundfile.LibsndfileError:
        return False  # another format, which the dataset decodes itself


def _ends_ogg(tail: bytes) -> bool:
    """Whether the last page that begins in ``tail`` is whole and ends its stream (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    return len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
