"""What a corpus holds and whether a run could use it, without preparing it: ``check NAME --data-root DIR``."""

from __future__ import annotations

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
    result = Survey()
    try:
        chunks = make_chunks(dataset, None, 0)
    except BenchmarkError as error:
        result.problems.append(str(error))
        return result
    tallies = {split: _Tally() for split in SPLITS}
    rates: Counter[int] = Counter()
    lost: dict[str, list[str]] = {}
    voices: dict[str, Floats] = {}
    for number, chunk in enumerate(chunks, 1):
        drafts = draft(chunk, dataset)
        for each, reason in [*drafts.skipped, *((each, f"TextGrid refused: {reason}") for each, reason in drafts.refused)]:
            lost.setdefault(reason, []).append(each)
        rates.update(_rates(chunk))
        tally = tallies[chunk.split]
        tally.seconds |= {each.id: len(each.audio) / SAMPLE_RATE for each in drafts.kept}
        if drafts.kept:
            tally.texts[chunk.speaker] = [normalised(each.text) for each in drafts.kept]
        if (heard := _voice([from_int16(each.audio) for each in drafts.kept])) is not None:
            voices[chunk.speaker] = heard
        show(number / len(chunks))
    texts = {split: tally.texts for split, tally in tallies.items()}
    short = told(texts, asked, task)
    result.lines = [*_counts(tallies), *_told(rates), *(f"  {sentence}" for sentence in short), *_reasons(lost), *_doubles(voices)]
    if not texts["validation"]:
        result.lines.append("  there are no validation speakers, so nothing can be tuned on them")
    if not any(texts.values()):
        result.problems.append("there are no speakers with usable audio")
    elif sentence := role({split: len(some) for split, some in texts.items()}, name):
        result.lines.append(f"  {sentence}")
    least = for_episode(asked[0])
    if texts["test"] and len(lacking(texts["test"], least, shared_sentences(texts))) == len(texts["test"]):
        result.problems.append(f"no test speaker has the {least.utterances} utterances that {least.purpose} need")
    return result


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
                yield soundfile.info(utterance.audio).samplerate
        except (soundfile.LibsndfileError, OSError):
            continue  # counted as corrupt where it is decoded


def _told(rates: Counter[int]) -> Iterator[str]:
    if rates:
        yield "  sample rates: " + ", ".join(f"{rate} Hz ({count})" for rate, count in rates.most_common())


def _reasons(lost: dict[str, list[str]]) -> Iterator[str]:
    for reason, names in sorted(lost.items()):
        yield f"  skipped {len(names)}: {reason} ({', '.join(names[:EXAMPLES])}{', …' if len(names) > EXAMPLES else ''})"


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
    """Pairs of speakers who are as alike as one speaker's own recordings are: perhaps one voice under two ids."""
    if len(voices) < 2:
        return
    same, different = verification_trials(voices)
    yield f"  voices: an encoder errs on {equal_error_rate(same, different):.1%} of them (equal error rate)"
    centroids = {speaker: centroid(vectors) for speaker, vectors in voices.items()}
    names = sorted(voices)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            likeness = float(np.mean([*(voices[one] @ centroids[other]), *(voices[other] @ centroids[one])]))
            if likeness > same.mean():
                yield f"  one voice under two ids? {one} and {other} are as alike (cosine {likeness:.3f}) as one speaker's recordings are"
