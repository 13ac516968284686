"""Speech and its exact phone boundaries from the espeak-ng library in the espeakng-loader wheel."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from benchmark.audio import from_int16
from benchmark.dataset import Segment
from benchmark.errors import BenchmarkError
from benchmark.plumbing import scratch
from benchmark.utterance import Words

# From espeak-ng's public header, speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 2, 0x1, 0x2, 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8, _SSML = 1, 0x10
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_STRESS = str.maketrans("", "", "ˈˌ")

VOICELESS_STOPS = frozenset({"p", "t", "k", "c", "tʃ", "ts", "tɕ"})
CLOSURE_LEVEL = 0.06
"""Highest level of a stop's closure, relative to the loudest 5 ms of the phone before it; an echo may linger in a closure."""
_CLOSURE_STEP_SECONDS = 0.005
_LEAST_SECONDS = 0.008
_PALATAL = "ʲ"
_WHISPER = "\nvoicing 0\nbreath 75 75 50 40 15 10\nbreathw 150 150 200 200 400 400\n"
"""Lines that make a variant whisper: those of espeak-ng's own variant ``whisper``, but without any voicing."""
_EMPHASIS = '<speak><emphasis level="strong"><prosody volume="30">{}</prosody></emphasis></speak>'
"""Emphasis is also louder; at the usual volume it would clip."""


@dataclass(frozen=True)
class VoiceSettings:
    """A voice and how it speaks.

    Attributes:
        name: espeak-ng voice, with a variant after a plus sign ("en-us+f2").
        rate: words per minute, 80 to 450.
        pitch: 0 to 99; 50 is the voice's default.
        range: intonation range, 0 (monotone) to 99; 50 is the voice's default.
        emphatic: stress every word: slower, and with stronger accents.
        whispered: replace the variant's voicing by breath; the name must have a variant.
    """

    name: str
    rate: int = 160
    pitch: int = 50
    range: int = 50
    emphatic: bool = False
    whispered: bool = False


Spoken = tuple[npt.NDArray[np.float32], int, list[list[Segment]]]


@dataclass
class _Rendering:
    """Output of the library so far: blocks of samples, and (event type, sample, phone)."""

    blocks: list[bytes] = field(default_factory=list)
    events: list[tuple[int, int, str]] = field(default_factory=list)


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """``espeak_EVENT``."""

    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int), ("sample", ctypes.c_int), ("user_data", ctypes.c_void_p), ("id", _EventId),
    ]  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(text: str, voice: VoiceSettings) -> Spoken:
    """Speak a text; the result is the same bit for bit, whatever was spoken before.

    Returns:
        samples, shape (samples,), float32 in [-1, 1]; their rate in Hz; the phones (IPA, no stress) word by word, in
        seconds; pauses are gaps. The closure of a voiceless stop belongs to the stop.

    Raises:
        BenchmarkError: the library fails or does not know the voice.
    """
    got = _Rendering()
    content, flags = text.encode(), _UTF8
    if voice.emphatic:
        content, flags = _EMPHASIS.format(escape(text)).encode(), _UTF8 | _SSML
    if not _has_variant(voice.name):
        raise _no_voice(voice.name)
    place = _whispering(voice.name.partition("+")[2]) if voice.whispered else nullcontext(_data())
    with place as data, _fresh_library(data) as (library, rate):
        callback = _Callback(lambda samples, count, events: _receive(got, samples, count, events))
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise _no_voice(voice.name)
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
            library.espeak_SetParameter(parameter, value, 0)
        if library.espeak_Synth(content, len(content) + 1, 0, 0, 0, flags, None, None) != 0 or library.espeak_Synchronize() != 0:
            raise BenchmarkError(f"espeak-ng could not speak {text!r} as {voice.name}.")
    samples = from_int16(np.frombuffer(b"".join(got.blocks), np.int16))
    return samples, rate, _segments(got.events, samples, rate)


def _no_voice(name: str) -> BenchmarkError:
    return BenchmarkError(f"espeak-ng has no voice {name}; the espeakng-loader package may be damaged: reinstall it.")


def _has_variant(name: str) -> bool:
    """Whether the voice's variant exists; the library silently ignores an unknown one."""
    variant = name.partition("+")[2]
    return not variant or (_data() / "voices" / "!v" / variant).is_file()


def named(words: list[list[Segment]], phones: Words) -> list[list[Segment]]:
    """The segments under the names that the phonemiser gives the same phones, where it finds as many in each word.

    The synthesiser's events leave out length marks and count the palatal part of a consonant ("tʲ") as a phone.
    """
    joined: list[list[Segment]] = []
    for word in words:
        joined.append([])
        for each in word:
            if each.phone == _PALATAL and joined[-1]:
                last = joined[-1].pop()
                each = Segment(last.phone + _PALATAL, last.start, each.end)
            joined[-1].append(each)
    if [len(word) for word in joined] != [len(word) for word in phones]:
        return joined
    return [
        [Segment(phone, each.start, each.end) for each, phone in zip(word, names, strict=True)]
        for word, names in zip(joined, phones, strict=True)
    ]


def _receive(got: _Rendering, samples: Any, count: int, events: Any) -> int:
    if samples and count > 0:
        got.blocks.append(ctypes.string_at(samples, 2 * count))
    index = 0
    while events[index].type != _EVENT_END:
        event = events[index]
        # Eight bytes, not always ended by a zero.
        phone = bytes(event.id.string).decode("utf-8", "ignore").translate(_STRESS) if event.type == _EVENT_PHONEME else ""
        got.events.append((event.type, event.sample, phone))
        index += 1
    return 0


def _segments(events: list[tuple[int, int, str]], samples: npt.NDArray[np.float32], rate: int) -> list[list[Segment]]:
    """Phones by word: a phone lasts until the next phone's (or pause's) event."""
    words: list[list[Segment]] = []
    sounds = [(start, phone) for kind, start, phone in events if kind == _EVENT_PHONEME]
    starts = [start for start, _ in sounds]
    ends = [*starts[1:], len(samples)]
    for index, (start, phone) in enumerate(sounds[1:], 1):
        if phone in VOICELESS_STOPS:
            starts[index] = ends[index - 1] = _closure(samples, starts[index - 1], start, rate)
        elif phone and ends[index] - start < _LEAST_SECONDS * rate:
            # espeak-ng blends a final l into the vowel and reports it only at the end.
            starts[index] = ends[index - 1] = start - (start - starts[index - 1]) // 3
    number = 0
    for kind, _, phone in events:
        if kind == _EVENT_WORD:
            words.append([])
        elif kind == _EVENT_PHONEME:
            if phone and words:
                words[-1].append(Segment(phone, starts[number] / rate, ends[number] / rate))
            number += 1
    return [word for word in words if word]


def _closure(samples: npt.NDArray[np.float32], previous: int, start: int, rate: int) -> int:
    """The first sample of the silence before a stop's burst at ``start``; the phone before it began at ``previous``."""
    step = round(_CLOSURE_STEP_SECONDS * rate)
    count = (start - previous) // step
    if count < 2:
        return start
    # Counted back from the burst, so that the last step ends exactly there.
    blocks = samples[start - count * step : start].astype(np.float64).reshape(count, step)
    level = np.sqrt(np.square(blocks).mean(1))
    loud = np.flatnonzero(level >= CLOSURE_LEVEL * level.max())
    return start - (count - 1 - int(loud[-1])) * step


@contextmanager
def _fresh_library(data: Path) -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library in its initial state with a data folder, and its sample rate.

    espeak-ng keeps pitch flutter and wave phase in static variables that nothing resets, so its output depends on what it
    spoke before. A fresh copy of the library file has fresh static variables.
    """
    import espeakng_loader

    handle, name = tempfile.mkstemp(dir=scratch.folder(), suffix=Path(espeakng_loader.get_library_path()).suffix)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(_library_bytes())
        library = ctypes.CDLL(name)
        try:
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT)
            if rate <= 0:
                raise BenchmarkError("espeak-ng could not be started; the espeakng-loader package may be damaged: reinstall it.")
            library.espeak_ng_SetRandSeed(ctypes.c_long(1))
            yield library, rate
            library.espeak_Terminate()
        finally:
            _unload(library)
    finally:
        Path(name).unlink()


def _unload(library: ctypes.CDLL) -> None:
    import _ctypes

    unload = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary")  # noqa: B009 (Windows only)
    unload(library._handle)


def _data() -> Path:
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())


@contextmanager
def _whispering(variant: str) -> Iterator[Path]:
    """A data folder in which the variant whispers; everything else is linked to the wheel's."""
    data = _data()
    with tempfile.TemporaryDirectory(prefix="espeak-", dir=scratch.folder()) as name:
        folder = Path(name)
        variants = folder / "voices" / "!v"
        variants.mkdir(parents=True)
        for each in [*data.iterdir(), *(data / "voices").iterdir()]:
            if each.name not in ("voices", "!v"):
                (folder / each.relative_to(data)).symlink_to(each)
        (variants / variant).write_bytes((data / "voices" / "!v" / variant).read_bytes() + _WHISPER.encode())
        yield folder


@lru_cache(maxsize=1)
def _library_bytes() -> bytes:
    import espeakng_loader

    return Path(espeakng_loader.get_library_path()).read_bytes()
