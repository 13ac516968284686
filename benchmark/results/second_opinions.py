"""Where columns that measure the same by different instruments disagree on who is better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from benchmark.plumbing.words import listed
from benchmark.results.comparison import CURVE, Line
from benchmark.results.verdicts import place

ADVICE = "Columns that measure the same by different instruments should agree: claim only what all of them show."


def disagreements(lines: Sequence[Line], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences on pairs of contenders that two columns judge differently, then what to make of it; none if the columns agree.

    A place where only one of the columns was compared tells nothing.

    Args:
        lines: of a whole comparison.
        pairs: columns that measure the same (:meth:`benchmark.results.columns.KnownColumns.same_question`).
    """
    sentences = []
    for pair in pairs:
        mine, theirs = ({(line.shots, line.steps, line.first, line.second): line for line in lines if line.metric == name} for name in pair)
        both = sorted((where for where in mine if where in theirs), key=lambda where: (where[0], where[1] == CURVE, where[1]))
        told: dict[str, list[str]] = {}
        for _, here in groupby(both, key=lambda where: where[:2]):
            judged = [(mine[where], theirs[where]) for where in here]
            for what in _differences(judged):
                told.setdefault(what, []).append(place(judged[0][0]))
        sentences += [f"At {', '.join(places)}: {what}." for what, places in told.items()]
    return [*sentences, ADVICE] if sentences else []


def _differences(judged: Sequence[tuple[Line, Line]]) -> Iterator[str]:
    """What two columns contradict each other on at one place, and what only one of them shows, as parts of sentences."""
    one, other = (line.metric for line in judged[0])
    if reverse := [_order(mine) for mine, theirs in judged if mine.better and theirs.better and mine.better != theirs.better]:
        yield f"{one} shows {listed(reverse)}, and {other} shows the reverse"
    alone = (
        (one, other, [_order(mine) for mine, theirs in judged if mine.better and not theirs.better]),
        (other, one, [_order(theirs) for mine, theirs in judged if theirs.better and not mine.better]),
    )
    if shown := [f"{this} shows {listed(orders)}, and {that} does not" for this, that, orders in alone if orders]:
        yield "; ".join(shown)


def _order(line: Line) -> str:
    return f"{line.better} > {line.second if line.better == line.first else line.first}"
