"""A free phone loop over the aligner's models: the phones that explain speech best if nobody says what the text is."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from benchmark.data.aligner import STATES, UNKNOWN, Aligner, AlignmentItem

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def goodness(aligner: Aligner, item: AlignmentItem) -> npt.NDArray[np.float64]:
    """How well each phone of the text explains the frames that forced alignment gives it, (phones,); 0 is as well as any.

    The mean over the phone's frames of their log-likelihood in the forced path minus that in the best path through the loop
    (Witt & Young, "Phone-level pronunciation scoring and assessment for interactive language learning", 2000, equation 3; the sign
    is kept, so that higher is better).

    Raises:
        CannotAlign: the utterance is too short for its phones.
    """
    states, number = aligner.places(item)
    scores = aligner.scores(item.features, np.arange(len(aligner.stay)))
    frames = np.arange(len(scores))
    difference = (scores[frames, states] - scores[frames, best_path(aligner, scores)]).astype(np.float64)
    spoken = number >= 0
    return np.bincount(number[spoken], difference[spoken]) / np.bincount(number[spoken])


def best_path(aligner: Aligner, scores: npt.NDArray[Any]) -> Ints:
    """The state of each frame, (frames,), on the best path through all phones in any order, silence among them, all equally likely.

    Args:
        aligner: gives the transitions.
        scores: (frames, states), of all of the aligner's states.
    """
    known = scores.astype(np.float64)
    # It stands for phones that training speech lacks, models average speech, and so explains a mumble best.
    first = STATES * aligner.phones[UNKNOWN]
    known[:, first : first + STATES] = -np.inf
    stay = aligner.stay.astype(np.float64)
    path: Ints = _viterbi(known, np.log(stay), np.log(1 - stay))
    return path


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _viterbi(scores: npt.NDArray[np.float64], stay: npt.NDArray[np.float64], leave: npt.NDArray[np.float64]) -> Ints:
    """Best path that begins at any phone's start, ends at any phone's end, and goes from each end to each start."""
    frames, states = scores.shape
    best = np.full(states, -np.inf)
    best[::STATES] = scores[0, ::STATES]
    back = np.zeros((frames, states), np.int32)
    for t in range(1, frames):
        end = STATES - 1
        for j in range(end, states, STATES):
            if best[j] + leave[j] > best[end] + leave[end]:
                end = j
        entered = best[end] + leave[end]
        for j in range(states - 1, -1, -1):
            value, source = best[j] + stay[j], j
            moved, origin = (entered, end) if j % STATES == 0 else (best[j - 1] + leave[j - 1], j - 1)
            if moved > value:
                value, source = moved, origin
            # Sources lie before j, which runs downwards, or are known already, so none is overwritten yet.
            best[j] = value + scores[t, j]
            back[t, j] = source
    path = np.empty(frames, np.int64)
    path[-1] = STATES - 1
    for j in range(STATES - 1, states, STATES):
        if best[j] > best[path[-1]]:
            path[-1] = j
    for t in range(frames - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path
