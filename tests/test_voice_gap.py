"""The share of a gap that closes has no value where there is no gap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from benchmark.audio import Audio
from benchmark.errors import CannotScore
from benchmark.metric import Column, MetricContext, Sample
from benchmark.scoring.verification import Floats, normalised
from benchmark.scoring.voice_similarity import VoiceSimilarity
from tests.metric_helpers import write_corpus


class Ear(VoiceSimilarity):
    """Hears the pitch of a recording, coarsely, or nothing but noise."""

    version = "1"
    columns: ClassVar = {name: Column(unit="", meaning=name, higher_is_better=True) for name in ("likeness", "closed")}
    prefix = ""
    encoder = "ear"

    @dataclass(frozen=True)
    class Config:
        """Whether it hears.

        Attributes:
            deaf: all voices are one to it.
            utterances: embedded of each speaker.
        """

        deaf: bool = False
        utterances: int = 20

    def embed(self, audio: Audio) -> Floats:
        """A direction for each band of pitch, plus noise."""
        spectrum = np.abs(np.fft.rfft(audio[:8000]))
        rng = np.random.default_rng(int(1e6 * float(np.abs(audio).sum())) % (1 << 32))
        vector = rng.normal(0, 0.3, 8).astype(np.float32)
        vector[0 if self.config.deaf else int(np.argmax(spectrum[20:200]) // 25)] += 1
        return normalised(vector)


@pytest.mark.parametrize("deaf", [True, False])
def test_one_voice_under_several_names_closes_no_gap(deaf: bool, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"train": ["t"], "test": ["a", "b"]}, 8)
    metric = Ear(Ear.Config(deaf))
    metric.prepare(MetricContext(corpus, tmp_path / "cache", ("a", "b")))
    name, *enrolment = corpus.utterance_ids("a")
    sample = Sample(corpus[name].waveform, corpus[name].waveform, (), "a", tuple(enrolment))
    if deaf:
        with pytest.raises(CannotScore, match="does not tell real recordings of these speakers apart") as refused:
            metric.score(sample)
        assert set(refused.value.values) == {"likeness"}
    else:
        assert np.isfinite(metric.score(sample)["closed"])
