"""Goodness of pronunciation against Gaussians whose likelihoods are known, every path through a loop, and speech with other words."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.aligner import STATES, STREAM_WEIGHTS, Aligner, AlignmentItem
from benchmark.errors import CannotScore
from benchmark.metric import Sample
from benchmark.metrics.gop import GOP
from benchmark.scoring.phone_loop import best_path, goodness
from tests.metric_helpers import prepared_twice, sample, say, unusable_audio

PHONES = {"<sil>": 0, "<unk>": 1, "a": 2, "b": 3}
FLOOR = -100.0
"""Mean of silence and of unknown phones: far from everything."""


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> GOP:
    folder: Path = tmp_path_factory.mktemp("goodness")
    made, again = prepared_twice(GOP, folder)
    assert again.facts() == made.facts() and list(made.facts()) == ["gop_real"]
    return made


def aligner(a: float = 0.0, b: float = 1.0, stay: float = 0.5) -> Aligner:
    """Every state of a phone alike: one Gaussian of unit variance around the phone's mean in the first cepstrum."""
    mean = np.zeros((STATES * len(PHONES), 39), np.float32)
    for phone, value in zip(PHONES, (FLOOR, FLOOR, a, b), strict=True):
        mean[STATES * PHONES[phone] : STATES * (PHONES[phone] + 1), 0] = value
    return Aligner(PHONES, mean, np.ones_like(mean), np.full(len(mean), stay, np.float32))


def spoken(*values: float) -> np.ndarray:
    """Frames of which each has one of these values in the first cepstrum, and 0 in the others."""
    frames = np.zeros((len(values), 39), np.float32)
    frames[:, 0] = values
    return frames


def said(text: str) -> Sample:
    audio, _ = say("aisueaisue", seed=1)
    return sample(audio, audio, words=(tuple(text),))


def test_the_text_that_explains_best_has_goodness_0() -> None:
    item = AlignmentItem("", spoken(*[0.0] * 6, *[1.0] * 6), (("a", "b"),))
    assert goodness(aligner(), item) == pytest.approx([0.0, 0.0])


def test_another_phone_costs_the_difference_of_the_likelihoods() -> None:
    """The frames are a's; under b each is (1 - 0)^2 / 2 less likely, weighted as the aligner weighs cepstra."""
    item = AlignmentItem("", spoken(*[0.0] * 6, *[0.0] * 6), (("a",), ("b",)))
    _, last = goodness(aligner(), item)
    assert last == pytest.approx(-STREAM_WEIGHTS[0] / 2)


def test_the_loop_finds_the_best_of_all_paths() -> None:
    generator = np.random.default_rng(0)
    model, frames = aligner(stay=0.3), 2 * STATES
    scores = generator.normal(size=(frames, STATES * len(PHONES)))
    stay, leave = np.log(0.3), np.log(0.7)

    def paths(phones: tuple[int, ...]) -> list[list[int]]:
        states = [STATES * phone + state for phone in phones for state in range(STATES)]
        waits = itertools.combinations(range(1, frames), len(states) - 1)
        return [list(np.repeat(states, np.diff([0, *each, frames]))) for each in waits]

    def value(path: list[int]) -> float:
        moves = sum(stay if one == other else leave for one, other in itertools.pairwise(path))
        return float(scores[range(frames), path].sum() + moves)

    known = [phone for name, phone in PHONES.items() if name != "<unk>"]
    every = [path for length in (1, 2) for phones in itertools.product(known, repeat=length) for path in paths(phones)]
    assert len(every) == 3 * 126 + 9 and list(best_path(model, scores)) == max(every, key=value)


def test_other_words_and_noise_explain_speech_worse(metric: GOP) -> None:
    right = metric.score(said("aisueaisue"))["gop"]
    assert right == pytest.approx(0.0, abs=0.3) and metric.facts()["gop_real"] == pytest.approx(0.0, abs=0.3)
    assert metric.score(said("aisueausia"))["gop"] < right - 0.1 and metric.score(said("uesiauesia"))["gop"] < right - 1.0
    audio, _ = say("aisueaisue", seed=1)
    noisy = (audio + np.random.default_rng(0).normal(scale=audio.std(), size=len(audio))).astype(np.float32)
    assert metric.score(sample(noisy, audio, words=(tuple("aisueaisue"),)))["gop"] < right


def test_it_scores_the_same_with_what_a_model_file_keeps(metric: GOP) -> None:
    other = GOP()
    other.restore(metric.state())
    assert other.score(said("aisueaisue")) == metric.score(said("aisueaisue")) and other.facts() == metric.facts()


def test_too_short_for_its_phones_gets_no_number(metric: GOP) -> None:
    audio, _ = say("aisueaisue")
    with pytest.raises(CannotScore, match="too short for its phones"):
        metric.score(sample(audio[4000:7000], audio, words=(tuple("aisueaisue"),)))
    with pytest.raises(CannotScore, match="no phones"):
        metric.score(sample(audio, audio))


def test_a_phone_of_no_training_speech_gets_no_number(metric: GOP) -> None:
    """The aligner takes it for average speech, which explains a mumble best."""
    with pytest.raises(CannotScore, match="does not know the phone 'x'"):
        metric.score(said("aisuexisue"))


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str, metric: GOP) -> None:
    with pytest.raises(CannotScore):
        metric.score(sample(unusable_audio()[what], say("aiu")[0], words=(tuple("aiu"),)))
