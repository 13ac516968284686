"""espeak-ng's synthesiser with its phoneme events, through ctypes; the library comes from the espeakng-loader wheel.

It keeps global state, so each call sets every parameter it depends on. Documented in espeak-ng's ``speak_lib.h``.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.dataset import Segment
from benchmark.errors import BenchmarkError

_SYNCHRONOUS, _PHONEME_EVENTS_IN_IPA = 2, 3
_END, _WORD, _PHONEME = 0, 1, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


@dataclass(frozen=True)
class VoiceSettings:
    """A voice: espeak-ng's name for it ("en-us+f2"), words a minute, pitch and pitch range (0 to 99)."""

    name: str
    rate: int = 165
    pitch: int = 50
    range: int = 50


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]  # noqa: RUF012


class _Event(ctypes.Structure):
    _fields_ = [  # noqa: RUF012
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    def __init__(self) -> None:
        import espeakng_loader

        self.library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate = self.library.espeak_Initialize(
            _SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _PHONEME_EVENTS_IN_IPA
        )
        if self.rate <= 0:
            raise BenchmarkError("espeak-ng could not be initialised; reinstall the package espeakng-loader.")
        self.audio: list[bytes] = []
        self.events: list[tuple[int, int, str]] = []
        # Kept alive for as long as the library may call it.
        self.callback = _Callback(self._receive)
        self.library.espeak_SetSynthCallback(self.callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if count > 0:
            self.audio.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != _END:
            event = events[index]
            # Eight bytes, not always ended by a zero.
            name = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "ignore") if event.type == _PHONEME else ""
            self.events.append((event.type, event.sample, name))
            index += 1
        return 0


@lru_cache(maxsize=1)
def _library() -> _Library:
    return _Library()


@lru_cache(maxsize=8)
def speak(text: str, voice: VoiceSettings) -> tuple[npt.NDArray[np.float32], int, list[list[Segment]]]:
    """Waveform, its rate in Hz, and each phone's place, word by word.

    Raises:
        BenchmarkError: there is no such voice.
    """
    state = _library()
    state.audio, state.events = [], []
    if state.library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise BenchmarkError(f"espeak-ng has no voice {voice.name!r}.")
    for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
        state.library.espeak_SetParameter(parameter, value, 0)
    encoded = text.encode()
    state.library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, 1, None, None)
    wave = np.frombuffer(b"".join(state.audio), np.int16).astype(np.float32) / 32768
    return wave, state.rate, _segments(state.events, len(wave), state.rate)


def _segments(events: list[tuple[int, int, str]], samples: int, rate: int) -> list[list[Segment]]:
    """A phone ends where the next phoneme event, pauses included, begins; stress marks are dropped."""
    words: list[list[Segment]] = []
    phonemes = [(sample, name.strip("ˈˌ")) for kind, sample, name in events if kind == _PHONEME]
    ends = [sample for sample, _ in phonemes[1:]] + [samples]
    number = 0
    for kind, _, _ in events:
        if kind == _WORD:
            words.append([])
        elif kind == _PHONEME:
            sample, name = phonemes[number]
            if name and words:
                words[-1].append(Segment(name, sample / rate, ends[number] / rate))
            number += 1
    return [word for word in words if word]
