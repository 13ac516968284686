"""Is a run folder whole? Its files can be read, and its result is that of its episodes."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmark.errors import BenchmarkError
from benchmark.results.episode_log import set_aside
from benchmark.results.episode_tables import COSTS_FILE, EPISODES_FILE, REPAIR, metric_columns, read_costs, read_episodes

if TYPE_CHECKING:
    import pandas as pd


class Contradiction(BenchmarkError):
    """Result and episodes are whole and disagree."""


def check_curve(folder: Path, result: Mapping[str, Any], episodes: pd.DataFrame) -> None:
    """A result's means and counts must be those of its episodes; equal error rates, which are no means, are left to their rows.

    Args:
        folder: of the run, for messages.
        result: its ``result.json``.
        episodes: its ``episodes.csv``.

    Raises:
        BenchmarkError: the result is garbled, or episodes are missing.
        Contradiction: both are whole and disagree.
    """
    columns = metric_columns(list(episodes.columns))
    levels = ["shots", "steps", "speaker", "episode"]
    means = episodes.groupby(levels)[columns].mean()
    while len(levels) > 2:
        levels.pop()
        means = means.groupby(levels).mean()
    try:
        said: dict[Any, Any] = {(point["shots"], point["steps"]): point["metrics"] for point in result["curve"]}
        rows = {key: {metrics[column]["n"] + metrics[column]["n_failed"] for column in columns} for key, metrics in said.items()}
        found = cast(dict[Any, int], episodes.groupby(["shots", "steps"]).size().to_dict())
        missing = any(found.get(key, 0) < max(counts) for key, counts in rows.items())
        same = rows == {key: {count} for key, count in found.items()} and all(
            math.isclose(math.nan if (value := said[key][column]["mean"]) is None else value, mean, rel_tol=1e-6, abs_tol=1e-9)
            or (value is None and math.isnan(mean))
            for key, row in means.iterrows()
            for column, mean in row.items()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchmarkError(f"{folder / 'result.json'} lacks or garbles 'curve'; {REPAIR}.") from error
    if missing:
        raise BenchmarkError(f"{folder / EPISODES_FILE} lacks episodes that the result.json beside it counts; {REPAIR}.")
    if not same:
        raise Contradiction(f"{folder / 'result.json'} and the {EPISODES_FILE} beside it disagree; {REPAIR}.")


def is_sound(folder: Path) -> bool:
    """Whether a complete run's files can be used; if not, says why, and leaves nothing that contradicts what will be done anew."""
    from benchmark.results.result import read_result

    try:
        result = read_result(folder)
        read_costs(folder / COSTS_FILE)
        check_curve(folder, result, read_episodes(folder / EPISODES_FILE))
    except Contradiction:
        # Nobody can tell which of the two is right.
        set_aside(folder / EPISODES_FILE, "it disagrees with the result.json beside it")
        (folder / EPISODES_FILE).unlink()
        return False
    except BenchmarkError as error:
        print(f"Going on with a run that was complete: {str(error).partition(';')[0]}.", file=sys.stderr)
        return False
    return True
