"""Speaker similarity: does the synthesis sound like the speaker?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from benchmark.audio import Audio
from benchmark.metric import Column
from benchmark.scoring.ge2e import embed
from benchmark.scoring.verification import Floats
from benchmark.scoring.voice_similarity import VoiceSimilarity
from benchmark.settings.ranges import Checked


class SpeakerSimilarity(VoiceSimilarity):
    """Cosine between a synthesis and the target speaker's voice, and the share of the gap that it closes.

    ``speaker_similarity`` = cos(e(x), c), where e is the GE2E d-vector (Wan et al., ICASSP 2018, eq. 4 and 5; the
    weights in the package ``resemblyzer``) and c the centroid: the normalised mean of the embeddings of the episode's
    enrolment utterances, real speech that is neither support nor query.

    ``gap_closed`` = (similarity − different) / (same − different). ``same`` is the mean cosine of a speaker's real
    utterances to the centroid of the speaker's other utterances (leave one out), ``different`` to the other speakers'
    centroids. Both are taken over all speakers of the scored split; every centroid averages as many utterances as enrolment.
    0: as unlike as a stranger. 1: as close as the speaker's own recordings.
    ``eer_real`` is the equal error rate of the same trials: how well the encoder tells these speakers apart at all.

    ``margin`` = similarity − the mean cosine to the centroids of the other scored speakers of the same sex, so that matching the sex
    gains nothing; where the corpus does not tell sexes there is none. ``identified`` is 1 if no other speaker's centroid is as near.

    ``eer``, pooled over a row, verifies the syntheses: each against its speaker's enrolment centroid and against every
    other scored speaker's centroid, of equally many utterances. 0.5: nobody could tell whose voice it should be.

    Real and synthesised audio are scaled to -26 dBFS and then get the package's own preprocessing, with which the encoder
    was trained: WebRTC's voice activity detector cuts out long silences. Windows of 1.6 s (1.3 per second) are embedded
    and averaged; a shorter window is padded with zeros.
    """

    version = "3"
    columns: ClassVar = {
        "speaker_similarity": Column(
            unit="cosine",
            meaning="how much the voice sounds like the speaker's, to a speaker encoder",
            higher_is_better=True, low=-1.0, high=1.0,
        ),
        "gap_closed": Column(
            unit="fraction",
            meaning="how far the voice gets from other speakers' (0) to the speaker's own (1)",
            higher_is_better=True, headline=True,
        ),
        "margin": Column(
            unit="cosine",
            meaning="how much more the voice sounds like the speaker's than like other speakers' of the same sex",
            higher_is_better=True, low=-2.0, high=2.0,
        ),
        "identified": Column(
            unit="fraction",
            meaning="how often the voice sounds more like the speaker's than like any other scored speaker's",
            higher_is_better=True, low=0.0, high=1.0,
        ),
    }
    rates: ClassVar = {
        "eer": Column(
            unit="fraction",
            meaning="how often a verifier rejects the speech as the speaker's, or accepts it as another speaker's",
            higher_is_better=False, low=0.0, high=1.0,
        ),
    }
    constants: ClassVar = {
        "same": "similarity of a recording to its speaker's other recordings",
        "different": "similarity of a recording to other speakers' recordings",
        "eer_real": "equal error rate on recordings",
    }
    prefix = ""

    @dataclass(frozen=True)
    class Config(Checked):
        """How voices are compared.

        Attributes:
            encoder: "ge2e" (Resemblyzer, offline).
            utterances: how many real utterances per speaker are embedded, spread evenly over all of them (at least
                2); the centroid leaves out enrolment utterances beyond these.
        """

        encoder: Literal["ge2e"] = "ge2e"
        utterances: Annotated[int, Ge(2)] = 100

    config: Config

    encoder = "ge2e"
    ranks_with = "ge2e"

    def embed(self, audio: Audio) -> Floats:
        """See :func:`embed`."""
        return embed(audio)


PLUGIN = SpeakerSimilarity
