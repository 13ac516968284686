"""A board's first answer: which method is best with so many sentences and so much time, and what is on the Pareto fronts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from benchmark.plumbing.durations import in_words
from benchmark.plumbing.words import counted, listed
from benchmark.report.boards import Board, Row
from benchmark.report.tables import COSTS, Entry, Heading, Table, TableCell
from benchmark.report.words import digits, interval
from benchmark.results.best import FRONTS, Answer, Methods
from benchmark.results.costs import brief
from benchmark.results.ties import POWERLESS, TIE, UNTESTED, Ties


@dataclass(frozen=True)
class Choices:
    """What a reader who has to choose needs first.

    Attributes:
        metric: by which methods are chosen.
        grid: for each number of sentences and each budget, the best method, and what ties with it.
        fronts: for each cost, the methods and steps on the Pareto front at the most sentences, cheapest first.
        points: the rows on the front of each cost that charts draw, cheapest first.
        shots: the most sentences.
        tied: somewhere a method ties with the best one.
        powerless: somewhere the speakers are too few for tests to tell the best method from others.
        others: methods of other seeds, which are not ranked.
    """

    metric: str
    grid: Table
    fronts: dict[str, Table]
    points: dict[str, list[Row]]
    shots: int
    tied: bool
    powerless: bool
    others: list[str]


def choices(board: Board) -> Choices | None:
    """The answer by the metric that the board opens with; None if its scores can't be compared, or no method was scored."""
    metric = board.metrics[0] if board.metrics else ""
    higher = board.known.higher_is_better(metric)
    if higher is None or metric in board.known.rates or board.known.metrics[metric] in board.unlike():
        return None
    rows = {one.name: board.rows[one.name] for one in board.contenders if not board.role(one.name)}
    methods = Methods(rows, Ties(metric, higher, lambda row: _episodes(board, row)))
    if not methods.rows:
        return None
    budgets = methods.budgets(methods.shots)
    answers = {shots: [methods.answer(shots, budget) for budget in budgets] for shots in methods.shots}
    places = digits((row for own in methods.rows.values() for row in own), metric)
    heads = [Heading("sentences"), *(Heading(_within(budget), words=True) for budget in budgets)]
    entries = [Entry(TableCell(str(shots), shots), [_cell(answer, metric, places) for answer in own]) for shots, own in answers.items()]
    most = methods.shots[-1]
    fronts = {cost: methods.front(most, cost) for cost in (*FRONTS, "flops_to_adapt")}
    every = [answer for own in answers.values() for answer in own]
    return Choices(
        metric, Table(heads, entries), {cost: _front(cost, fronts[cost], metric, places) for cost in FRONTS},
        {cost: [row for _, row in found] for cost, found in fronts.items()}, most,
        any(answer.with_verdict(TIE) for answer in every), any(answer.with_verdict(POWERLESS) for answer in every),
        sorted({pick.name for answer in every for pick in answer.others}),
    )  # fmt: skip


def _episodes(board: Board, row: Row) -> pd.DataFrame | None:
    names = set(row["run_ids"].split())
    for contender in board.contenders:
        if names & {folder.name for folder in contender.folders}:
            frame = contender.episodes
            return frame[(frame["shots"] == int(row["shots"])) & (frame["steps"] == int(row["steps"]))]
    return None


def _within(budget: float) -> str:
    return "no steps" if budget == 0 else "any time" if math.isinf(budget) else f"up to {_unbroken(in_words(budget))}"


def _unbroken(quantity: str) -> str:
    """A number and its unit, which stay on one line."""
    return quantity.replace(" ", "\N{NO-BREAK SPACE}")


def _cell(answer: Answer, metric: str, places: int) -> TableCell:
    if not answer.choices:
        return TableCell("–", "", "nothing is so quick")
    best, tied = answer.choices[0], answer.with_verdict(TIE)
    lost, untested = answer.with_verdict(POWERLESS), answer.with_verdict(UNTESTED)
    told = [f"{best.value:.{places}f}, {_unbroken(counted(best.steps, 'step'))}, {_unbroken(brief(best.cost('seconds_to_adapt')) + ' s')}"]
    told += [f"tied with {listed([pick.name for pick in tied])}"] if tied else []
    told += [f"not separable from {counted(len(lost), 'other')} with this many speakers"] if lost else []
    told += [f"not tested against {counted(len(untested), 'other')}"] if untested else []
    return TableCell(best.name, best.name, "; ".join(told))


def _front(cost: str, found: list[tuple[str, Row]], metric: str, places: int) -> Table:
    heads = [Heading("method"), Heading("steps"), Heading(metric), Heading(COSTS[cost][0], COSTS[cost][1], arrow="↓")]
    return Table(heads, [
        Entry(TableCell(name, name), [
            TableCell(row["steps"], int(row["steps"])),
            TableCell(f"{float(row[metric]):.{places}f}", float(row[metric]), interval(row, metric, places)),
            TableCell(brief(float(row[cost])), float(row[cost])),
        ]) for name, row in found
    ])  # fmt: skip
