"""How many utterances PESQ's C code will find in a recording, counted by that code itself.

The code keeps utterances in arrays of 50 and never checks. Only its own filters and voice activity detector tell how many it will
find, so this runs them, and nothing after them, in the compiled library of the package ``pesq``.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from benchmark.audio import SAMPLE_RATE, Audio

FRAME = 64
"""Samples per frame of the detector (4 ms)."""
EDGE = 75 * FRAME
"""Samples of silence that the code puts before and after a signal (its SEARCHBUFFER)."""
RAMP = 16
"""Samples at both ends that it fades."""
SHORTEST = 50
"""Frames of the shortest utterance (its MINUTTLENGTH)."""

_Floats = ctypes.POINTER(ctypes.c_float)


class _Signal(ctypes.Structure):
    """``SIGNAL_INFO`` of pesq.h."""

    _fields_ = [
        ("path_name", ctypes.c_char * 512), ("file_name", ctypes.c_char * 128), ("samples", ctypes.c_long), ("swap", ctypes.c_long),
        ("input_filter", ctypes.c_long), ("data", _Floats), ("activity", _Floats), ("log_activity", _Floats),
    ]  # fmt: skip


def utterances(reference: Audio, audio: Audio) -> int:
    """The most utterances that PESQ may find; it looks for them in the reference alone.

    This runs what ``pesq_measure`` runs up to its voice activity detector. Later steps only join or drop utterances.

    Args:
        reference: shape (samples,), at 16 kHz, at least 1/4 s.
        audio: the speech to be scored, of the same length; its peak may set the level.
    """
    library = _library()
    peak = max(np.abs(reference).max(), np.abs(audio).max())
    plain = np.ascontiguousarray((reference / peak).astype(np.float32))
    signal = _Signal(samples=len(plain), input_filter=2, data=plain.ctypes.data_as(_Floats))
    error, reason = ctypes.c_long(0), ctypes.c_char_p()
    library.select_rate(ctypes.c_long(SAMPLE_RATE), ctypes.byref(error), ctypes.byref(reason))
    library.load_src(ctypes.byref(error), ctypes.byref(reason), ctypes.byref(signal))
    if error.value:
        raise MemoryError("PESQ has too little memory for this recording")
    try:
        _filter(library, signal)
        library.calc_VAD(ctypes.byref(signal))
        active = np.ctypeslib.as_array(signal.activity, (signal.samples // FRAME,)) > 0
        return _stretches(active)
    finally:
        for block in (signal.data, signal.activity, signal.log_activity):
            library.safe_free(block)


def _filter(library: ctypes.CDLL, signal: _Signal) -> None:
    """What the code does to a wide-band signal before it looks for speech."""
    count = signal.samples
    library.fix_power_level(ctypes.byref(signal), b"reference", ctypes.c_long(count))
    data = np.ctypeslib.as_array(signal.data, (count,))
    fade = np.arange(RAMP, dtype=np.float32) / np.float32(RAMP)
    data[EDGE - 1 : EDGE - 1 + RAMP] *= fade
    data[count - EDGE - RAMP + 1 : count - EDGE + 1] *= fade[::-1]
    inside = ctypes.cast(ctypes.byref(signal.data.contents, EDGE * ctypes.sizeof(ctypes.c_float)), _Floats)
    coefficients = (ctypes.c_float * 5).in_dll(library, "WB_InIIR_Hsos_16k")
    library.IIRFilt(coefficients, ctypes.c_ulong(1), None, inside, ctypes.c_ulong(count - 2 * EDGE), None)
    library.DC_block(signal.data, ctypes.c_long(count))
    library.apply_filters(signal.data, ctypes.c_long(count))


def _stretches(active: npt.NDArray[np.bool_]) -> int:
    """Counts runs of active frames that are long enough to be utterances."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return int(np.count_nonzero(edges[1::2] - edges[::2] >= SHORTEST))


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    from pesq import cypesq

    library = ctypes.CDLL(cypesq.__file__)
    for name in ("select_rate", "load_src", "fix_power_level", "IIRFilt", "DC_block", "apply_filters", "calc_VAD", "safe_free"):
        getattr(library, name).restype = None
    library.safe_free.argtypes = [ctypes.c_void_p]
    return library
