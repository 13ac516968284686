"""Speaker verification: how well embeddings tell voices apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating]


def normalised(vector: Floats) -> Floats:
    """The vector, scaled to length 1."""
    return vector / np.linalg.norm(vector)


def centroid(embeddings: Floats, size: int = 0, but: int | None = None) -> Floats:
    """The normalised mean of a speaker's embeddings.

    Args:
        embeddings: shape (utterances, dimensions), rows of length 1.
        size: how many of them to average, spread evenly over all; 0 for all. Means of more utterances are closer to
            everything, so compare scores only between centroids of one size.
        but: an utterance to leave out.
    """
    rows = [row for row in range(len(embeddings)) if row != but]
    if 0 < size < len(rows):
        rows = [rows[place * len(rows) // size] for place in range(size)]
    return normalised(embeddings[rows].mean(axis=0))


def verification_trials(embeddings: Mapping[str, Floats], size: int = 0) -> tuple[Floats, Floats]:
    """Cosines of every utterance to its own speaker's leave-one-out centroid and to the other speakers' centroids.

    Args:
        embeddings: by speaker, shape (utterances ≥ 2, dimensions), rows of length 1; at least two speakers.
        size: utterances per centroid; 0 for all.

    Returns:
        same, shape (all utterances,), and different, shape (all utterances × (speakers − 1),).
    """
    centroids = {speaker: centroid(e, size) for speaker, e in embeddings.items()}
    same, different = [], []
    for speaker, e in embeddings.items():
        same.append(np.array([row @ centroid(e, size, but=number) for number, row in enumerate(e)]))
        different += [e @ other for name, other in centroids.items() if name != speaker]
    return np.concatenate(same), np.concatenate(different)


def equal_error_rate(same: Scores, different: Scores) -> float:
    """The rate, 0 … 1, at the threshold where false rejections and false acceptances are equally frequent.

    If no threshold makes them exactly equal, the mean of the two at the nearest threshold.
    """
    thresholds = np.sort(np.concatenate([same, different]))
    rejected = np.searchsorted(np.sort(same), thresholds, side="left") / len(same)
    accepted = 1.0 - np.searchsorted(np.sort(different), thresholds, side="left") / len(different)
    nearest = int(np.argmin(np.abs(rejected - accepted)))
    return float(rejected[nearest] + accepted[nearest]) / 2.0


class WeightedErrorRate:
    """:func:`equal_error_rate` of many resamples of the same trials, in time linear in their number.

    Args:
        scores: shape (utterances, 1 + impostors): of each utterance, the score against the right speaker, then those against others.
    """

    def __init__(self, scores: npt.NDArray[np.float64]) -> None:
        thresholds, places = np.unique(scores, return_inverse=True)
        places = places.reshape(scores.shape)
        self.count, self.others = len(thresholds), scores.shape[1] - 1
        self._same, self._different = places[:, 0], places[:, 1:].ravel()

    def of(self, times: npt.NDArray[np.int64]) -> float:
        """The equal error rate, 0 … 1, if utterance i is there ``times[i]`` times."""
        total = int(times.sum())
        rejected = self._below(self._same, times) / total
        accepted = 1.0 - self._below(self._different, np.repeat(times, self.others)) / (total * self.others)
        # A threshold that no drawn score has gives the rates of the next one that some has, so it changes nothing.
        nearest = int(np.argmin(np.abs(rejected - accepted)))
        return float(rejected[nearest] + accepted[nearest]) / 2.0

    def _below(self, places: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """How many scores are below each threshold."""
        counts: npt.NDArray[np.float64] = np.bincount(places, times, self.count).astype(np.float64)
        return np.cumsum(counts) - counts
