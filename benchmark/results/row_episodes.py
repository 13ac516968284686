"""The scores behind a leaderboard's rows: those sentences of its runs that a row is the mean of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.results.leaderboard import run_folder

if TYPE_CHECKING:
    import pandas as pd


class RowEpisodes:
    """Reads each run at most once.

    Args:
        path: the table.
        places: more folders that hold run folders; the table's folder and ``runs/`` in it are always searched.
    """

    def __init__(self, path: Path, places: Sequence[Path] = ()) -> None:
        self.path, self.places = path, places
        self._runs: dict[str, pd.DataFrame | None] = {}
        self._processors: dict[str, str] = {}

    def __call__(self, row: dict[str, str]) -> pd.DataFrame | None:
        """The row's sentences, as :func:`~benchmark.results.statistics.estimate` takes them; None if not all of its runs are at hand.

        Raises:
            BenchmarkError: a run is damaged.
        """
        import pandas as pd

        runs = [self._run(name) for name in row["run_ids"].split()]
        if not runs or any(run is None for run in runs):
            return None
        frame = pd.concat([run for run in runs if run is not None], ignore_index=True)
        return frame[(frame["shots"] == int(row["shots"])) & (frame["steps"] == int(row["steps"]))].drop_duplicates()

    def processors(self, rows: Sequence[dict[str, str]]) -> list[str]:
        """Those that computed the rows, as far as their runs are at hand and were read."""
        names = {name for row in rows for name in row["run_ids"].split()}
        return sorted({self._processors[name] for name in names & self._processors.keys()})

    def _run(self, name: str) -> pd.DataFrame | None:
        from benchmark.results.result import read_result, read_tables

        if name not in self._runs:
            folder = run_folder(self.path, name, self.places)
            self._runs[name] = None
            if folder is not None:
                result = read_result(folder)
                self._runs[name] = read_tables(folder, result)[0]
                self._processors[name] = result["hardware"].get("processor", "an unknown one")
        return self._runs[name]
