"""The built-in forced aligner: a flat-start monophone HMM, like the first pass of the Montreal Forced Aligner.

Five left-to-right states per phone, one diagonal Gaussian each over 39 MFCCs; optional silence at both ends
and between words; Viterbi training (Rabiner, "A Tutorial on Hidden Markov Models", 1989, section VI) from an equal split.
``python -m tools.alignment_error`` measures how far its boundaries lie from true ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
import torchaudio

from benchmark.dataset import Segment
from benchmark.plumbing import checkpoint
from benchmark.utterance import SILENCE, Words

HOP_SECONDS = 0.005
STATES = 5
"""Each state takes at least one frame, so phones last at least 25 ms; with three states, one vowel in fourteen of real speech collapsed."""
PASSES = 15
"""Passes 11 to 15 still took the 90th percentile of the error on synthetic speech from 39 to 35 ms."""
FIT_UTTERANCES = 4000
"""Most utterances to train on; more add nothing to a few hundred Gaussians. The rest of a large corpus is only aligned."""
VARIANCE_FLOOR = 0.01

UNKNOWN = "<unk>"
"""Stands for phones not seen in training; modelled as average speech, so that the neighbours decide where it lies."""
NOISE = 3 / 32768
"""Standard deviation of the noise added to all audio, because digital silence would be unlike any other silence."""

STREAM_WEIGHTS = np.repeat(np.array([1.0, 0.3, 0.1], np.float32), 13)
"""Exponents of the likelihoods of cepstra, deltas and accelerations (streams, as in HTK). Deltas and accelerations see a change
20 to 40 ms off; at full weight, consonants claimed the onsets of vowels and the median error on synthetic speech doubled."""

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class CannotAlign(Exception):
    """An utterance is too short for its phones."""


@dataclass(frozen=True)
class AlignmentItem:
    """An utterance's features, shape (frames, 39), and its phones, word by word."""

    id: str
    features: Floats
    words: Words


def mfcc(audio: npt.NDArray[np.floating[Any]], sample_rate: int) -> Floats:
    """39 MFCCs (13, deltas, accelerations) every 5 ms from 20 ms windows, each normalised to mean 0, variance 1; (frames, 39).

    Args:
        audio: shape (samples,), float in [-1, 1].
        sample_rate: Hz.
    """
    noise = NOISE * np.random.default_rng(0).standard_normal(len(audio))
    cepstra = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy((audio + noise).astype(np.float32))[None] * 32768, sample_frequency=sample_rate, frame_length=20.0,
        frame_shift=1000 * HOP_SECONDS, num_ceps=13, num_mel_bins=26, snip_edges=False, dither=0.0, high_freq=0.0,
    ).T  # fmt: skip
    deltas = torchaudio.functional.compute_deltas(cepstra, win_length=9)
    features = torch.cat([cepstra, deltas, torchaudio.functional.compute_deltas(deltas, win_length=9)])
    features = (features - features.mean(1, keepdim=True)) / features.std(1, keepdim=True, correction=0).clamp_min(1e-3)
    return features.T.contiguous().numpy()


@dataclass(frozen=True)
class _Graph:
    """An utterance's states in order; ``states[i]`` indexes the model's states, ``skip[i]`` is an extra predecessor or -1."""

    states: Ints
    skip: Ints
    segment: Ints
    """For each state, the number of its phone in the utterance, -1 in silence."""


def _graph(words: Words, phones: dict[str, int]) -> _Graph:
    states: list[int] = []
    skip: list[int] = []
    segment: list[int] = []

    def add(phone: str, number: int, jump: int) -> None:
        for state in range(STATES):
            states.append(STATES * phones.get(phone, phones[UNKNOWN]) + state)
            skip.append(jump if state == 0 else -1)
            segment.append(number)

    add(SILENCE, -1, -1)
    number, after_pause = 0, -1
    for index, word in enumerate(words):
        if index:
            after_pause = len(states) - 1
            add(SILENCE, -1, -1)
        for phone in word:
            add(phone, number, after_pause)
            number, after_pause = number + 1, -1
    add(SILENCE, -1, -1)
    return _Graph(np.array(states), np.array(skip), np.array(segment))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _viterbi(scores: Floats, stay: Floats, leave: Floats, skip: Ints) -> Ints:
    """Best path, from scores (frames, states in order), log-probabilities of staying and leaving, and extra predecessors.

    The path may leave out the silence at either end, STATES states each.
    """
    frames, states = scores.shape
    best = np.full(states, -np.inf)
    best[0], best[STATES] = scores[0, 0], scores[0, STATES]
    back = np.zeros((frames, states), np.int32)
    for t in range(1, frames):
        for j in range(states - 1, -1, -1):
            value, source = best[j] + stay[j], j
            if j > 0 and best[j - 1] + leave[j - 1] > value:
                value, source = best[j - 1] + leave[j - 1], j - 1
            k = skip[j]
            if k >= 0 and best[k] + leave[k] > value:
                value, source = best[k] + leave[k], k
            # Sources lie at or before j, and j runs downwards, so none is overwritten yet.
            best[j] = value + scores[t, j]
            back[t, j] = source
    path = np.empty(frames, np.int64)
    last = states - 1 - STATES
    path[-1] = last if best[last] + leave[last] > best[-1] + leave[-1] else states - 1
    for t in range(frames - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path


class Aligner:
    """Trained Gaussians and transitions.

    Attributes:
        phones: index of each phone, including silence and unknown.
        mean, variance: (phones * STATES, 39).
        stay: (phones * STATES,) probability of staying in a state for another frame.
    """

    def __init__(self, phones: dict[str, int], mean: Floats, variance: Floats, stay: Floats) -> None:
        self.phones, self.mean, self.variance, self.stay = phones, mean, variance, stay

    @classmethod
    def fit(
        cls,
        items: Sequence[AlignmentItem],
        workers: int = 1,
        resume_folder: Path | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Aligner:
        """Train on ``items``; the result does not depend on ``workers``.

        Args:
            items: utterances; those too short are skipped.
            workers: threads.
            resume_folder: keeps each pass, so that a killed training can resume.
            progress: called with (passes done, passes in all).
        """
        phones = {name: i for i, name in enumerate([SILENCE, UNKNOWN, *sorted({p for i in items for w in i.words for p in w})])}
        usable = [item for item in items if len(item.features) >= _least_frames(item.words)][:FIT_UTTERANCES]
        if not usable:
            raise CannotAlign("no utterance is long enough for its phones")
        # Ignore passes kept from other data.
        origin = _fingerprint(usable) if resume_folder else ""
        aligner: Aligner | None = None
        with ThreadPoolExecutor(workers) as pool:
            for number in range(PASSES):
                kept = None if resume_folder is None else resume_folder / f"pass-{number}.pt"
                resumed = None if kept is None else checkpoint.load(kept, lambda state: (state["origin"], cls.from_state(state)))
                if resumed is not None and resumed[0] == origin:
                    aligner = resumed[1]
                else:
                    find = partial(_equal_split, phones=phones) if aligner is None else aligner._path
                    aligner = cls._estimate(phones, usable, list(pool.map(find, usable)))
                    if kept is not None:
                        checkpoint.save(kept, {"origin": origin, **aligner.state()})
                progress(number + 1, PASSES)
        assert aligner is not None
        return aligner

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"phones": self.phones, **{name: torch.from_numpy(getattr(self, name)) for name in ("mean", "variance", "stay")}}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Aligner:
        """The aligner from a :meth:`state`."""
        return cls(state["phones"], *(state[name].numpy() for name in ("mean", "variance", "stay")))

    @classmethod
    def _estimate(cls, phones: dict[str, int], items: Sequence[AlignmentItem], paths: Sequence[tuple[Ints, Ints]]) -> Aligner:
        """Means, variances and transitions from the frames and visits that the paths give each state."""
        size = STATES * len(phones)
        count, visits = np.zeros(size), np.zeros(size)
        total, square = np.zeros((size, items[0].features.shape[1])), np.zeros((size, items[0].features.shape[1]))
        for item, (states, entered) in zip(items, paths, strict=True):
            x = item.features.astype(np.float64)
            order = np.argsort(states, kind="stable")
            present, starts = np.unique(states[order], return_index=True)
            count[present] += np.diff([*starts, len(states)])
            total[present] += np.add.reduceat(x[order], starts)
            square[present] += np.add.reduceat(np.square(x[order]), starts)
            np.add.at(visits, entered, 1)
        everything = total.sum(0) / count.sum()
        overall = square.sum(0) / count.sum() - np.square(everything)
        # A few imaginary frames of average speech stabilise rare states.
        prior = 5.0
        weight = (count + prior)[:, None]
        mean = (total + prior * everything) / weight
        variance = (square + prior * (overall + np.square(everything))) / weight - np.square(mean)
        variance = np.maximum(variance, VARIANCE_FLOOR * overall)
        # An unseen state lasts as long as the others on average.
        stay = np.clip(1 - (visits + visits.sum() / count.sum()) / (count + 1), 0.05, 0.98)
        return cls(phones, mean.astype(np.float32), variance.astype(np.float32), stay.astype(np.float32))

    def _path(self, item: AlignmentItem) -> tuple[Ints, Ints]:
        """The state of each frame, and the states entered."""
        graph, path = self._search(item)
        return graph.states[path], graph.states[np.unique(path)]

    def _search(self, item: AlignmentItem) -> tuple[_Graph, Ints]:
        graph = _graph(item.words, self.phones)
        states, position = np.unique(graph.states, return_inverse=True)
        scores = self.scores(item.features, states)
        stay = self.stay[graph.states]
        path = _viterbi(np.ascontiguousarray(scores[:, position]), np.log(stay), np.log(1 - stay), graph.skip)
        return graph, path

    def scores(self, features: Floats, states: Ints) -> Floats:
        """Log-likelihoods of frames (frames, 39) in some states, by streams' weights and without a constant; (frames, states)."""
        precision = STREAM_WEIGHTS / self.variance[states]
        mean = self.mean[states]
        constant = (np.square(mean) * precision + STREAM_WEIGHTS * np.log(self.variance[states])).sum(1)
        scores: Floats = -0.5 * (np.square(features) @ precision.T - 2 * features @ (mean * precision).T + constant)
        return scores

    def places(self, item: AlignmentItem) -> tuple[Ints, Ints]:
        """The model's state in each frame, and the number of its phone in the utterance (-1 in silence), both (frames,).

        Raises:
            CannotAlign: the utterance is too short for its phones.
        """
        if len(item.features) < _least_frames(item.words):
            raise CannotAlign("too short for its phones")
        graph, path = self._search(item)
        return graph.states[path], graph.segment[path]

    def align(self, item: AlignmentItem) -> list[list[Segment]]:
        """Where each phone lies, word by word; pauses are the gaps between words.

        Raises:
            CannotAlign: the utterance is too short for its phones.
        """
        _, number = self.places(item)
        result: list[list[Segment]] = []
        index = 0
        for word in item.words:
            segments = []
            for phone in word:
                frames = np.flatnonzero(number == index)
                segments.append(Segment(phone, float(frames[0] * HOP_SECONDS), float((frames[-1] + 1) * HOP_SECONDS)))
                index += 1
            result.append(segments)
        return result


def _least_frames(words: Words) -> int:
    return STATES * sum(map(len, words))


def _fingerprint(items: Sequence[AlignmentItem]) -> str:
    """SHA-256 of all that training depends on."""
    state = hashlib.sha256(repr((HOP_SECONDS, STATES, PASSES, VARIANCE_FLOOR, STREAM_WEIGHTS.tolist())).encode())
    for item in items:
        state.update(repr((item.id, item.words)).encode())
        state.update(np.ascontiguousarray(item.features).tobytes())
    return state.hexdigest()


def _equal_split(item: AlignmentItem, phones: dict[str, int]) -> tuple[Ints, Ints]:
    """Flat start: at each end silence of 60 ms (at most a tenth of the utterance), the rest split equally, no pauses."""
    names = [SILENCE, *(phone for word in item.words for phone in word), SILENCE]
    states = np.array([STATES * phones[name] + state for name in names for state in range(STATES)])
    frames = len(item.features)
    edge = min(round(0.06 / HOP_SECONDS), frames // 10)
    inner = states[STATES:-STATES]
    middle = inner[np.arange(frames - 2 * edge) * len(inner) // (frames - 2 * edge)]
    ends = np.arange(edge) * STATES // max(edge, 1)
    return np.concatenate([states[:STATES][ends], middle, states[-STATES:][ends]]), states
