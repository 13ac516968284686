"""Speaker similarity: does it sound like the person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore, UsageError
from benchmark.scoring.checks import require_speech
from benchmark.scoring.verification import Floats
from benchmark.scoring.voice_similarity import VoiceSimilarity

LEAST_VOICE = 0.5
"""Seconds of voice that must be left when long silences are cut out."""
LEVEL = 10 ** (-26 / 20)
"""Root mean square that all audio is brought to: loudness is not voice, and both encoder and detector notice it."""


class SpeakerSimilarity(VoiceSimilarity):
    """Cosine between a synthesis and the target speaker's voice, and the share of the gap that it closes.

    ``speaker_similarity`` = cos(e(x), c), where e is the GE2E d-vector (Wan et al., ICASSP 2018, eq. 4 and 5; the
    weights in the package ``resemblyzer``) and c the centroid: the normalised mean of the embeddings of the episode's
    enrolment utterances, real speech that is neither support nor query.

    ``gap_closed`` = (similarity − different) / (same − different). ``same`` is the mean cosine of a speaker's real
    utterances to the centroid of others of the speaker's (leave one out), ``different`` to the other speakers'
    centroids, both over all speakers of the scored split, all centroids being of as many utterances as enrolment has.
    0: as unlike as a stranger. 1: as like as the speaker.
    ``eer_real`` is the equal error rate of the same trials: how well the encoder tells these speakers apart at all.

    ``eer``, pooled over a row, verifies the syntheses: each against its speaker's centroid, made from enrolment, and
    against every other scored speaker's, of as many utterances. 0.5: nobody could tell whose voice it should be.

    Real and synthesised audio are brought to -26 dBFS and then get the package's own preprocessing, which the encoder
    was trained with: long silences are cut out by WebRTC's voice activity detector. Windows of 1.6 s (1.3 a second)
    are embedded and averaged; a shorter one is padded with zeros.
    """

    version = "2"
    columns = ("speaker_similarity", "gap_closed")
    higher_is_better: ClassVar = {"speaker_similarity": True, "gap_closed": True}
    prefix = ""

    @dataclass(frozen=True)
    class Config:
        """How voices are compared.

        Attributes:
            encoder: "ge2e" (Resemblyzer, offline).
            utterances: how many real utterances of a speaker are embedded, spread evenly over all of them (at least
                2); enrolment beyond these is left out of the centroid.
        """

        encoder: Literal["ge2e"] = "ge2e"
        utterances: int = 100

        def __post_init__(self) -> None:
            if self.encoder != "ge2e":
                raise UsageError(f'encoder must be "ge2e", not "{self.encoder}".')
            if self.utterances < 2:
                raise UsageError(f"utterances must be at least 2, not {self.utterances}.")

    config: Config

    encoder = "ge2e"

    def embed(self, audio: Audio) -> Floats:
        """See :func:`embed`."""
        return embed(audio)


@cache
def _encoder() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's and pkg_resources' deprecations: not the user's to mend
        from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False).eval()


def embed(audio: Audio) -> Floats:
    """The d-vector of one utterance.

    Args:
        audio: shape (samples,), at 16 kHz.

    Returns:
        shape (256,), of length 1, no value negative.

    Raises:
        CannotScore: it is not finite, silent, or has less than ``LEAST_VOICE`` of voice in it.
    """
    encoder = _encoder()
    from resemblyzer import preprocess_wav

    audio = require_speech(audio, "audio", LEAST_VOICE)
    audio = audio * np.float32(LEVEL / np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    # The package packs 16-bit integers without a check and wraps what exceeds them.
    voice = preprocess_wav(np.clip(audio, -1.0, 1.0))
    if len(voice) < LEAST_VOICE * SAMPLE_RATE:
        raise CannotScore(f"{len(voice) / SAMPLE_RATE:.2f} s of voice found, at least {LEAST_VOICE} s needed")
    embedding: Floats = encoder.embed_utterance(voice)
    if not np.isfinite(embedding).all():
        raise CannotScore("the speaker encoder gives no finite embedding")
    return embedding


PLUGIN = SpeakerSimilarity
