"""Which rows tie with the best one: paired tests between the sentences behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.results.leaderboard_names import who
from benchmark.results.leaderboard_rules import MIN_SEEDS

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.results.statistics import Comparison

Row = dict[str, str]
BEST, TIE, WORSE, POWERLESS, UNTESTED = "best", "tie", "worse", "not separable", "not tested"


@dataclass(frozen=True)
class Standing:
    """How a row stands to the best one.

    Attributes:
        word: ``BEST``; ``WORSE``: a difference is shown; ``TIE``: none is shown, by a test that could have shown one, or both are the same
            to the digit; ``POWERLESS``: so few speakers can't show one, whatever their scores; ``UNTESTED``: a run behind the rows is not
            at hand, or they share no scored sentence.
        p: of the paired test, Holm-corrected over the tests with the best one; NaN if not tested.
        detectable: true difference that the test, uncorrected, shows with probability .8; NaN if not tested.
    """

    word: str
    p: float = math.nan
    detectable: float = math.nan


class Ties:
    """Paired tests of one column between rows, each done once.

    The tests are those of ``compare`` (:func:`benchmark.results.statistics.compare`). Holm's method corrects for the rows that the best
    one is tested against. A method that is really the best is called worse in less than 5 % of answers, although the scores chose which
    one to test against: those not worse are a subset that holds the best one (Gupta, "On Some Multiple Decision (Selection and Ranking)
    Rules", Technometrics 1965). A test simulates it.

    Args:
        metric: column.
        higher_is_better: of this column.
        episodes: gives the sentences behind a row, or None.
    """

    def __init__(self, metric: str, higher_is_better: bool, episodes: Callable[[Row], pd.DataFrame | None]) -> None:
        self.metric, self.higher_is_better, self.episodes = metric, higher_is_better, episodes
        self._done: dict[tuple[object, object], Comparison | None] = {}

    def verdicts(self, best: Row, others: Sequence[Row]) -> list[Standing]:
        """How each of the others stands to the best one."""
        from benchmark.results.statistics import SIGNIFICANT, holm, least_p

        found = [self._compared(best, other) for other in others]
        adjusted = holm([math.nan if one is None else one.p for one in found])
        tests, verdicts = sum(not math.isnan(p) for p in adjusted), []
        for one, p in zip(found, adjusted, strict=True):
            if one is None or not one.difference.n:
                verdicts.append(Standing(UNTESTED))
            elif p <= SIGNIFICANT and (one.difference.mean > 0) == self.higher_is_better:
                verdicts.append(Standing(WORSE, p))
            elif math.isnan(p) and one.difference.mean == 0:  # the same to the digit
                verdicts.append(Standing(TIE))
            elif least_p(one.speakers, tests) > SIGNIFICANT:
                verdicts.append(Standing(POWERLESS, p))
            else:
                verdicts.append(Standing(TIE, p, one.detectable))
        return verdicts

    def _compared(self, best: Row, other: Row) -> Comparison | None:
        from benchmark.results.statistics import compare

        key = _key(best), _key(other)
        if key not in self._done:
            ours, theirs = self.episodes(best), self.episodes(other)
            self._done[key] = None if ours is None or theirs is None else compare(ours, theirs, self.metric, self.higher_is_better)
        return self._done[key]


def would_show(detectable: Iterable[float]) -> str:
    """What tests that showed nothing could have shown, in brackets; "" if there was no test."""
    sizes = [f"{size:.2g}" for size in detectable if not math.isnan(size)]
    if not sizes:
        return ""
    span = " to ".join(dict.fromkeys([min(sizes, key=float), max(sizes, key=float)]))
    return f" (80 % of such tests, uncorrected, would show a true one of {span})"


def _key(row: Row) -> tuple[object, ...]:
    return who(row), row["shots"], row["steps"], row["run_ids"]


def ranked_seeds(sets: Collection[frozenset[int]]) -> frozenset[int]:
    """The set of seeds whose methods are ranked, because other seeds are other models: large enough for a row, then the commonest."""
    counts = Counter(sets)
    return max(counts, key=lambda own: (min(len(own), MIN_SEEDS), counts[own], len(own), -min(own, default=0)))
