"""Checks that a complete run's folder is sound: its files are readable, and its result follows from its episodes."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.results.episode_log import set_aside
from benchmark.results.episode_tables import COSTS_FILE, EPISODES_FILE, read_costs, read_episodes
from benchmark.results.result import Contradiction, check_curve, read_result


def is_sound(folder: Path) -> bool:
    """Whether a complete run's files can be used; if not, prints why, and removes files that would contradict the new results."""
    try:
        result = read_result(folder)
        read_costs(folder / COSTS_FILE)
        check_curve(folder, result, read_episodes(folder / EPISODES_FILE))
    except Contradiction:
        # There is no way to tell which of the two is right.
        set_aside(folder / EPISODES_FILE, "it disagrees with the result.json beside it")
        (folder / EPISODES_FILE).unlink()
        return False
    except BenchmarkError as error:
        print(f"Resuming a run that was complete: {str(error).partition(';')[0]}.", file=sys.stderr)
        return False
    return True
