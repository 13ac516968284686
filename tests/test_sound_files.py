"""Sound files whose headers lie, as people's tools write them: whole audio is read, what is cut short is refused."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data.audio import Unusable, standardise
from benchmark.plumbing.sound_files import is_cut_short, read
from tests.dataset_helpers import SENTENCES, speech

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
SAMPLES = np.round(NOISE * 32767).astype("<i2").tobytes()


def wav(riff: int | None = None, data: int | None = None, after: bytes = b"") -> bytes:
    """A second of audio; the sizes are true unless given."""
    chunks = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunks += b"data" + struct.pack("<I", len(SAMPLES) if data is None else data) + SAMPLES + after
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) if riff is None else riff) + b"WAVE" + chunks


WHOLE = {
    "true sizes": wav(),
    "RIFF 0x7FFFFFFF": wav(0x7FFFFFFF, 0x7FFFFFFF),
    "RIFF 0x7FFFF024": wav(0x7FFFF024, 0x7FFFF000),
    "RIFF 0x80000024": wav(0x80000024, 0x80000000),
    "unknown": wav(0xFFFFFFFF, 0xFFFFFFFF),
    "never filled in": wav(0, 0),
    "RIFF 8 too large": wav(riff=len(wav())),
    "data 8 too large": wav(data=len(SAMPLES) + 8),
    "RIFF too small": wav(riff=100),
    "a trailing LIST chunk is lost": wav(riff=36 + len(SAMPLES) + 4000),
    "a trailing LIST chunk": wav(after=b"LIST" + struct.pack("<I", 4) + b"INFO"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_audio_is_read_whatever_the_header_says(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(WHOLE[kind])
    samples, rate = read(path)
    assert rate == RATE and len(samples) == RATE and not is_cut_short(path)
    np.testing.assert_allclose(samples, NOISE, atol=1e-4)


def test_a_wav_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav()[:-8000])
    assert is_cut_short(path)


def test_flac_that_does_not_know_its_length_is_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    soundfile.write(stream, NOISE, RATE, format="FLAC")
    content = bytearray(stream.getvalue())
    known = int.from_bytes(content[18:26], "big")  # the last 36 bits count the samples (RFC 9639, section 8.2)
    assert known & ((1 << 36) - 1) == RATE
    content[18:26] = (known >> 36 << 36).to_bytes(8, "big")
    (tmp_path / "a.flac").write_bytes(content)
    samples, _ = read(tmp_path / "a.flac")
    np.testing.assert_allclose(samples, NOISE, atol=1e-4)


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_names_that_are_not_utf8_are_opened(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(wav())
    assert len(read(path)[0]) == RATE and not is_cut_short(path)


def test_one_channel_of_a_pair_that_cancels_is_taken() -> None:
    spoken = speech(SENTENCES[0], "f2", RATE)
    alone, _ = standardise(spoken, RATE)
    for pair in (np.stack([spoken, -spoken], axis=1), np.stack([spoken, spoken], axis=1)):
        both, _ = standardise(pair, RATE)
        assert np.abs(both.astype(int) - alone.astype(int)).max() <= 1
    half, _ = standardise(np.stack([spoken, 0 * spoken], axis=1), RATE)
    assert abs(len(half) - len(alone)) <= RATE // 50


def test_float_audio_beyond_full_scale_is_scaled_and_clipped_audio_is_refused() -> None:
    spoken = speech(SENTENCES[0], "f2", RATE)
    loud = spoken * np.float32(4 / np.abs(spoken).max())
    np.testing.assert_allclose(standardise(loud, RATE)[0], standardise(spoken, RATE)[0], atol=2)
    with pytest.raises(Unusable, match="clipped audio"):
        standardise(np.clip(loud, -1, 1), RATE)
