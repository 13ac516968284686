"""Is a run folder whole? Its files can be read, and its result is that of its episodes."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.results.episode_log import set_aside
from benchmark.results.episode_tables import COSTS_FILE, EPISODES_FILE, read_costs, read_episodes
from benchmark.results.result import Contradiction, check_curve, read_result


def is_sound(folder: Path) -> bool:
    """Whether a complete run's files can be used; if not, says why, and removes what would contradict the results to come."""
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
