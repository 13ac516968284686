"""Duration error against signals whose durations are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import CannotScore
from benchmark.metric import Sample
from benchmark.metrics.duration_error import DurationError
from tests.metric_helpers import SPEC, prepared_twice, sample, say, unusable_audio

FRAME_MS = 1000 * SPEC.seconds_per_frame


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> DurationError:
    folder: Path = tmp_path_factory.mktemp("durations")
    made, again = prepared_twice(DurationError, folder)
    assert again.score(_pair()) == made.score(_pair()), "the cached aligner is another one"
    return made


def _pair() -> Sample:
    reference, _ = say("aisueaisue", seed=1)
    audio, _ = say("aisueaisue", seed=2, pitch=150.0)
    return sample(audio, reference, words=(tuple("aisueaisue"),))


def test_the_same_rhythm_has_no_error(metric: DurationError) -> None:
    audio, _ = say("aisueaisue", seed=1)
    assert metric.score(sample(audio, words=(tuple("aisueaisue"),))) == {"duration_error": 0.0}


def test_it_is_the_mean_difference_of_the_true_durations(metric: DurationError) -> None:
    _, wanted = say("aisueaisue", seed=1)
    _, said = say("aisueaisue", seed=2, pitch=150.0)
    truth = FRAME_MS * np.abs(np.array(wanted[1:-1]) - np.array(said[1:-1])).mean()
    assert truth > 15
    assert metric.score(_pair())["duration_error"] == pytest.approx(truth, abs=12)


def test_too_short_for_its_phones_gets_no_number(metric: DurationError) -> None:
    audio, _ = say("aisueaisue")
    with pytest.raises(CannotScore, match="too short for its phones"):
        metric.score(sample(audio[4000:7000], audio, words=(tuple("aisueaisue"),)))
    with pytest.raises(CannotScore, match="no phones"):
        metric.score(sample(audio, audio))


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str, metric: DurationError) -> None:
    audio, _ = say("aiu")
    with pytest.raises(CannotScore):
        metric.score(sample(unusable_audio()[what], audio, words=(("a",),)))
