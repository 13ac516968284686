"""Who has enough utterances, for an episode or for a training task: one rule for ``run``, ``tune``, ``prepare`` and ``check``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.plumbing.words import counted

CENTROID = 2
"""Utterances of a held-out target that are neither support nor query of an episode, at least: they make its centroid."""
NAMED = 6
"""Of whom or what a sentence lists."""


@dataclass(frozen=True)
class Sizes:
    """What is drawn for each held-out target.

    Attributes:
        shots: support utterances of an episode.
        queries: its query utterances.
        episodes: of each target.
    """

    shots: int
    queries: int
    episodes: int = 1


@dataclass(frozen=True)
class Need:
    """What a target must have.

    Attributes:
        purpose: what for, "5 shots, 2 queries and a centroid of 2".
        advice: what to do where nobody has it.
        utterances: in all.
        sentences: of them, that differ from one another; 0 where repetitions serve as well.
        queries: of the sentences, that most targets don't say.
    """

    purpose: str
    advice: str
    utterances: int
    sentences: int = 0
    queries: int = 0

    def fitting(self, texts: Sequence[str], shared: Collection[str] = ()) -> int:
        """How many of a target's utterances fit, up to as many as are needed: a sentence too few is an utterance too few.

        Args:
            texts: what the utterances say, normalised.
            shared: sentences that most targets say.
        """
        different = set(texts)
        missing = (
            self.utterances - len(texts), self.sentences - len(different), self.queries - len(different.difference(shared)),
        )  # fmt: skip
        return self.utterances - max(0, *missing)


def for_episode(sizes: Sizes) -> Need:
    """What a held-out target needs: support and queries that all say something else, and utterances for its centroid."""
    sentences = sizes.shots + sizes.queries
    said = f"{counted(sizes.shots, 'shot')}, {counted(sizes.queries, 'query', 'queries')} and a centroid of {CENTROID}"
    advice = "ask for fewer --shots or --evaluation.queries, or record more"
    return Need(said, advice, sentences + CENTROID, sentences, sizes.queries)


def for_task(support: int, query: int) -> Need:
    """What a training target needs, for tasks of that many support and query utterances."""
    return Need(f"a task's support of {support} and query of {query}", "lower meta.support or meta.query", support + query)


def normalised(text: str) -> str:
    """A text's letters and digits, case-folded; two sentences are the same if these are."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def shared_sentences(texts: Mapping[str, Mapping[str, Collection[str]]]) -> set[str]:
    """Sentences that more than half of all targets read, and more than one: models hear them in training.

    Args:
        texts: of each split's targets, normalised.
    """
    every = [set(some) for split in texts.values() for some in split.values()]
    counts = Counter(text for some in every for text in some)
    return {text for text, count in counts.items() if count > max(1, len(every) / 2)}


def lacking(texts: Mapping[str, Sequence[str]], need: Need, shared: Collection[str] = ()) -> dict[str, str]:
    """The targets that have too little, and how much: "4" utterances, or "8 of 12 fit" where sentences repeat.

    Args:
        texts: what the utterances of each target say, normalised.
        need: what a target must have.
        shared: sentences that most targets say.
    """
    fitting = {name: need.fitting(some, shared) for name, some in texts.items()}
    return {
        name: str(count) if count == len(texts[name]) else f"{count} of {len(texts[name])} fit"
        for name, count in fitting.items()
        if count < need.utterances
    }


def left_out(found: Mapping[str, str], among: int, kind: str, need: Need) -> str:
    """One sentence about the targets that are left out; "" if none is.

    Args:
        found: as :func:`lacking` gives them.
        among: how many targets there are.
        kind: of target, in the plural: "test speakers".
        need: what they lack.
    """
    return f"{_who(found, among, kind, need)} and {'is' if len(found) == 1 else 'are'} left out: {_names(found)}." if found else ""


def none_left(found: Mapping[str, str], kind: str, need: Need) -> str:
    """The sentence where nobody has enough; arguments as of :func:`left_out`."""
    return f"{_who(found, len(found), kind, need)}: {_names(found)}; {need.advice}."


def role(counts: Mapping[str, int], name: str) -> str:
    """What a corpus that can't be used alone is good for, one sentence; "" if a run can use it alone.

    Args:
        counts: speakers of each split.
        name: of the dataset.
    """
    held = counts["validation"] + counts["test"]
    if counts["train"] < 2 and held:
        return (
            f"{name} has {counted(counts['train'], 'training speaker')}, too few to learn from: a run adapts to its "
            f"{counted(held, 'held-out speaker')} with --pretrain.dataset NAME, one or several corpora to learn from."
        )
    if not counts["test"]:
        return f"{name} has no test speakers, so it can only be learned from: run --pretrain.dataset {name}."
    return ""


def told(texts: Mapping[str, Mapping[str, Sequence[str]]], asked: Sequence[Sizes], task: Need) -> Iterator[str]:
    """Sentences about the speakers whom runs of several sizes would leave out.

    Args:
        texts: of each split's speakers, normalised.
        asked: the runs' sizes, smallest first.
        task: what training tasks need.
    """
    shared = shared_sentences(texts)
    for split, some in texts.items():
        kind = f"{'training' if split == 'train' else split} speakers"
        for need in [task] if split == "train" else [for_episode(sizes) for sizes in asked]:
            found = lacking(some, need, shared)
            if found and len(found) == len(some):
                yield none_left(found, kind, need)
                break  # larger runs have nobody either
            if found:
                yield left_out(found, len(some), kind, need)


def _who(found: Mapping[str, str], among: int, kind: str, need: Need) -> str:
    have = "has" if len(found) == 1 else "have"
    return f"{len(found)} of {among} {kind} {have} fewer than the {need.utterances} utterances that {need.purpose} need"


def _names(found: Mapping[str, str]) -> str:
    names = [f"{name} ({count})" for name, count in sorted(found.items())]
    return ", ".join([*names[:NAMED], *(["…"] if len(names) > NAMED else [])])
