"""Sound files whose headers lie, as people's tools write them: whole audio is read, what is cut short is refused."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data.audio import Unusable, standardise
from benchmark.data.drafts import decode
from benchmark.plumbing import sound_files
from benchmark.plumbing.sound_files import is_cut_short, read
from tests.dataset_helpers import SENTENCES, speech

RATE = 16_000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
SAMPLES = np.round(NOISE * 32767).astype("<i2").tobytes()


def wav(riff: int | None = None, data: int | None = None, after: bytes = b"", before: bytes = b"") -> bytes:
    """A second of audio; the sizes are true unless given."""
    chunks = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + before
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
    "data far too small": wav(data=len(SAMPLES) // 2),
    "data and RIFF far too small": wav(riff=1000, data=800),
    "data 8 MB": wav(data=8 << 20),
    "data 0x7EFFFFFF": wav(data=0x7EFFFFFF),
    "an odd LIST chunk before": wav(before=b"LIST" + struct.pack("<I", 5) + b"INFOx\0"),
    "an odd LIST chunk before, not filled up": wav(before=b"LIST" + struct.pack("<I", 5) + b"INFOx"),
    "an odd LIST chunk before, filled up with a letter": wav(before=b"LIST" + struct.pack("<I", 5) + b"INFOxy"),
    "another chunk after that": wav(before=b"LIST" + struct.pack("<I", 5) + b"INFOxybext" + struct.pack("<I", 4) + b"1234"),
    "two odd chunks, not filled up": wav(before=2 * (b"LIST" + struct.pack("<I", 5) + b"INFOx")),
    "a trailing LIST chunk": wav(after=b"LIST" + struct.pack("<I", 4) + b"INFO"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_audio_is_read_whatever_the_header_says(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(WHOLE[kind])
    samples, rate = read(path)
    assert rate == RATE and len(samples) == RATE and not is_cut_short(path)
    np.testing.assert_allclose(samples, NOISE, atol=1e-4)


@pytest.mark.parametrize("after", [b"LIST" + bytes(4) + bytes(400), b"id3 " + struct.pack("<I", 400) + b"x" * 400, b"ID3\x04" + b"x" * 400])
def test_what_follows_the_samples_is_not_read_as_sound(after: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(after=after))
    assert len(read(path)[0]) == RATE and not is_cut_short(path)


@pytest.mark.parametrize(
    ("container", "endian"),
    [("WAV", "LITTLE"), ("WAV", "BIG"), ("WAVEX", "LITTLE"), ("RF64", "LITTLE"), ("W64", "LITTLE"), ("AIFF", "BIG"), ("AIFF", "LITTLE"),
     ("AU", "BIG"), ("AU", "LITTLE"), ("FLAC", "FILE")],
)  # fmt: skip
def test_audio_that_is_cut_short_is_refused(container: str, endian: str, tmp_path: Path) -> None:
    path = tmp_path / "a.audio"
    soundfile.write(path, NOISE, RATE, format=container, endian=endian)
    whole = path.read_bytes()
    assert len(read(path)[0]) == RATE and not is_cut_short(path)
    for share in (0.98, 0.5, 0.1):
        path.write_bytes(whole[: int(share * len(whole))])
        assert is_cut_short(path)
        with pytest.raises(Unusable, match=r"^truncated audio$"):
            decode(path, partial(read, path))


@pytest.mark.parametrize(("container", "at"), [("AU", 8), ("AIFF", None)])
def test_a_size_that_a_pipe_left_unknown_is_no_cut(container: str, at: int | None, tmp_path: Path) -> None:
    path = tmp_path / "a.audio"
    soundfile.write(path, NOISE, RATE, format=container)
    content = bytearray(path.read_bytes())
    place = at if at is not None else content.index(b"SSND") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff" if at is not None else b"\x7f\xff\xf0\x00"
    path.write_bytes(content)
    assert len(read(path)[0]) == RATE and not is_cut_short(path)


@pytest.mark.parametrize("content", [wav(), wav(0xFFFFFFFF, 0xFFFFFFFF), b"ID3\x04" + bytes(100)])
def test_a_file_larger_than_any_utterance_is_refused_unread(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    os.truncate(path, 3 << 29)
    tracemalloc.start()
    try:
        with pytest.raises(Unusable, match=r"^larger than 512 MiB, so no utterance$"):
            decode(path, partial(read, path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


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


@pytest.mark.parametrize(
    ("left", "right"),
    [((1, 0, 0), (-1, 0, 0)), ((1, 0, 0), (1, 0, 0)), ((1, 0.02, 0), (-1, 0.02, 0)), ((1, 0.1, 0), (1, -0.1, 0)), ((1, 0, 0), (-0.6, 0, 0)),
     ((1, 0, 0), (-0.9, 0, 0.01))],
    ids=["inverted", "same", "inverted, an offset", "opposite offsets", "inverted, softer", "inverted, noisy"],
)  # fmt: skip
def test_a_pair_of_channels_comes_out_as_either_alone(left: Sequence[float], right: Sequence[float]) -> None:
    """A channel is speech times the first number, plus an offset, plus noise."""
    spoken = speech(SENTENCES[0], "f2", RATE)
    alone, _ = standardise(spoken, RATE)
    noise = np.random.default_rng(0).normal(0, 1, len(spoken)).astype(np.float32)
    pair = np.stack([gain * spoken + offset + level * noise for gain, offset, level in (left, right)], axis=1).astype(np.float32)
    both, _ = standardise(pair, RATE)
    assert len(both) == len(alone)
    sign = np.sign(np.dot(both.astype(float), alone.astype(float)))  # a pair does not tell which of the two is inverted
    assert np.abs(sign * both - alone.astype(int)).max() <= 0.002 * np.abs(alone).max() + 1


def test_channels_that_only_differ_are_mixed() -> None:
    spoken = speech(SENTENCES[0], "f2", RATE)
    alone, _ = standardise(spoken, RATE)
    late = np.roll(spoken, 5)  # a second microphone, 10 cm further away
    for other, loss in ((0 * spoken, 0.0), (late, 1.0)):
        both, _ = standardise(np.stack([spoken, other], axis=1), RATE)
        assert abs(len(both) - len(alone)) <= RATE // 50
        if loss:
            mixed, _ = standardise(np.float32(0.5) * (spoken + late), RATE)
            assert np.abs(both.astype(int) - mixed.astype(int)).max() <= 1


def test_float_audio_beyond_full_scale_is_scaled_and_clipped_audio_is_refused() -> None:
    spoken = speech(SENTENCES[0], "f2", RATE)
    loud = spoken * np.float32(4 / np.abs(spoken).max())
    np.testing.assert_allclose(standardise(loud, RATE)[0], standardise(spoken, RATE)[0], atol=2)
    with pytest.raises(Unusable, match="clipped audio"):
        standardise(np.clip(loud, -1, 1), RATE)


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x01\x0c" + b"Xing" * 35])
def test_an_mp3_file_that_is_cut_short_is_told_by_us_alone(tag: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.concatenate([speech(text, "f2", RATE) for text in SENTENCES]), RATE)
    whole = path.read_bytes()
    samples, _ = read(path)
    path.write_bytes(tag + whole)
    np.testing.assert_array_equal(read(path)[0], samples)
    path.write_bytes(tag + whole[: len(whole) // 2])
    with pytest.raises(Unusable, match=r"^truncated audio$"):
        decode(path, partial(read, path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("most", "cut"), [(300, True), (15, True), (1, False)])
def test_the_end_of_an_mp3_file_is_looked_for_no_further_than_anything_is_read(
    most: int, cut: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.tile(NOISE, 24), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr(sound_files, "MOST_SECONDS", most)
    assert is_cut_short(path) == cut, "12 of 24 seconds are there"
