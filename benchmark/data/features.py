"""Pitch and energy of each mel frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmark.mel import MelSpec


def pitch(audio: npt.NDArray[np.float32], spec: MelSpec) -> npt.NDArray[np.float32]:
    """F0 in Hz per mel frame, 0 where unvoiced: WORLD's DIO refined by StoneMask (Morise et al.), 60 to 500 Hz.

    It conditions models. Metrics measure F0 by themselves (``benchmark/scoring/pitch.py``).
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pyworld imports the deprecated pkg_resources
        import pyworld

    double = audio.astype(np.float64)
    period = 1000 * spec.seconds_per_frame
    raw, times = pyworld.dio(double, spec.sample_rate, f0_floor=60.0, f0_ceil=500.0, frame_period=period)
    f0 = pyworld.stonemask(double, raw, times, spec.sample_rate)
    frames = spec.frames(len(audio))
    return np.pad(f0, (0, max(0, frames - len(f0))))[:frames].astype(np.float32)


def energy(audio: npt.NDArray[np.float32], spec: MelSpec) -> npt.NDArray[np.float32]:
    """Natural log of the root mean square of each (centred) frame of ``win_length`` samples."""
    half = spec.win_length // 2
    power = np.concatenate([[0.0], np.cumsum(np.square(np.pad(audio.astype(np.float64), half)))])
    starts = np.arange(spec.frames(len(audio))) * spec.hop_length
    mean = (power[starts + spec.win_length] - power[starts]) / spec.win_length
    return (0.5 * np.log(np.maximum(mean, 1e-10))).astype(np.float32)
