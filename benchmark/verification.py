"""Speaker verification: how well embeddings tell voices apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating]


def normalised(vector: Floats) -> Floats:
    """The vector at length 1."""
    return vector / np.linalg.norm(vector)


def verification_trials(embeddings: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Cosines of every utterance to its own speaker's leave-one-out centroid and to the other speakers' centroids.

    Args:
        embeddings: by speaker, shape (utterances ≥ 2, dimensions), rows of length 1; at least two speakers.

    Returns:
        same, shape (all utterances,), and different, shape (all utterances × (speakers − 1),).
    """
    centroids = {speaker: normalised(e.mean(axis=0)) for speaker, e in embeddings.items()}
    same, different = [], []
    for speaker, e in embeddings.items():
        others = e.sum(axis=0) - e
        same.append((e * others).sum(axis=1) / np.linalg.norm(others, axis=1))
        different += [e @ centroid for other, centroid in centroids.items() if other != speaker]
    return np.concatenate(same), np.concatenate(different)


def equal_error_rate(same: Scores, different: Scores) -> float:
    """The rate, 0 … 1, at the threshold where false rejections and false acceptances are equally frequent.

    Where no threshold makes them exactly equal, the mean of the two at the nearest one.
    """
    thresholds = np.sort(np.concatenate([same, different]))
    rejected = np.searchsorted(np.sort(same), thresholds, side="left") / len(same)
    accepted = 1.0 - np.searchsorted(np.sort(different), thresholds, side="left") / len(different)
    nearest = int(np.argmin(np.abs(rejected - accepted)))
    return float(rejected[nearest] + accepted[nearest]) / 2.0
