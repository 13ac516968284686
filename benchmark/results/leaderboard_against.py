"""A column of a leaderboard that its rows don't hold: the paired difference to one method at the same shots and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.plugins.registry import suggest
from benchmark.results.leaderboard_names import labels, one_configuration, rows_named
from benchmark.results.leaderboard_rules import SETTING
from benchmark.results.row_episodes import RowEpisodes

Rows = list[dict[str, str]]


def with_difference(path: Path, rows: Rows, every: Sequence[dict[str, str]], against: str, metric: str) -> tuple[Rows, str]:
    """The rows with one column more, as a metric's (mean and both ends of its interval), and its name.

    A cell is empty where the method has no row of the same preset, models, shots and steps, nor any seed in common, where runs are
    not at hand, and in the method's own rows.

    Args:
        path: the table, whose runs are read.
        rows: those to show.
        every: all rows of the table.
        against: the method, "finetune" (its most tuned configuration), or one configuration of it, "finetune:d37ca7c2".
        metric: a column of scores.

    Raises:
        UsageError: the table has no such method, or several configurations of it could be meant.
        BenchmarkError: a run is damaged.
    """
    from benchmark.results.statistics import compare

    theirs = rows_named(every, against)
    if not theirs:
        raise UsageError(f"{path} has no rows of {against}{suggest(against, sorted({row['algorithm'] for row in every}))}")
    theirs, name = one_configuration(against, path, theirs, [metric]), theirs[0]["algorithm"]
    place = ("shots", "steps", *SETTING)
    partners = {tuple(row[each] for each in place): row for row in reversed(theirs)}  # citable rows come first, and stay
    label = labels(every)[every.index(theirs[0])]
    column, episodes, found = f"{metric}-{label}", RowEpisodes(path), []
    for row in rows:
        cells = {"": "", "_lo": "", "_hi": "", "_failed": ""}
        partner = partners.get(tuple(row[each] for each in place))
        if partner is not None and (row["algorithm"], row["options"]) != (name, partner["options"]):
            ours, other = episodes(row), episodes(partner)
            if ours is not None and other is not None:
                paired = compare(ours, other, metric, True).difference
                numbers = {"": paired.mean, "_lo": paired.low, "_hi": paired.high}
                cells |= {end: "" if math.isnan(value) else f"{value:.4f}" for end, value in numbers.items()}
        found.append({**row, **{f"{column}{end}": cell for end, cell in cells.items()}})
    return found, column
