"""Contenders in order, ties together, from the comparisons between all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from benchmark.results.comparison import CURVE, Contender, Line
from benchmark.results.verdicts import place

LEGEND = (
    "~: no difference is shown from the first of its group, though there may be one. >: a difference is shown from the first of the group "
    "before. For other pairs see the lines above."
)


def rankings(chosen: Sequence[Contender], lines: Sequence[Line], metrics: Mapping[str, bool]) -> Iterator[str]:
    """The order at each place where all pairs were compared, "gap_closed, 5 shots and 20 steps: a ~ b > c"."""
    places = sorted(lines, key=lambda line: (line.metric, line.shots, line.steps == CURVE, line.steps))
    pairs = len(chosen) * (len(chosen) - 1) // 2
    for (metric, shots, _), group in groupby(places, key=lambda line: (line.metric, line.shots, line.steps)):
        # Two algorithms without a support set differ by the same at any number of shots.
        here = [*group, *(line for line in lines if shots and not line.shots and line.metric == metric)]
        if len(here) == pairs:
            groups = ranking(chosen, here, metrics[metric])
            yield f"{metric}, {place(here[0])}: {' > '.join(' ~ '.join(names) for names in groups)}"


def ranking(chosen: Sequence[Contender], lines: Sequence[Line], higher_is_better: bool) -> list[list[str]]:
    """Groups of names from best to worst; those in a group tie with its best, because no test tells them apart from it.

    Args:
        chosen: what was compared.
        lines: one for each pair, all at one metric, shots and steps.
        higher_is_better: of the metric.
    """
    sign = 1 if higher_is_better else -1
    wins = {contender.name: 0.0 for contender in chosen}
    differ = set()
    for line in lines:
        # Mean differences on common queries add up, so their sums order the contenders by their means.
        wins[line.first] += sign * line.found.difference.mean
        wins[line.second] -= sign * line.found.difference.mean
        if line.better is not None:
            differ.add(frozenset((line.first, line.second)))
    groups: list[list[str]] = []
    for name in sorted(wins, key=lambda name: -wins[name]):
        if groups and frozenset((groups[-1][0], name)) not in differ:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups
