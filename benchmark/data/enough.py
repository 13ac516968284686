"""Who has enough utterances, for an episode or for a training task: one rule for ``run``, ``tune``, ``prepare`` and ``check``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from benchmark.plumbing.words import counted

CENTROID = 2
"""Utterances of a held-out target that are neither support nor query of an episode, at least: they make its centroid."""
NAMED = 6
"""Of whom or what a sentence lists."""
_LANGUAGES = {False: ("", ""), True: (" in one language", " in another")}
"""What a sentence says of support and queries, by whether they are in two languages."""
Said = Sequence[str] | Mapping[str, Sequence[str]]
"""What a target's utterances say, normalised; by language where support and queries are in two languages."""


@dataclass(frozen=True)
class Sizes:
    """What is drawn for each held-out target.

    Attributes:
        shots: support utterances of an episode.
        queries: its query utterances.
        episodes: of each target.
        centroid: utterances beside an episode's that make the target's centroid, at least; 0 where nothing is compared with one.
    """

    shots: int
    queries: int
    episodes: int = 1
    centroid: int = CENTROID


@dataclass(frozen=True)
class Need:
    """What a target must have.

    Attributes:
        purpose: what for, "5 shots, 2 queries and a centroid of 2".
        advice: what to do where nobody has it.
        utterances: in all.
        sentences: of them, that differ from one another; 0 where repetitions serve as well.
        queries: of the sentences, that most targets don't say.
        across: support utterances in one language, and query utterances in another; None where languages don't matter.
    """

    purpose: str
    advice: str
    utterances: int
    sentences: int = 0
    queries: int = 0
    across: tuple[int, int] | None = None

    def fitting(self, said: Said, shared: Collection[str] = ()) -> int:
        """How many of a target's utterances fit, up to as many as are needed: a sentence too few is an utterance too few.

        Args:
            said: what the utterances say; by language with ``across``, where the best pair of languages counts.
            shared: sentences that most targets say.
        """
        if isinstance(said, Mapping):
            return max((self._fitting(said, pair, shared) for pair in permutations(said, 2)), default=0)
        different = set(said)
        missing = (
            self.utterances - len(said), self.sentences - len(different), self.queries - len(different.difference(shared)),
        )  # fmt: skip
        return self.utterances - max(0, *missing)

    def pairs(self, said: Mapping[str, Sequence[str]], shared: Collection[str] = ()) -> list[tuple[str, str]]:
        """The languages that support and queries can be in; arguments as of :meth:`fitting`."""
        return [pair for pair in permutations(said, 2) if self._fitting(said, pair, shared) == self.utterances]

    def _fitting(self, said: Mapping[str, Sequence[str]], pair: tuple[str, str], shared: Collection[str]) -> int:
        assert self.across is not None, "only what is asked for in two languages is told by language"
        support, query = (said[language] for language in pair)
        heard, asked = len(support), len(query)
        if self.sentences:
            heard, asked = len(set(support).difference(query)), len(set(query).difference(shared))
        missing = self.utterances - sum(map(len, said.values())), self.across[0] - heard, self.across[1] - asked
        return self.utterances - max(0, *missing)


def for_episode(sizes: Sizes, crosses: bool = False) -> Need:
    """What a held-out target needs: support and queries that all say something else, and utterances for its centroid.

    Args:
        sizes: of its episodes.
        crosses: support and queries are in two languages.
    """
    sentences, one, other = sizes.shots + sizes.queries, *_LANGUAGES[crosses]
    queries = counted(sizes.queries, "query", "queries")
    parts = [f"{counted(sizes.shots, 'shot')}{one}", f"{queries}{other}", *([f"a centroid of {sizes.centroid}"] if sizes.centroid else [])]
    said = " and ".join([", ".join(parts[:-1]), parts[-1]])
    advice = "ask for fewer --shots or --evaluation.queries, or record more"
    return Need(said, advice, sentences + sizes.centroid, sentences, sizes.queries, (sizes.shots, sizes.queries) if crosses else None)


def for_task(support: int, query: int, crosses: bool = False) -> Need:
    """What a training target needs, for tasks of that many support and query utterances, in two languages if it ``crosses``."""
    one, other = _LANGUAGES[crosses]
    said = f"a task's support of {support}{one} and query of {query}{other}"
    return Need(said, "lower meta.support or meta.query", support + query, across=(support, query) if crosses else None)


def normalised(text: str) -> str:
    """A text's letters and digits, case-folded; two sentences are the same if these are."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _flat(said: Said) -> Sequence[str]:
    return [text for some in said.values() for text in some] if isinstance(said, Mapping) else said


def shared_sentences(texts: Mapping[str, Mapping[str, Said]]) -> set[str]:
    """Sentences that more than half of all targets read, and more than one: models hear them in training.

    Args:
        texts: of each split's targets, normalised.
    """
    every = [set(_flat(said)) for split in texts.values() for said in split.values()]
    counts = Counter(text for some in every for text in some)
    return {text for text, count in counts.items() if count > max(1, len(every) / 2)}


def lacking(texts: Mapping[str, Said], need: Need, shared: Collection[str] = ()) -> dict[str, str]:
    """The targets that have too little, and how much: "4" utterances, or "8 of 12 fit" where sentences repeat.

    Args:
        texts: what the utterances of each target say, normalised.
        need: what a target must have.
        shared: sentences that most targets say.
    """
    fitting = {name: need.fitting(said, shared) for name, said in texts.items()}
    totals = {name: len(_flat(said)) for name, said in texts.items()}
    return {
        name: str(count) if count == totals[name] else f"{count} of {totals[name]} fit"
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
    return f"{_who(found, len(found), kind, need)}: {_names(found)}; {need.advice}{_suiting(found, need)}."


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


def told(texts: Mapping[str, Mapping[str, Said]], asked: Sequence[Sizes], task: Need) -> Iterator[str]:
    """Sentences about the speakers whom runs of several sizes would leave out.

    Args:
        texts: of each split's speakers, normalised.
        asked: the runs' sizes, smallest first.
        task: what training tasks need.
    """
    shared = shared_sentences(texts)
    for split, some in texts.items():
        kind = f"{'training' if split == 'train' else split} speakers"
        for need in [task] if split == "train" else [for_episode(sizes, task.across is not None) for sizes in asked]:
            found = lacking(some, need, shared)
            if found and len(found) == len(some):
                yield none_left(found, kind, need)
                break  # larger runs have nobody either
            if found:
                yield left_out(found, len(some), kind, need)


def _who(found: Mapping[str, str], among: int, kind: str, need: Need) -> str:
    have = "has" if len(found) == 1 else "have"
    return f"{len(found)} of {among} {kind} {have} fewer than the {need.utterances} utterances that {need.purpose} need"


def _suiting(found: Mapping[str, str], need: Need) -> str:
    """How many shots all of them have enough for; "" if that is none, or if it is not about shots."""
    shots = need.sentences - need.queries - need.utterances + min(int(count.split()[0]) for count in found.values())
    return f" (all have enough for --shots {shots})" if need.sentences and need.across is None and shots > 0 else ""


def _names(found: Mapping[str, str]) -> str:
    return first_few([f"{name} ({count})" for name, count in sorted(found.items())])


def first_few(names: Sequence[str]) -> str:
    """The first ``NAMED`` of these names, and "…" if there are more."""
    return ", ".join([*names[:NAMED], *(["…"] if len(names) > NAMED else [])])
