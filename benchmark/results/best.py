"""Which method is best with so many sentences and so many seconds, from a leaderboard's rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.results.leaderboard_rules import seeds_behind
from benchmark.results.ties import BEST, Row, Standing, Ties, ranked_seeds

BUDGETS = (0.0, 1.0, 5.0, 20.0, 60.0, 300.0, math.inf)
"""Seconds of adaptation that a table of answers asks about; those that allow nothing more than the one before are left out."""


@dataclass(frozen=True)
class Pick:
    """A method at its best number of steps within a budget.

    Attributes:
        name: of the method.
        row: of the leaderboard.
        value: of the metric.
        verdict: how it stands to the best method.
        cheapest: by each cost of ``FRONTS``, whether it is on the Pareto front: no method at any number of steps within the budget scores
            as well for less.
    """

    name: str
    row: Row
    value: float
    verdict: Standing
    cheapest: Mapping[str, bool]

    @property
    def steps(self) -> int:
        """Adaptation steps."""
        return int(self.row["steps"])

    def cost(self, column: str) -> float:
        """A cost; NaN if it was not measured."""
        return float(self.row[column] or math.nan)


FRONTS = ("seconds_to_adapt", "stored_parameters")
"""Costs against which quality has a Pareto front."""


@dataclass(frozen=True)
class Answer:
    """The methods within a budget.

    Attributes:
        shots: support utterances.
        budget: seconds of adaptation; 0 allows no steps, infinity any number.
        choices: those that are ranked, best first.
        others: those of other seeds, which are other models: by value, not ranked.
    """

    shots: int
    budget: float
    choices: list[Pick]
    others: list[Pick]

    def with_verdict(self, word: str) -> list[Pick]:
        """The ranked methods with this verdict."""
        return [pick for pick in self.choices if pick.verdict.word == word]


class Methods:
    """The methods of one table, whose rows can be compared with one another.

    Args:
        rows: each method's rows, by its name; no toplines or floors.
        ties: the tests between rows, by the metric that ranks.
    """

    def __init__(self, rows: Mapping[str, Sequence[Row]], ties: Ties) -> None:
        self.ties, metric = ties, ties.metric
        self.rows = {name: [row for row in own if int(row["shots"]) and row.get(metric)] for name, own in rows.items()}
        self.rows = {name: own for name, own in self.rows.items() if own}

    @property
    def shots(self) -> list[int]:
        """Numbers of support utterances in the rows."""
        return sorted({int(row["shots"]) for own in self.rows.values() for row in own})

    def budgets(self, shots: Sequence[int]) -> list[float]:
        """Those of ``BUDGETS`` that allow a method of the commonest seeds more than the one before, at any of these numbers of shots."""
        every = [row for own in self.rows.values() for row in own if int(row["shots"]) in shots]
        seeds = ranked_seeds([seeds_behind(row) for row in every])
        kept, most = [], 0
        for budget in BUDGETS:
            allowed = sum(_allows(budget, row) for row in every if seeds_behind(row) == seeds)
            if allowed > most:
                kept.append(budget)
                most = allowed
        return kept

    def quickest(self, shots: int) -> tuple[str, float]:
        """The method that adapts in the fewest seconds with so many shots, and how many; infinity if nothing was measured."""
        times = {name: min((_seconds(row) for row in own), default=math.inf) for name, own in self._within(shots, math.inf).items()}
        return min(times.items(), key=lambda each: each[1], default=("", math.inf))

    def answer(self, shots: int, budget: float) -> Answer:
        """The methods at so many shots, each at the steps within the budget at which it scores best; of equal scores, the quickest.

        Choosing by the scores themselves flatters a little, and those with many steps to choose from more than those with none.

        Args:
            shots: support utterances.
            budget: seconds of adaptation by the column ``seconds_to_adapt``; 0 allows what takes no steps, infinity everything.
        """
        within = self._within(shots, budget)
        chosen = {name: min(own, key=lambda row: (-self._quality(row), _seconds(row), int(row["steps"]))) for name, own in within.items()}
        order = sorted(chosen, key=lambda name: (-self._quality(chosen[name]), _seconds(chosen[name]), name))
        seeds = ranked_seeds([seeds_behind(row) for row in chosen.values()]) if chosen else frozenset()
        ranked = [name for name in order if seeds_behind(chosen[name]) == seeds]
        every = [row for name in ranked for row in within[name]]
        verdicts = [Standing(BEST), *self.ties.verdicts(chosen[ranked[0]], [chosen[name] for name in ranked[1:]])] if ranked else []

        def pick(name: str, verdict: Standing, cheapest: Mapping[str, bool]) -> Pick:
            return Pick(name, chosen[name], float(chosen[name][self.ties.metric]), verdict, cheapest)

        choices = [
            pick(name, verdict, {cost: self.on_front(chosen[name], every, cost) for cost in FRONTS})
            for name, verdict in zip(ranked, verdicts, strict=True)
        ]
        return Answer(shots, budget, choices, [pick(name, Standing(""), {}) for name in order if name not in ranked])

    def front(self, shots: int, cost: str) -> list[tuple[str, Row]]:
        """The ranked methods' rows at so many shots that are on the Pareto front of quality against a cost, cheapest first."""
        ranked = [pick.name for pick in self.answer(shots, math.inf).choices]
        within = self._within(shots, math.inf)
        every = [row for name in ranked for row in within[name]]
        kept = [(name, row) for name in ranked for row in within[name] if self.on_front(row, every, cost)]
        return sorted(kept, key=lambda each: (float(each[1][cost]), each[0]))

    def on_front(self, row: Row, every: Sequence[Row], cost: str) -> bool:
        """Whether no other row scores at least as well for less, or better for as much; a row without the cost is not on the front."""
        if not row[cost]:
            return False
        own = float(row[cost]), -self._quality(row)
        others = [(float(other[cost]), -self._quality(other)) for other in every if other[cost]]
        return not any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in others)

    def _within(self, shots: int, budget: float) -> dict[str, list[Row]]:
        """Each method's rows at so many shots that the budget allows; of methods that have any."""
        found = {name: [row for row in own if int(row["shots"]) == shots and _allows(budget, row)] for name, own in self.rows.items()}
        return {name: own for name, own in found.items() if own}

    def _quality(self, row: Row) -> float:
        return float(row[self.ties.metric]) * (1 if self.ties.higher_is_better else -1)


def _allows(budget: float, row: Row) -> bool:
    return int(row["steps"]) == 0 if budget == 0 else math.isinf(budget) or _seconds(row) <= budget


def _seconds(row: Row) -> float:
    return float(row["seconds_to_adapt"] or math.inf)
