"""The style gap: features of signals that are known, and shares of the gap that are known by construction."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metric import MetricContext, Sample
from benchmark.metrics import style_gap
from benchmark.metrics.style_gap import FEATURES, StyleGap, features
from benchmark.utterance import PreparedUtterance
from tests.metric_helpers import sample, unusable_audio

WORDS = (tuple("abcdefghij"), tuple("klmnopqrst"))
PHONES = sum(map(len, WORDS))
NOTHING: Audio = np.zeros(0, np.float32)
SCALES = np.array([0.5, 1.0, 0.1, 0.7, 1.5])


def hum(semitones: tuple[float, float], seconds: float, depth: float = 0.0, whispered: bool = False) -> Audio:
    """A buzz or a hiss with a silence before and after.

    Args:
        semitones: the pitch at its start and end; it glides between them. 0 is 100 Hz.
        seconds: its duration.
        depth: dB by which every other fifth of a second is softer.
        whispered: hiss.
    """
    count = round(seconds * SAMPLE_RATE)
    phase = 2 * np.pi * np.cumsum(100.0 * 2 ** (np.linspace(*semitones, count) / 12) / SAMPLE_RATE)
    buzz = sum((np.sin(k * phase) / k for k in range(1, 13)), np.zeros(count))
    buzz = np.random.default_rng(1).normal(size=count) if whispered else buzz
    softer = (np.arange(count) * 5 // SAMPLE_RATE) % 2
    silence = np.zeros(SAMPLE_RATE // 5)
    return np.concatenate([silence, 0.1 * buzz * 10 ** (-depth * softer / 20), silence]).astype(np.float32)


def test_features_of_a_known_signal() -> None:
    found = dict(zip(FEATURES, features(hum((2.0, 12.0), 2.0, depth=10.0), 30), strict=True))
    assert found["pitch"] == pytest.approx(12 * np.log2(100) + 7, abs=0.2)
    assert found["pitch range"] == pytest.approx(10 / 2, abs=0.3)
    assert found["voicing"] > 0.95
    assert found["rate"] == pytest.approx(30 / 2.0, rel=0.04), "a window is longer than a frame"
    assert found["energy"] == pytest.approx(10 / 2, rel=0.2)


def test_a_whisper_has_no_pitch() -> None:
    found = dict(zip(FEATURES, features(hum((0, 0), 2.0, whispered=True), 30), strict=True))
    assert np.isnan(found["pitch"]) and np.isnan(found["pitch range"]) and found["voicing"] < style_gap.LEAST_VOICED


class Corpus:
    """As much of a prepared corpus as the metric asks for. Ids are "speaker-style-number"; a target is "speaker+style"."""

    version = exact_version = "1"

    def __init__(self, utterances: Iterable[PreparedUtterance]) -> None:
        self._all = {each.id: each for each in utterances}

    def __getitem__(self, name: str) -> PreparedUtterance:
        return self._all[name]

    def many(self, names: Iterable[str]) -> list[PreparedUtterance]:
        return [self._all[name] for name in names]

    def utterance_ids(self, speaker: str) -> list[str]:
        return sorted(each.id for each in self._all.values() if each.speaker == speaker)

    def utterances_of(self, target: str) -> list[str]:
        return sorted(each.id for each in self._all.values() if f"{each.speaker}+{each.style}" == target)


def utterance(name: str, audio: Audio = NOTHING) -> PreparedUtterance:
    speaker, style, _ = name.split("-")
    none: Any = np.zeros(0)
    return PreparedUtterance(name, speaker, "", WORDS, none, none, none, none, none, np.round(audio * 32767).astype(np.int16), "", style)


def said(amount: float, jitter: float = 0.0) -> Audio:
    """Speech that took on so much of a style: six semitones higher, with three times the range, and faster by half."""
    middle, width = 6.0 * amount + jitter, 2.0 + 4.0 * amount
    return hum((middle - width / 2, middle + width / 2), PHONES / (10.0 + 5.0 * amount + jitter))


def ready(corpus: Corpus, cache: Path, **options: Any) -> StyleGap:
    metric = StyleGap(StyleGap.Config(**options))
    metric.prepare(MetricContext(corpus, cache, ()))  # type: ignore[arg-type]
    return metric


def scored(metric: StyleGap, audio: Audio, target: str, enrolment: Iterable[str]) -> float:
    return metric.score(sample(audio, words=WORDS, target=target, enrolment=tuple(enrolment)))["style_gap_closed"]


@pytest.fixture(scope="module")
def spoken() -> Corpus:
    jitters = np.linspace(-0.5, 0.5, 5)
    rows = [(f"ann-{style}-{n}", said(float(style == "lively"), jitter)) for style in ("", "lively") for n, jitter in enumerate(jitters)]
    rows += [(f"ann-whisper-{n}", hum((0, 0), 2.0 + jitter / 5, whispered=True)) for n, jitter in enumerate(jitters)]
    return Corpus(utterance(name, audio) for name, audio in rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the measured features."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("amount", [-0.25, 0.0, 0.5, 1.0, 1.25])
def test_the_share_of_the_style_that_was_taken_on(amount: float, spoken: Corpus, store: Path) -> None:
    metric = ready(spoken, store)
    assert scored(metric, said(amount), "ann+lively", spoken.utterances_of("ann+lively")) == pytest.approx(amount, abs=0.1)


def test_a_whisper_is_told_by_its_voicing(spoken: Corpus, store: Path) -> None:
    metric = ready(spoken, store)
    names = spoken.utterances_of("ann+whisper")
    assert scored(metric, hum((0, 0), 2.0, whispered=True), "ann+whisper", names) == pytest.approx(1, abs=0.1)
    assert scored(metric, said(0.0), "ann+whisper", names) == pytest.approx(0, abs=0.1)
    with pytest.raises(CannotScore, match="hardly voiced, so it has no pitch to compare"):
        scored(metric, hum((0, 0), 2.0, whispered=True), "ann+lively", spoken.utterances_of("ann+lively"))


def test_real_speech_is_measured_once(spoken: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = spoken.utterances_of("ann+whisper")
    first = scored(ready(spoken, tmp_path), said(0.5), "ann+whisper", names)
    (damaged, _) = tmp_path.glob("style-*.json")
    measure, counts = style_gap.features, [0]

    def counted(audio: Audio, phones: int) -> Any:
        counts[0] += 1
        return measure(audio, phones)

    monkeypatch.setattr(style_gap, "features", counted)
    again = ready(spoken, tmp_path)
    assert scored(again, said(0.5), "ann+whisper", names) == scored(again, said(0.5), "ann+whisper", names) == first and counts == [2]
    damaged.write_text("{")
    assert scored(ready(spoken, tmp_path), said(0.5), "ann+whisper", names) == first and counts == [2 + 1 + 5]


def table(rows: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus whose utterances have the given features."""
    monkeypatch.setattr(StyleGap, "_features", lambda self, names: np.stack([rows[name] for name in names]))
    return Corpus(map(utterance, rows))


def test_features_weigh_by_how_well_they_tell_the_style(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against least squares: the share is the best multiple of the style's shift, in standard deviations within a style."""
    rng = np.random.default_rng(0)
    plain, shift = np.array([80.0, 4.0, 0.7, 11.0, 6.0]), np.array([4.0, 3.0, 0.02, -3.0, 5.0])
    rows = {f"ann--{n}": plain + SCALES * rng.normal(size=5) for n in range(20)}
    rows |= {f"ann-sad-{n}": plain + shift + SCALES * rng.normal(size=5) for n in range(20)}
    metric = ready(table(rows, monkeypatch), Path())
    groups = [np.stack([row for name, row in rows.items() if name.startswith(start)]) for start in ("ann--", "ann-sad-")]
    groups[1] = groups[1][5:]
    spread = np.sqrt(sum(np.square(group - group.mean(0)).sum(0) for group in groups) / 33)
    wanted = (groups[1].mean(0) - groups[0].mean(0)) / spread
    counts = np.abs(wanted) >= 1
    assert counts.tolist() == [True, True, False, True, True], "voicing does not tell this style"
    for got in (plain, plain + shift, plain + 0.3 * shift, plain + rng.normal(size=5), plain + np.eye(5)[2]):
        monkeypatch.setattr(style_gap, "features", lambda audio, phones, got=got: got)
        moved = (got - groups[0].mean(0)) / spread
        (share,), *_ = np.linalg.lstsq(wanted[counts, None], moved[counts], rcond=None)
        assert scored(metric, said(0), "ann+sad", [f"ann-sad-{n}" for n in range(5, 20)]) == pytest.approx(share)


def test_styles_that_can_not_be_scored_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    speech = {"ann-neutral": 0.0, "ann-calm": 0.1, "bob-calm": 0.0, "bob-loud": 5.0}
    rows = {f"{name}-{n}": np.ones(5) + shift + rng.normal(size=5) for name, shift in speech.items() for n in range(12)}
    corpus = table(rows, monkeypatch)
    metric = ready(corpus, Path())
    for target, enrolment, reason in (
        ("ann+neutral", corpus.utterances_of("ann+neutral"), "neutral is the style that others are compared with"),
        ("ann+calm", corpus.utterances_of("ann+calm"), "calm hardly differs from the speaker's plain speech in pitch, pitch range"),
        ("ann+calm", [], "style ann.calm has 0 enrolment utterances"),
        ("bob+calm", corpus.utterances_of("bob+calm"), r"speaker bob has 0 plain utterances \(without a style, or in the style neutral\)"),
    ):
        with pytest.raises(CannotScore, match=reason):
            scored(metric, said(0), target, enrolment)
    monkeypatch.setattr(style_gap, "features", lambda *_: np.ones(5) + 5.0)
    calm = ready(corpus, Path(), neutral="calm")
    assert scored(calm, said(0), "bob+loud", corpus.utterances_of("bob+loud")) == pytest.approx(1, abs=0.15)
    with pytest.raises(CannotScore, match="no phones"):
        metric.score(Sample(said(0), said(0), (), "ann+calm", ()))


@pytest.mark.parametrize("audio", unusable_audio().values(), ids=unusable_audio().keys())
def test_audio_without_speech_has_no_style(audio: Audio, spoken: Corpus) -> None:
    metric = ready(spoken, Path())
    with pytest.raises(CannotScore, match="synthesised audio"):
        scored(metric, audio, "ann+lively", spoken.utterances_of("ann+lively"))
