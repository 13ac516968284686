"""A board's result: its methods ranked at one place of the grid, ties kept together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from benchmark.errors import UsageError
from benchmark.plumbing.words import seeds_said
from benchmark.report.boards import Board, Row
from benchmark.report.words import digits, interval
from benchmark.results.comparison import Line, compare_all, seeds_of
from benchmark.results.ranking import ranking
from benchmark.results.statistics import SIGNIFICANT, least_p
from benchmark.results.ties import POWERLESS, UNTESTED, WORSE, Ties, ranked_seeds


@dataclass(frozen=True)
class Score:
    """One contender's value: ``bounds`` is its 95 % interval, ``steps`` where it was taken, ``failed`` the utterances left out of it."""

    name: str
    value: str
    bounds: str
    steps: int
    failed: int
    seeds: str


@dataclass(frozen=True)
class Findings:
    """Attributes:
    metric: the one that the board opens with.
    shots: the most that any method was given.
    groups: methods from best to worst; those of a group tie with its first. If ``powerless``, what ``best_alone`` says.
    untold: methods that no test can tell from the first of the group that they would be in, because they share too few speakers with it.
    scale: toplines and floors, best first.
    seeds: the seeds that the ranking rests on.
    others: methods of other seeds, which are other models: best first, not ranked.
    powerless: the speakers are too few for tests of all pairs to show any difference, whatever the scores.
    best_alone: tests of the best method alone can: the first group holds it and its ties, the second those that it is better than.
        Without either, the groups hold one method each, by value.
    absent: methods that were not given so many shots, have no score there, or share no queries with the others.
    """

    metric: str
    shots: int
    groups: list[list[Score]]
    scale: list[Score]
    seeds: str
    others: list[Score]
    untold: list[Score]
    powerless: bool
    best_alone: bool
    absent: list[str]


def findings(board: Board, metric: str = "") -> Findings | None:
    """The ranking by a metric at the most shots, each method at its most steps; None if there is none.

    Steps are chosen by number, not by score, because the best of several scores would be too good.

    Args:
        board: the methods.
        metric: a column; "" for the one that the board opens with.
    """
    metric = metric or (board.metrics[0] if board.metrics else "")
    higher = board.known.higher_is_better(metric)
    if higher is None or board.known.metrics[metric] in board.unlike() or not board.shots:
        return None
    shots = board.shots[-1]
    last = {name: max((row for row in rows if int(row["shots"]) in (0, shots)), key=lambda row: (int(row["shots"]), int(row["steps"])))
            for name, rows in board.rows.items() if any(int(row["shots"]) in (0, shots) for row in rows)}  # fmt: skip
    last = {name: row for name, row in last.items() if row.get(metric)}
    places = digits(last.values(), metric)

    def scores(names: Sequence[str]) -> list[Score]:
        every = [(name, last[name]) for name in names]
        return [
            Score(name, f"{float(row[metric]):.{places}f}", interval(row, metric, places), int(row["steps"]),
                  int(row[f"{metric}_failed"]), seeds_said(seeds[name]))
            for name, row in every
        ]  # fmt: skip

    chosen = []
    for contender in board.contenders:
        if contender.name in last and not board.role(contender.name):
            frame, steps = contender.episodes, int(last[contender.name]["steps"])
            chosen.append(replace(contender, episodes=frame[(frame["shots"] == shots) & (frame["steps"] == steps)].assign(steps=0)))
    if not chosen:
        return None
    seeds = {one.name: seeds_of(one) for one in (*board.contenders, *chosen)}  # a method's seeds at this place only
    ranked = ranked_seeds([frozenset(seeds[one.name]) for one in chosen])
    others = [one.name for one in chosen if seeds[one.name] != ranked]
    chosen = [one for one in chosen if one.name not in others]
    try:
        lines = compare_all(chosen, {metric: higher}) if len(chosen) > 1 else []
        while 2 * len(lines) < len(chosen) * (len(chosen) - 1):
            # Some pairs share no scored query. No test compares them, which makes no tie, so drop the method with the fewest pairs.
            met = Counter(name for line in lines for name in (line.first, line.second))
            chosen.remove(min(reversed(chosen), key=lambda one: met[one.name]))
            lines = compare_all(chosen, {metric: higher})
    except UsageError:  # no query in common
        return None
    groups = ranking(chosen, lines, higher)
    tests = sum(not math.isnan(line.p) for line in lines)
    powerless = bool(lines) and least_p(max(line.found.speakers for line in lines), tests) > SIGNIFICANT
    untold: list[str] = []
    best_alone = False
    if powerless:
        order = [name for group in groups for name in group]
        groups, best_alone = _against_best(order, {one.name: one.episodes for one in chosen}, last, metric, higher)
    else:
        by_pair = {frozenset((line.first, line.second)): line for line in lines}
        untold = [name for group in groups for name in group[1:] if _is_blind(by_pair[frozenset((group[0], name))], tests)]
        groups = [[name for name in group if name not in untold] for group in groups]

    def by_value(names: Iterable[str]) -> list[Score]:
        return scores(sorted(names, key=lambda name: float(last[name][metric]), reverse=higher))

    scale = by_value(name for name in last if board.role(name))
    named = {*others, *(one.name for one in chosen)}
    absent = [one.name for one in board.contenders if not board.role(one.name) and one.name not in named]
    return Findings(
        metric, shots, [scores(names) for names in groups], scale, seeds_said(ranked), by_value(others), by_value(untold), powerless,
        best_alone, absent,
    )  # fmt: skip


def dissent(board: Board, found: Findings) -> list[Findings]:
    """The rankings by other columns that measure the same as the first ranking's, of those that rank the methods differently.

    Args:
        board: the methods.
        found: the ranking by the metric that the board opens with.
    """
    others = [other for first, other in board.known.same_question(board.metrics) if first == found.metric]
    seconds = [second for other in others if (second := findings(board, other)) is not None]
    return [second for second in seconds if _disagree(board, found, second)]


def _disagree(board: Board, found: Findings, second: Findings) -> bool:
    """Whether two rankings put the methods that both have into another order, or tell others apart."""
    names = _ranked(second)
    first: Findings | None = found
    if not _ranked(found) <= names:
        # The more methods, the more tests, and the less each shows; so rank by both metrics only what both have scored.
        kept = [one for one in board.contenders if board.role(one.name) or one.name in names]
        first = findings(replace(board, contenders=kept, rows={one.name: board.rows[one.name] for one in kept}), found.metric)
    return first is not None and _order(first) != _order(second)


def _ranked(found: Findings) -> set[str]:
    return {score.name for group in found.groups for score in group}


def _order(found: Findings) -> list[set[str]]:
    """What a ranking claims: groups from best to worst. Without tests it claims nothing, whatever the values."""
    if found.powerless and not found.best_alone:
        return [_ranked(found)]
    return [{score.name for score in group} for group in found.groups]


def _is_blind(line: Line, tests: int) -> bool:
    """Whether a pair shares so few speakers that no scores could have shown a difference; what is the same to the digit needs no test."""
    return line.found.difference.mean != 0 and (math.isnan(line.p) or least_p(line.found.speakers, tests) > SIGNIFICANT)


def _against_best(
    order: Sequence[str], episodes: Mapping[str, pd.DataFrame], rows: Mapping[str, Row], metric: str, higher: bool
) -> tuple[list[list[str]], bool]:
    """The best method with its ties, and those that it is better than; or each by itself, if not even these fewer tests can tell."""
    best, *others = order
    frames = {id(rows[name]): episodes[name] for name in order}
    ties = Ties(metric, higher, lambda row: frames[id(row)])
    words = [each.word for each in ties.verdicts(rows[best], [rows[name] for name in others])]
    if POWERLESS in words or UNTESTED in words:
        return [[name] for name in order], False
    beaten = [name for name, word in zip(others, words, strict=True) if word == WORSE]
    return [[name for name in order if name not in beaten], *([beaten] if beaten else [])], True
