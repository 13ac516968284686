"""Speaker similarity: the constants follow from real speech alone, and the centroid from the enrolment alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import MetricContext
from benchmark.metrics import speaker_similarity
from benchmark.metrics.speaker_similarity import SpeakerSimilarity, embed
from benchmark.scoring.verification import equal_error_rate, verification_trials
from tests.metric_helpers import sample, say, unusable_audio, write_corpus

TEST_SPEAKERS = ["ann", "bob", "cid"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    speakers = {"train": ["tom"], "test": TEST_SPEAKERS, "validation": ["val"]}
    return write_corpus(tmp_path_factory.mktemp("corpus") / "c", speakers, utterances=4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def metric(corpus: Corpus, cache: Path) -> SpeakerSimilarity:
    ready = SpeakerSimilarity()
    ready.prepare(MetricContext(corpus, cache, ("ann", "bob")))
    return ready


def test_an_utterance_in_its_own_centroid_alone_has_similarity_one(metric: SpeakerSimilarity, corpus: Corpus) -> None:
    audio = corpus["ann-000"].waveform
    values = metric.score(sample(audio, target="ann", enrolment=("ann-000",)))
    assert values["speaker_similarity"] == pytest.approx(1.0, abs=1e-5)
    facts = metric.facts()
    assert values["gap_closed"] == pytest.approx((1 - facts["different"]) / (facts["same"] - facts["different"]), 1e-4)


def test_the_centroid_is_the_normalised_mean_of_the_enrolment(metric: SpeakerSimilarity, corpus: Corpus) -> None:
    audio = corpus["ann-003"].waveform
    mean = np.mean([embed(corpus[f"ann-00{i}"].waveform) for i in range(3)], axis=0)
    enrolment = ("ann-000", "ann-001", "ann-002")
    similarity = metric.score(sample(audio, target="ann", enrolment=enrolment))["speaker_similarity"]
    assert similarity == pytest.approx(float(embed(audio) @ mean / np.linalg.norm(mean)), abs=1e-5)


def test_margin_and_identification_follow_from_the_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Computed again from embeddings; men are compared with men alone, and everybody with everybody."""
    people = {"ann": "f", "bob": "m", "cid": "m", "dan": "m", "eve": "f"}

    def facts(speaker: str, _: int) -> Any:
        return {"labels": {"sex": people[speaker]} if speaker in people else {}}

    corpus = write_corpus(tmp_path / "c", {"train": ["tom"], "test": [*people]}, 4, facts=facts)
    metric = SpeakerSimilarity()
    metric.prepare(MetricContext(corpus, tmp_path / "cache", tuple(people), enrolment=2))
    assert "left out" not in capsys.readouterr().out
    found = {}
    for target in people:
        for name in ("ann-000", "bob-000", "cid-001", "dan-003"):
            audio = sample(corpus[name].waveform, target=target, enrolment=(f"{target}-001", f"{target}-002"))
            values = metric.score(audio)
            own, *others = metric.trials(audio)["eer"]
            by_speaker = dict(zip([each for each in sorted(people) if each != target], others, strict=True))
            men = [score for speaker, score in by_speaker.items() if people[speaker] == people[target]]
            assert values["margin"] == pytest.approx(own - sum(men) / len(men), abs=1e-9)
            assert values["identified"] == (sorted([own, *others])[-1] == own)
            found[target, name] = values["identified"]
    assert set(found.values()) == {0.0, 1.0} and found["ann", "ann-000"] == 1.0


def test_without_sexes_there_is_no_margin_and_it_is_said(corpus: Corpus, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = SpeakerSimilarity()
    metric.prepare(MetricContext(corpus, cache, ("ann", "bob")))
    assert "margin is left out, because it needs two scored speakers of each sex, and tones does not tell so." in capsys.readouterr().out
    values = metric.score(sample(corpus["ann-000"].waveform, target="ann", enrolment=("ann-001", "ann-002")))
    assert set(values) == set(metric.columns) == {"speaker_similarity", "gap_closed", "identified"}
    assert "margin" in SpeakerSimilarity.columns


def test_the_own_voice_is_closer_than_another(metric: SpeakerSimilarity, corpus: Corpus) -> None:
    enrolment = ("ann-001", "ann-002", "ann-003")
    own = metric.score(sample(corpus["ann-000"].waveform, target="ann", enrolment=enrolment))
    other = metric.score(sample(corpus["cid-000"].waveform, target="ann", enrolment=enrolment))
    assert own["gap_closed"] > other["gap_closed"]


def test_trials_are_against_the_enrolment_and_against_all_of_the_others(metric: SpeakerSimilarity, corpus: Corpus) -> None:
    spoken = sample(corpus["ann-000"].waveform, target="ann", enrolment=("ann-001", "ann-002"))
    similarity = metric.score(spoken)["speaker_similarity"]
    others = [s for s in TEST_SPEAKERS if s != "ann"]
    centroids = [np.mean([embed(corpus[u].waveform) for u in corpus.utterance_ids(s)], axis=0) for s in others]
    expected = [similarity, *(float(embed(spoken.audio) @ c / np.linalg.norm(c)) for c in centroids)]
    assert metric.trials(spoken)["eer"] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(RuntimeError, match="score"):
        metric.trials(sample(corpus["ann-001"].waveform, target="ann", enrolment=("ann-002",)))


def test_constants_cover_the_whole_split_whatever_speakers_are_scored(metric: SpeakerSimilarity, corpus: Corpus, cache: Path) -> None:
    every = SpeakerSimilarity()
    every.prepare(MetricContext(corpus, cache, tuple(TEST_SPEAKERS)))
    assert metric.facts() == every.facts()
    embeddings = {s: np.stack([embed(corpus[u].waveform) for u in corpus.utterance_ids(s)]) for s in TEST_SPEAKERS}
    same, different = verification_trials(embeddings)
    eer = equal_error_rate(same, different)
    assert metric.facts() == pytest.approx({"same": same.mean(), "different": different.mean(), "eer_real": eer})
    assert same.shape == (12,)
    assert different.shape == (24,)


def test_embeddings_come_from_the_cache_and_a_damaged_cache_is_made_anew(
    metric: SpeakerSimilarity, corpus: Corpus, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def counted(audio: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return embed(audio)

    monkeypatch.setattr(speaker_similarity, "embed", counted)
    again = SpeakerSimilarity()
    again.prepare(MetricContext(corpus, cache, ("ann",)))
    assert calls == 0
    paths = sorted(cache.glob("speaker-embeddings-*.pt"))
    content = bytearray(paths[0].read_bytes())
    content[len(content) // 2] ^= 1
    paths[0].write_bytes(content)
    again.prepare(MetricContext(corpus, cache, ("ann",)))
    assert calls == 4 and again.facts() == metric.facts(), "a changed bit"
    paths[0].write_bytes(paths[1].read_bytes())
    again.prepare(MetricContext(corpus, cache, ("ann",)))
    assert calls == 8 and again.facts() == metric.facts(), "another speaker's embeddings"


def test_leave_one_out_centroids_and_strangers_by_hand() -> None:
    a = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    b = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    same, different = verification_trials({"a": a, "b": b})
    np.testing.assert_allclose(same, [0.0, 0.0, 1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(different, [1.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)], atol=1e-6)


def test_centroids_have_the_size_of_enrolment(corpus: Corpus, cache: Path) -> None:
    embeddings = {s: np.stack([embed(corpus[u].waveform) for u in corpus.utterance_ids(s)]) for s in TEST_SPEAKERS}
    small = SpeakerSimilarity()
    small.prepare(MetricContext(corpus, cache, tuple(TEST_SPEAKERS), enrolment=1))
    # Centroids of one utterance: the first other one.
    same = [e[number] @ e[1 if number == 0 else 0] for e in embeddings.values() for number in range(len(e))]
    different = [row @ other[0] for s, e in embeddings.items() for t, other in embeddings.items() if s != t for row in e]
    assert small.facts()["same"] == pytest.approx(np.mean(same), abs=1e-5)
    assert small.facts()["different"] == pytest.approx(np.mean(different), abs=1e-5)


def test_equal_error_rate_by_hand() -> None:
    same, different = np.array([0.9, 0.8, 0.7, 0.3], np.float32), np.array([0.1, 0.2, 0.4, 0.75], np.float32)
    assert equal_error_rate(same, different) == pytest.approx(0.25)
    assert equal_error_rate(same + 1, different) == 0.0
    assert equal_error_rate(same, same) == pytest.approx(0.5, abs=0.13)


def test_enrolment_that_is_not_there_is_a_failure(metric: SpeakerSimilarity, corpus: Corpus) -> None:
    audio = corpus["ann-000"].waveform
    for speaker, enrolment in (("ann", ()), ("ann", ("bob-000",)), ("nobody", ("ann-000",))):
        with pytest.raises(CannotScore, match="enrolment"):
            metric.score(sample(audio, target=speaker, enrolment=enrolment))


@pytest.mark.parametrize("what", unusable_audio())
def test_unusable_audio_gets_no_number(what: str, metric: SpeakerSimilarity) -> None:
    with pytest.raises(CannotScore):
        metric.score(sample(unusable_audio()[what], target="ann", enrolment=("ann-000",)))


def test_audio_without_a_voice_gets_no_number() -> None:
    audio, _ = say("aiue")
    almost_empty = np.zeros(32_000, np.float32)
    almost_empty[8000:9600] = audio[2000:3600]
    with pytest.raises(CannotScore, match="of voice found"):
        embed(almost_empty)


def test_loudness_does_not_count() -> None:
    audio, _ = say("aiueaiueaiue")
    vector = embed(audio)
    assert vector.shape == (256,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    for gain in (0.01, 0.25, 1.9):
        assert float(vector @ embed(audio * np.float32(gain))) > 0.999


def test_one_speaker_alone_is_refused(tmp_path: Path) -> None:
    alone = write_corpus(tmp_path / "c", {"test": ["ann"]}, utterances=3)
    with pytest.raises(BenchmarkError, match="two speakers"):
        SpeakerSimilarity().prepare(MetricContext(alone, tmp_path, ("ann",)))


def test_a_speaker_scored_alone_is_compared_with_training_speakers(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", {"train": ["tom", "tina"], "test": ["ann"]}, utterances=3)
    metric = SpeakerSimilarity()
    metric.prepare(MetricContext(corpus, tmp_path, ("ann",)))
    assert metric.facts()["same"] > metric.facts()["different"]
    assert sorted(metric._centroids) == ["ann", "tina", "tom"]


def test_bad_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder must be one of ge2e"):
        SpeakerSimilarity.Config(encoder="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="utterances must be at least 2"):
        SpeakerSimilarity.Config(utterances=1)
