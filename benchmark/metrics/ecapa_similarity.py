"""Speaker similarity by a second encoder, ECAPA-TDNN; ``python -m benchmark.metrics.ecapa_similarity`` fetches its weights."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge

from benchmark.audio import Audio
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import Column, MetricContext
from benchmark.plumbing.files import digest_of_file
from benchmark.plumbing.tf32 import tf32_kept
from benchmark.scoring.checks import require_speech
from benchmark.scoring.verification import Floats
from benchmark.scoring.voice_similarity import VoiceSimilarity
from benchmark.settings.ranges import Checked

HUB = "speechbrain/spkrec-ecapa-voxceleb"
REVISION = "0f99f2d0ebe89ac095bcc5903c4dd8f72b367286"
"""The commit of ``HUB`` to use: the weights published there may change, which would move values."""
FILES = ("hyperparams.yaml", "embedding_model.ckpt", "mean_var_norm_emb.ckpt", "classifier.ckpt", "label_encoder.txt")
"""The first names the others. speechbrain wants all of them; the second makes the embeddings."""
FETCH = "python -m benchmark.metrics.ecapa_similarity"
PATIENCE = 10.0
"""Seconds to wait for the hub's first answer; its own client would try for much longer."""
LEAST_SOUND = 0.5
"""Seconds of audio below which nobody can tell who speaks."""


class EcapaSimilarity(VoiceSimilarity):
    """Cosine between a synthesis and the target speaker's voice, and the share of the gap that it closes, as ECAPA-TDNN hears it.

    The embedding is speechbrain's ``spkrec-ecapa-voxceleb`` (Desplanques et al., "ECAPA-TDNN", Interspeech 2020; trained on
    VoxCeleb 1 and 2), computed from the unprocessed 16 kHz waveform, without voice activity detection or level normalisation:
    80 log-mel bands, minus their mean over the utterance. Scores are cosines of raw embeddings, as in speechbrain's ``verify_batch``.

    ``ecapa_similarity`` and ``ecapa_gap_closed``, the constants ``ecapa_same``, ``ecapa_different`` and ``ecapa_eer_real``, and
    ``ecapa_eer`` correspond to GE2E's ``speaker_similarity``, ``gap_closed``, ``same``, ``different``, ``eer_real`` and ``eer``.
    GE2E is another network with another loss: a finding of both is less likely to be one network's blind spot.

    Scored only on request. It needs speechbrain and, once, the internet: ``python -m benchmark.metrics.ecapa_similarity``
    puts the weights (89 MB) into Hugging Face's cache, ``$HF_HOME``. A run never fetches them.
    """

    version = "2"
    columns: ClassVar = {
        "ecapa_similarity": Column(
            unit="cosine",
            meaning="how much the voice sounds like the speaker's, to a second speaker encoder, ECAPA-TDNN",
            higher_is_better=True, low=-1.0, high=1.0, second_opinion_of="speaker_similarity",
        ),
        "ecapa_gap_closed": Column(
            unit="fraction",
            meaning="how far the voice gets from other speakers' (0) to the speaker's own (1), to ECAPA-TDNN",
            higher_is_better=True, second_opinion_of="gap_closed",
        ),
        "ecapa_margin": Column(
            unit="cosine",
            meaning="how much more the voice sounds like the speaker's than like other speakers' of the same sex, to ECAPA-TDNN",
            higher_is_better=True, low=-2.0, high=2.0, second_opinion_of="margin",
        ),
        "ecapa_identified": Column(
            unit="fraction",
            meaning="how often the voice sounds more like the speaker's than like any other scored speaker's, to ECAPA-TDNN",
            higher_is_better=True, low=0.0, high=1.0, second_opinion_of="identified",
        ),
    }
    rates: ClassVar = {
        "ecapa_eer": Column(
            unit="fraction",
            meaning="how often a verifier with ECAPA-TDNN rejects the speech as the speaker's, or accepts it as another speaker's",
            higher_is_better=False, low=0.0, high=1.0, second_opinion_of="eer",
        ),
    }
    constants: ClassVar = {
        "ecapa_same": "similarity of a recording to its speaker's other recordings, by ECAPA-TDNN",
        "ecapa_different": "similarity of a recording to other speakers' recordings, by ECAPA-TDNN",
        "ecapa_eer_real": "equal error rate on recordings, by ECAPA-TDNN",
    }
    prefix = "ecapa_"

    @dataclass(frozen=True)
    class Config(Checked):
        """Which weights, and how many real utterances.

        Attributes:
            source: a folder with the encoder's files as on the hub (its hyperparams.yaml is run as code); empty for the
                published ones in Hugging Face's cache.
            utterances: how many real utterances per speaker are embedded, spread evenly over all of them (at least
                2); the centroid leaves out enrolment utterances beyond these.
        """

        source: str = ""
        utterances: Annotated[int, Ge(2)] = 100

    config: Config

    @property
    def ranks_with(self) -> str:
        """The pretrained ECAPA-TDNN; an ECAPA-TDNN that an algorithm trains itself is another encoder."""
        return "ecapa"

    @property
    def encoder(self) -> str:
        """The files' digests and speechbrain's version: both files and the code that computes features may change."""
        import speechbrain

        folder = self.folder()
        return " ".join(["ecapa", speechbrain.__version__, *(digest_of_file(folder / name) for name in FILES[:2])])

    def require(self) -> None:
        """See :meth:`Metric.require`."""
        self.folder()

    def folder(self) -> Path:
        """The folder with the weights; neither loads nor fetches anything.

        Raises:
            BenchmarkError: a file of the weights is missing.
        """
        folder = Path(self.config.source).absolute() if self.config.source else _cached()
        if folder is None:
            raise BenchmarkError(
                f"ecapa_similarity needs the weights of {HUB}, which are not on this machine: fetch them with `{FETCH}`, or name a "
                "folder that holds them with --metrics.ecapa_similarity.source DIR."
            )
        if absent := [name for name in FILES if not (folder / name).is_file()]:
            remedy = f"put all of {HUB} there" if self.config.source else f"fetch them again with `{FETCH}`"
            raise BenchmarkError(f"The weights of ecapa_similarity in {folder} lack {', '.join(absent)}: {remedy}.")
        return folder

    def prepare(self, context: MetricContext) -> None:
        """See :meth:`VoiceSimilarity.prepare`.

        Raises:
            BenchmarkError: speechbrain or the weights are missing or damaged, or there are too few voices.
        """
        self._folder = self.folder()
        _encoder(self._folder)
        super().prepare(context)

    def embed(self, audio: Audio) -> Floats:
        """The embedding of one utterance.

        Args:
            audio: shape (samples,), at 16 kHz.

        Returns:
            shape (192,), of length 1.

        Raises:
            CannotScore: the audio is not finite, is silent, or is shorter than ``LEAST_SOUND``.
        """
        audio = require_speech(audio, "audio", LEAST_SOUND)
        with torch.inference_mode():
            embedding: Floats = _encoder(self._folder).encode_batch(torch.from_numpy(audio)).flatten().numpy()
        length = np.linalg.norm(embedding)
        if not np.isfinite(length) or length == 0:
            raise CannotScore("the speaker encoder gives no finite embedding")
        return embedding / length


def _cached() -> Path | None:
    """The folder of the published weights in Hugging Face's cache, if it exists."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(HUB, FILES[0], revision=REVISION)
    return Path(found).parent if isinstance(found, str) else None


@cache
def _encoder(folder: Path) -> Any:
    """speechbrain's classifier with the weights in ``folder``, on the CPU; read in place, once per process."""
    # A worker may first come here between two adaptation steps; building the network must not draw from their random numbers.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), tf32_kept():
        warnings.simplefilter("ignore")  # deprecations in what speechbrain imports: users can't fix them
        try:
            from speechbrain.inference.classifiers import EncoderClassifier
            from speechbrain.utils.fetching import FetchConfig, LocalStrategy

            return EncoderClassifier.from_hparams(
                str(folder),
                # The published hyperparams.yaml would look on the hub for the files beside it.
                overrides={"pretrained_path": str(folder)},
                overrides_must_match=False,
                local_strategy=LocalStrategy.NO_LINK,
                fetch_config=FetchConfig(allow_network=False),
                run_opts={"device": "cpu"},
            ).eval()
        except Exception as error:  # speechbrain, its YAML and torch raise many kinds on damaged files
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise BenchmarkError(
                f"speechbrain can't load the speaker encoder in {folder} ({reason}); delete the folder and run `{FETCH}`, or mend it."
            ) from error


def fetch() -> Path:
    """Put the published weights into Hugging Face's cache, if they are not there.

    Raises:
        BenchmarkError: the hub can't be reached, or it refuses.
    """
    from urllib.error import HTTPError
    from urllib.request import urlopen

    from huggingface_hub import constants, snapshot_download

    try:
        if not constants.HF_HUB_OFFLINE:
            with suppress(HTTPError):  # also an answer: the hub can be reached
                urlopen(constants.ENDPOINT, timeout=PATIENCE).close()
        return Path(snapshot_download(HUB, revision=REVISION, allow_patterns=list(FILES)))
    except Exception as error:  # of the network, of the hub, of the disk
        raise BenchmarkError(
            f"{HUB} could not be fetched from {constants.ENDPOINT} ({' '.join(str(error).split())[:200]}): fetch it where there is a "
            f"network, and copy it here: {constants.HF_HUB_CACHE}, or any folder for --metrics.ecapa_similarity.source."
        ) from error


PLUGIN = EcapaSimilarity

if __name__ == "__main__":
    try:
        print(f"The weights are in {fetch()}.")
    except BenchmarkError as problem:
        sys.exit(f"error: {problem}")
