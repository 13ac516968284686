"""What a corpus holds and whether a run could use it, without preparing it: ``check NAME --data-root DIR``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

from benchmark.audio import SAMPLE_RATE, from_int16
from benchmark.data.chunks import make_chunks
from benchmark.data.drafts import Chunk, draft
from benchmark.data.enough import Need, Sizes, for_episode, lacking, normalised, role, shared_sentences, told
from benchmark.dataset import SPLITS, Dataset
from benchmark.errors import BenchmarkError, CannotScore
from benchmark.scoring.ge2e import embed
from benchmark.scoring.verification import Floats, centroid, equal_error_rate, verification_trials

VOICE_UTTERANCES = 8
"""Utterances per speaker, spread over all, whose voice is compared with the other speakers'."""
ALIKE = 0.98
"""Likeness of two speakers, relative to that of either's own recordings, from which they may be one voice. Of 125 real speakers, each
under two ids with 8 recordings, 87 % reach it; of 7,750 pairs of different ones, 2."""
NEAR = 0.95
"""The same, of centroids: a pair below it can't be alike."""
EXAMPLES = 3


@dataclass
class Survey:
    """What was found.

    Attributes:
        lines: to print.
        problems: why a run could not use the corpus, one sentence each.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class _Tally:
    """Of one split: the seconds of each usable utterance, and what each speaker says in them, normalised."""

    seconds: dict[str, float] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class _Reading:
    """What reading all speakers found.

    Attributes:
        tallies: by split.
        rates: recordings by sample rate.
        skipped: utterances by the reason why they can't be used.
        refused: the same of TextGrids.
        holders: who has a recording, by its audio's digest and by split.
        voices: embeddings by speaker.
    """

    tallies: dict[str, _Tally] = field(default_factory=lambda: {split: _Tally() for split in SPLITS})
    rates: Counter[int] = field(default_factory=Counter)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    holders: dict[str, dict[str, str]] = field(default_factory=dict)
    voices: dict[str, Floats] = field(default_factory=dict)

    def add(self, chunk: Chunk, dataset: Dataset) -> None:
        """Read a speaker."""
        drafts = draft(chunk, dataset)
        for reasons, pairs in ((self.skipped, drafts.skipped), (self.refused, drafts.refused)):
            for each, reason in pairs:
                reasons.setdefault(reason, []).append(each)
        for kept in drafts.kept:
            digest = hashlib.sha256(kept.audio.tobytes()).hexdigest()
            self.holders.setdefault(digest, {})[chunk.split] = f"{kept.id} of {chunk.speaker}"
        self.rates.update(_rates(chunk))
        tally = self.tallies[chunk.split]
        tally.seconds |= {each.id: len(each.audio) / SAMPLE_RATE for each in drafts.kept}
        if drafts.kept:
            tally.texts[chunk.speaker] = [normalised(each.text) for each in drafts.kept]
        if (heard := _voice([from_int16(each.audio) for each in drafts.kept])) is not None:
            self.voices[chunk.speaker] = heard


def survey(
    name: str, dataset: Dataset, asked: Sequence[Sizes], task: Need, show: Callable[[float], object] = lambda done: None
) -> Survey:
    """Read everything once.

    Args:
        name: of the dataset plugin.
        dataset: opened on its data root.
        asked: sizes of the runs that might use it, smallest first.
        task: what their training tasks need.
        show: called with the share that is done.
    """
    try:
        chunks = make_chunks(dataset, None, 0)
    except BenchmarkError as error:
        return Survey(problems=[str(error)])
    reading = _Reading()
    for number, chunk in enumerate(chunks, 1):
        reading.add(chunk, dataset)
        show(number / len(chunks))
    texts = {split: tally.texts for split, tally in reading.tallies.items()}
    lines = [
        *_counts(reading.tallies), *_told(reading.rates), *(f"  {sentence}" for sentence in told(texts, asked, task)),
        *_reasons("skipped", reading.skipped), *_reasons("TextGrids refused, aligned without them,", reading.refused),
        *_leaks(reading.holders), *_doubles(reading.voices),
    ]  # fmt: skip
    if not texts["validation"]:
        lines.append("  there are no validation speakers, so nothing can be tuned on them")
    if any(texts.values()) and (sentence := role({split: len(some) for split, some in texts.items()}, name)):
        lines.append(f"  {sentence}")
    return Survey(lines, list(_problems(texts, for_episode(asked[0]), task)))


def _problems(texts: dict[str, dict[str, list[str]]], episode: Need, task: Need) -> Iterator[str]:
    """Why no run could use a corpus of which each split's speakers say ``texts``."""
    if not any(texts.values()):
        yield "there are no speakers with usable audio"
    if len(texts["train"]) > 1 and len(lacking(texts["train"], task)) == len(texts["train"]):
        yield f"no training speaker has the {task.utterances} utterances that {task.purpose} need; {task.advice}"
    if texts["test"] and len(lacking(texts["test"], episode, shared_sentences(texts))) == len(texts["test"]):
        yield f"no test speaker has the {episode.utterances} utterances that {episode.purpose} need; {episode.advice}"


def _counts(tallies: dict[str, _Tally]) -> Iterator[str]:
    for split, tally in tallies.items():
        hours = sum(tally.seconds.values()) / 3600
        yield f"  {split:<10} {len(tally.texts):>4} speakers  {len(tally.seconds):>6} utterances  {hours:.2f} h"
    every = {name: length for tally in tallies.values() for name, length in tally.seconds.items()}
    if every:
        short, long = min(every, key=every.__getitem__), max(every, key=every.__getitem__)
        yield f"  shortest {every[short]:.2f} s ({short}), longest {every[long]:.2f} s ({long})"


def _rates(chunk: Chunk) -> Iterator[int]:
    for utterance in chunk.utterances:
        try:
            if utterance.audio is not None:
                with utterance.audio.open("rb") as stream:  # libsndfile accepts only UTF-8 names
                    yield soundfile.info(stream).samplerate
        except (soundfile.LibsndfileError, OSError, ValueError):
            continue  # counted as corrupt where it is decoded


def _told(rates: Counter[int]) -> Iterator[str]:
    if rates:
        yield "  sample rates: " + ", ".join(f"{rate} Hz ({count})" for rate, count in rates.most_common())


def _reasons(title: str, lost: dict[str, list[str]]) -> Iterator[str]:
    for reason, names in sorted(lost.items()):
        yield f"  {title} {len(names)}: {reason} ({_examples(names)})"


def _examples(names: Sequence[str]) -> str:
    return f"{', '.join(names[:EXAMPLES])}{', …' if len(names) > EXAMPLES else ''}"


def _leaks(holders: dict[str, dict[str, str]]) -> Iterator[str]:
    """Recordings that speakers of different splits hold; ``holders`` names who, by the audio's digest and the split."""
    shared = [" and ".join(f"{who} ({split})" for split, who in some.items()) for some in holders.values() if len(some) > 1]
    if shared:
        yield f"  the same recording is in two splits, {len(shared)} time{'s' if len(shared) > 1 else ''}: {_examples(shared)}"


def _voice(recordings: Sequence[np.ndarray]) -> Floats | None:
    """Embeddings of some recordings, shape (N, 256); None where fewer than two have enough voice."""
    found = []
    for audio in recordings[:: max(1, len(recordings) // VOICE_UTTERANCES)][:VOICE_UTTERANCES]:
        try:
            found.append(embed(audio))
        except CannotScore:
            continue
    return np.stack(found) if len(found) > 1 else None


def _doubles(voices: dict[str, Floats]) -> Iterator[str]:
    """Pairs of speakers who are as alike as the recordings of either are among themselves: perhaps one voice under two ids."""
    if len(voices) < 2:
        return
    same, different = verification_trials(voices)
    yield f"  voices: an encoder errs on {equal_error_rate(same, different):.1%} of them (equal error rate)"
    names = sorted(voices)
    centroids = np.stack([centroid(voices[name]) for name in names])
    own = np.array([_consistency(voices[name], 0) for name in names])
    # Centroids are nearer to each other than the recordings behind them: few pairs are left to compare.
    for one, other in np.argwhere(np.triu(centroids @ centroids.T > NEAR * np.minimum.outer(own, own), 1)):
        pair = voices[names[one]], voices[names[other]]
        size = min(map(len, pair)) - 1
        likeness = float(np.mean(np.concatenate([pair[0] @ centroid(pair[1], size), pair[1] @ centroid(pair[0], size)])))
        if likeness > ALIKE * min(_consistency(vectors, size) for vectors in pair):
            yield (
                f"  one voice under two ids? {names[one]} and {names[other]} are as alike (cosine {likeness:.3f}) as the recordings of one "
                f"of them are"
            )


def _consistency(vectors: Floats, size: int) -> float:
    """Mean cosine of a speaker's recordings, each to the centroid of ``size`` others."""
    return float(np.mean([vector @ centroid(vectors, size, but=number) for number, vector in enumerate(vectors)]))
