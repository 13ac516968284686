"""A metric with its own model, which it trains once per corpus and keeps in the cache.

    python -m benchmark check examples/loudness_metric.py
    python -m benchmark run --plugin examples/loudness_metric.py --metrics mcd,loudness_metric --algo reptile \\
        --dataset espeak --preset smoke
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.audio import Audio
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.metric import Column, Metric, MetricContext, Sample
from benchmark.plumbing.files import read_sealed, write_sealed

FRAME, CONTOUR, HOP = 256, 32, 8
"""Samples per frame, frames per contour (half a second), frames from one contour to the next."""
COMPONENTS = 6
UTTERANCES = 20
"""Most utterances of each training speaker that the model learns from."""


class LoudnessMetric(Metric):
    """Share of the loudness contour's variance that real speech does not explain; 0 is speech-like, 1 is unlike speech.

    The model is the first six principal components of half a second of frame levels (dB), learned from training speakers.
    Clicks, gaps and trembling leave more unexplained; a contour smoother than speech leaves less. Compare it with
    ``ground_truth``.
    """

    version = "1"
    columns: ClassVar = {
        "loudness_strangeness": Column(
            unit="fraction", meaning="share of the changes in loudness that real speech would not make", higher_is_better=False,
            low=0.0, high=1.0,
        ),
    }  # fmt: skip
    needs = ("speech",)

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._components: npt.NDArray[np.float64] | None = None

    def prepare(self, context: MetricContext) -> None:
        """Learn the components, or read them from the cache (it belongs to this version of the corpus)."""
        path = context.cache / f"loudness-{self.version}.json"
        try:
            kept = read_sealed(path, "model of loudness")
        except BenchmarkError:  # absent or damaged
            corpus = context.corpus
            names = [name for speaker in corpus.speakers("train") for name in corpus.utterance_ids(speaker)[:UTTERANCES]]
            every = np.concatenate([contours(utterance.waveform) for utterance in corpus.many(names)])
            kept = {"components": np.linalg.svd(every, full_matrices=False)[2][:COMPONENTS].tolist()}
            write_sealed(path, kept)
        self._components = np.array(kept["components"])

    def score(self, sample: Sample) -> dict[str, float]:
        """The unexplained share.

        Raises:
            CannotScore: the audio is shorter than half a second, or its loudness does not change.
        """
        found = contours(sample.audio)
        if not np.square(found).sum() > 0:
            raise CannotScore("the synthesised audio is shorter than half a second, or its loudness never changes")
        if self._components is None:
            raise RuntimeError("prepare() comes before score()")
        rest = found - found @ self._components.T @ self._components
        return {"loudness_strangeness": float(np.square(rest).sum() / np.square(found).sum())}


def contours(audio: Audio) -> npt.NDArray[np.float64]:
    """Frame levels in dB, half a second per row, minus each row's mean; shape (N, CONTOUR)."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    levels = 20 * np.log10(np.sqrt(np.square(frames).mean(1)).clip(min=1e-4))
    if len(levels) < CONTOUR:
        return np.zeros((0, CONTOUR))
    rows = np.lib.stride_tricks.sliding_window_view(levels, CONTOUR)[::HOP]
    return np.asarray(rows - rows.mean(1, keepdims=True))


PLUGIN = LoudnessMetric
