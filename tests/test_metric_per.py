"""PER: trained once, cached, right about clear speech, and never a number where nothing was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import CannotScore
from benchmark.metric import MetricContext
from benchmark.metrics.per import PER, example_of
from benchmark.scoring import recogniser
from benchmark.scoring.recogniser import MEL
from tests.metric_helpers import PHONES, sample, say, unusable_audio, write_corpus

CONFIG = PER.Config(channels=48, blocks=2, hidden=32, epochs=25, batch=8, learning_rate=4e-3)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> MetricContext:
    folder = tmp_path_factory.mktemp("per")
    corpus = write_corpus(folder / "c", {"train": ["t1", "t2", "t3", "t4"], "test": ["u1", "u2"]}, utterances=16)
    return MetricContext(corpus, folder / "cache", ("u1", "u2"))


@pytest.fixture(scope="module")
def metric(context: MetricContext) -> PER:
    ready = PER(CONFIG)
    ready.prepare(context)
    return ready


def test_unheard_speakers_are_understood(metric: PER) -> None:
    assert metric.facts()["per_real"] < 0.2


def test_its_own_error_is_the_mean_over_real_speech(metric: PER, context: MetricContext) -> None:
    corpus = context.corpus
    real = [corpus[u] for speaker in context.targets for u in corpus.utterance_ids(speaker)]
    errors = [metric.score(sample(u.waveform, words=u.words))["per"] for u in real]
    assert metric.facts()["per_real"] == pytest.approx(np.mean(errors))


def test_every_kind_of_error_counts_once(metric: PER) -> None:
    audio, _ = say("aiueaiue", pitch=120.0)
    heard = metric.transcribe(audio)
    assert len(heard) >= 4

    def error(phones: list[str]) -> float:
        return metric.score(sample(audio, words=(tuple(phones),)))["per"]

    other = next(phone for phone in PHONES if phone != heard[0])
    assert error(heard) == 0.0
    assert error([other, *heard[1:]]) == pytest.approx(1 / len(heard))
    assert error([*heard, other]) == pytest.approx(1 / (len(heard) + 1))
    assert error(heard[1:]) == pytest.approx(1 / (len(heard) - 1))


def test_noise_is_not_understood(metric: PER) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 32_000).astype(np.float32)
    assert metric.score(sample(noise, words=(tuple("aiueaiue"),)))["per"] > 0.6


def test_a_trained_recogniser_is_read_from_the_cache(metric: PER, context: MetricContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser, "train", None)  # calling it would fail
    again = PER(CONFIG)
    again.prepare(context)
    assert again.facts() == metric.facts()
    audio, _ = say("aiueaiue")
    assert again.transcribe(audio) == metric.transcribe(audio)


def test_a_damaged_recogniser_is_trained_anew(context: MetricContext, tmp_path: Path) -> None:
    config = PER.Config(channels=8, blocks=1, hidden=8, epochs=1)
    audio, _ = say("aiueaiue")
    heard = []
    for _ in range(2):
        metric = PER(config)
        metric.prepare(MetricContext(context.corpus, tmp_path, ("u1",)))
        heard.append(metric.transcribe(audio))
        (path,) = tmp_path.glob("recogniser-*.pt")
        assert not list(tmp_path.glob("*.checkpoint"))
        path.write_bytes(path.read_bytes()[:1000])
    assert heard[0] == heard[1]


def test_frame_labels_follow_the_corpus(context: MetricContext) -> None:
    corpus = context.corpus
    utterance = corpus["t1-000"]
    example = example_of(utterance, corpus, {phone: index for index, phone in enumerate(PHONES)})
    assert example.labels is not None
    assert len(example.labels) == len(example.mel)
    edges = np.cumsum([0, *utterance.durations]) * corpus.mel.seconds_per_frame
    middles = ((edges[1:] + edges[:-1]) / 2 / MEL.seconds_per_frame).astype(int)
    assert [PHONES[label - 1] for label in example.labels[middles[1:-1]]] == list(utterance.phones)
    assert example.labels[middles[0]] == 0


def test_sentences_that_cannot_be_scored(metric: PER) -> None:
    audio, _ = say("aiue")
    with pytest.raises(CannotScore, match="no phones"):
        metric.score(sample(audio))
    with pytest.raises(CannotScore, match="does not know"):
        metric.score(sample(audio, words=(("a", "x"),)))


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str, metric: PER) -> None:
    with pytest.raises(CannotScore):
        metric.score(sample(unusable_audio()[what], words=(("a",),)))


def test_bad_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        PER.Config(epochs=0)
