"""The GE2E speaker encoder (Wan et al., ICASSP 2018) with the weights in the package ``resemblyzer``."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.scoring.checks import require_speech
from benchmark.scoring.verification import Floats

LEAST_VOICE = 0.5
"""Seconds of voice that must remain after long silences are cut out."""
LEVEL = 10 ** (-26 / 20)
"""Root mean square that all audio is scaled to: loudness is not voice, yet it affects both encoder and detector."""


@cache
def _encoder() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's and pkg_resources' deprecations: users can't fix them
        from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False).eval()


def embed(audio: Audio) -> Floats:
    """The d-vector of one utterance.

    Args:
        audio: shape (samples,), at 16 kHz.

    Returns:
        shape (256,), of length 1, no value negative.

    Raises:
        CannotScore: the audio is not finite, is silent, or holds less than ``LEAST_VOICE`` of voice.
    """
    encoder = _encoder()
    from resemblyzer import preprocess_wav

    audio = require_speech(audio, "audio", LEAST_VOICE)
    audio = audio * np.float32(LEVEL / np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    # The package converts to 16-bit integers without a check, so louder samples would wrap around.
    voice = preprocess_wav(np.clip(audio, -1.0, 1.0))
    if len(voice) < LEAST_VOICE * SAMPLE_RATE:
        raise CannotScore(f"{len(voice) / SAMPLE_RATE:.2f} s of voice found, at least {LEAST_VOICE} s needed")
    embedding: Floats = encoder.embed_utterance(voice)
    if not np.isfinite(embedding).all():
        raise CannotScore("the speaker encoder gives no finite embedding")
    return embedding
