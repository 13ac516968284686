"""Recordings of every kind come out as 16 kHz mono speech of one loudness, or are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soundfile

from benchmark.audio import SAMPLE_RATE, from_int16
from benchmark.data.audio import LOUDNESS, Unusable, speech_bounds, standardise
from benchmark.plumbing import sound_files
from benchmark.plumbing.sound_files import is_cut_short
from benchmark.scoring.ge2e import embed
from tests.dataset_helpers import SENTENCES, speech

Audio = npt.NDArray[np.float32]


@pytest.fixture
def spoken() -> Audio:
    return speech(SENTENCES[0], "f2")


def plain(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    return samples / 32768


def test_silence_around_speech_is_cut_and_the_cut_is_told(spoken: Audio) -> None:
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    audio, cut = standardise(np.concatenate([quiet, spoken, quiet]), SAMPLE_RATE)
    # The helper's own 0.3 s of faint noise and a second of nothing, less 50 ms that stay.
    assert cut == pytest.approx(1.25, abs=0.03)
    assert len(audio) / SAMPLE_RATE == pytest.approx(len(spoken) / SAMPLE_RATE - 0.5, abs=0.15)


@pytest.mark.parametrize("noise_db", [-80, -60, -45])
def test_trimming_holds_up_against_background_noise(spoken: Audio, noise_db: float) -> None:
    clean = speech_bounds(spoken)
    noise = np.random.default_rng(0).normal(0, 10 ** (noise_db / 20), len(spoken)).astype(np.float32)
    noisy = speech_bounds(spoken + noise)
    assert abs(noisy[0] - clean[0]) < 0.08 * SAMPLE_RATE
    # The last phone fades out, so that noise may hide some of it.
    assert -0.2 * SAMPLE_RATE < noisy[1] - clean[1] < 0.08 * SAMPLE_RATE


@pytest.mark.parametrize("gain_db", [-30, -12, 0])
def test_loudness_is_the_same_whatever_the_recording_level(spoken: Audio, gain_db: float) -> None:
    audio, _ = standardise(spoken * np.float32(10 ** (gain_db / 20)), SAMPLE_RATE)
    assert pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(plain(audio)) == pytest.approx(LOUDNESS, abs=0.3)


def test_peaks_never_clip() -> None:
    sparse = np.random.default_rng(0).normal(0, 0.003, 2 * SAMPLE_RATE).astype(np.float32)
    sparse[::4000] = 0.9
    audio, _ = standardise(sparse, SAMPLE_RATE)
    assert np.abs(audio.astype(int)).max() < 32767


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_and_stereo_keep_pitch_and_length(rate: int) -> None:
    time = np.arange(int(1.5 * rate)) / rate
    tone = ((0.11 + 0.09 * np.sin(2 * np.pi * 3 * time)) * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    audio, _ = standardise(np.stack([tone, tone], axis=1), rate)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(audio) == pytest.approx(440, abs=1.5)
    assert len(audio) / SAMPLE_RATE == pytest.approx(1.5, abs=0.03)


def test_stereo_is_the_mean_of_its_channels(spoken: Audio) -> None:
    mono, _ = standardise(spoken, SAMPLE_RATE)
    stereo, _ = standardise(np.stack([1.5 * spoken, 0.5 * spoken], axis=1), SAMPLE_RATE)
    assert np.abs(mono.astype(int) - stereo).max() <= 1


def broken(name: str, spoken: Audio) -> Audio:
    hot = np.clip(20 * spoken, -1, 1)
    holed = spoken.copy()
    holed[1000] = np.nan
    made: dict[str, Audio] = {
        "empty": spoken[:0], "blip": spoken[6000:9000], "click": spoken[:200], "nothing": np.zeros(SAMPLE_RATE, np.float32),
        "clipped": hot, "holed": holed, "hours": np.resize(spoken, 301 * SAMPLE_RATE), "offset": np.full(SAMPLE_RATE, 0.5, np.float32),
        "tone": (0.3 * np.sin(np.arange(2 * SAMPLE_RATE) / 20)).astype(np.float32),
        "hiss": np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32),
    }  # fmt: skip
    return made[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("empty", "empty audio"), ("blip", "shorter than 0.45 s of speech"), ("click", "shorter than 0.45 s of speech"),
     ("nothing", "silent audio"), ("clipped", "clipped audio"), ("holed", "audio holds values that are not finite"),
     ("hours", "longer than 5 minutes"), ("offset", "silent audio"), ("tone", "a constant signal, no speech"),
     ("hiss", "a constant signal, no speech")],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_reason(spoken: Audio, name: str, reason: str) -> None:
    with pytest.raises(Unusable) as error:
        standardise(broken(name, spoken), SAMPLE_RATE)
    assert str(error.value) == reason


@pytest.mark.parametrize("rate", [0, -1, 3_999, 192_001, 10**9])
def test_a_rate_that_can_be_none_is_refused(spoken: Audio, rate: int) -> None:
    with pytest.raises(Unusable, match="sample rate outside 4 to 192 kHz"):
        standardise(spoken, rate)


def test_reading_stops_where_no_utterance_is_that_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_files, "MOST_SECONDS", 5)
    soundfile.write(tmp_path / "long.wav", np.zeros(60 * SAMPLE_RATE, np.float32), SAMPLE_RATE)
    samples, rate = sound_files.read(tmp_path / "long.wav")
    assert 5 * rate < len(samples) < 20 * rate


def test_half_a_second_of_speech_can_still_be_measured_and_kept() -> None:
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    tone = ((0.06 + 0.04 * np.cos(2 * np.pi * 4 * time)) * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    audio, _ = standardise(tone, SAMPLE_RATE)
    assert len(audio) >= 0.45 * SAMPLE_RATE


def test_a_wav_file_that_ends_early_is_noticed(tmp_path: Path, spoken: Audio) -> None:
    path = tmp_path / "speech.wav"
    soundfile.write(path, spoken, SAMPLE_RATE)
    assert not is_cut_short(path)
    path.write_bytes(path.read_bytes()[:-4000])
    assert is_cut_short(path)
    other = tmp_path / "speech.flac"
    soundfile.write(other, spoken, SAMPLE_RATE)
    assert not is_cut_short(other)


@pytest.mark.parametrize(("container", "codec"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_compressed_file_that_ends_early_is_noticed(tmp_path: Path, container: str, codec: str, rate: int) -> None:
    path = tmp_path / f"speech.{container.lower()}"
    soundfile.write(path, np.concatenate([speech(text, "f2", rate) for text in SENTENCES]), rate, format=container, subtype=codec)
    whole = path.read_bytes()
    assert not is_cut_short(path)
    for share in (0.95, 0.6, 0.2):
        path.write_bytes(whole[: int(share * len(whole))])
        assert len(soundfile.read(path)[0]) > 0, "the decoder does not notice"
        assert is_cut_short(path), share
    if container == "OGG":  # between pages, and in the last one
        for end in (whole.rindex(b"OggS"), len(whole) - 1):
            path.write_bytes(whole[:end])
            assert is_cut_short(path), end


def test_an_mp3_file_of_unknown_length_and_what_only_looks_like_one_are_let_through(tmp_path: Path, spoken: Audio) -> None:
    path = tmp_path / "speech.mp3"
    soundfile.write(path, spoken, SAMPLE_RATE)
    whole = path.read_bytes()
    assert b"Xing" in whole[:200] or b"Info" in whole[:200]
    path.write_bytes(whole[whole.index(whole[:2], 2) :])
    assert len(soundfile.read(path)[0]) > SAMPLE_RATE and not is_cut_short(path)
    path.write_bytes(b"\xff\xf1" + bytes(500))
    assert not is_cut_short(path)


def test_an_offset_changes_neither_length_nor_voice() -> None:
    spoken = speech(SENTENCES[0], "f2", SAMPLE_RATE)
    plain, _ = standardise(spoken, SAMPLE_RATE)
    for offset in (0.02, -0.2):
        moved, _ = standardise(spoken + np.float32(offset), SAMPLE_RATE)
        assert abs(len(moved) - len(plain)) <= SAMPLE_RATE // 50
        assert embed(from_int16(moved)) @ embed(from_int16(plain)) > 0.99


@pytest.mark.parametrize("level", [0.0, 10 ** (-70 / 20)], ids=["digital silence", "-70 dB noise"])
@pytest.mark.parametrize("seconds", [1, 20, 60])
def test_long_silence_around_speech_is_trimmed(level: float, seconds: int) -> None:
    spoken = speech(SENTENCES[0], "f2", SAMPLE_RATE)
    plain, _ = standardise(spoken, SAMPLE_RATE)
    noise = np.random.default_rng(0).normal(0, level, (2, seconds * SAMPLE_RATE)).astype(np.float32)
    found, cut = standardise(np.concatenate([noise[0], spoken, noise[1]]), SAMPLE_RATE)
    assert abs(len(found) - len(plain)) <= 0.1 * SAMPLE_RATE
    assert abs(cut - seconds) < 0.3


@pytest.mark.parametrize("seconds", [0.25, 1, 60])
@pytest.mark.parametrize("offset", [0.005, 0.01, -0.02])
def test_an_offset_that_silence_around_it_does_not_share_is_not_speech(offset: float, seconds: float) -> None:
    """A recorder's offset begins where somebody padded the recording with zeros."""
    spoken = speech(SENTENCES[0], "f2", SAMPLE_RATE)
    quiet = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    plain, cut = standardise(np.concatenate([quiet, spoken, quiet]), SAMPLE_RATE)
    moved = np.concatenate([quiet, spoken + np.float32(offset), quiet])
    for samples in (moved, np.stack([moved, moved], axis=1)):
        found, there = standardise(samples, SAMPLE_RATE)
        assert abs(len(found) - len(plain)) <= SAMPLE_RATE // 50 and there == pytest.approx(cut, abs=0.02)
        assert embed(from_int16(found)) @ embed(from_int16(plain)) > 0.99
