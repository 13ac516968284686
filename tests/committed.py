"""The committed tables, wherever they are: beside those of the present protocol, older ones and studies have folders."""

from __future__ import annotations

from pathlib import Path

from benchmark.results.leaderboard_file import PROTOCOL_FOLDERS

FOLDER = Path(__file__).resolve().parents[1] / "leaderboards"
TABLES = [*sorted(FOLDER.glob("*.csv")), *sorted(FOLDER.glob("*/*.csv"))]


def of_protocol_1(name: str) -> Path:
    """The table of a dataset that protocol 1 made, for tests that know its numbers."""
    former = FOLDER / f"{PROTOCOL_FOLDERS}1" / f"{name}.csv"
    return former if former.is_file() else FOLDER / f"{name}.csv"
