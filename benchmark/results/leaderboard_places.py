"""Where leaderboards are: the committed ones, and which files a name or a path means."""

from __future__ import annotations

from pathlib import Path

import benchmark
from benchmark.errors import UsageError
from benchmark.plugins.registry import normalise, suggest


def folder() -> Path:
    """The checkout's ``leaderboards/``; without a checkout, the one in the working directory."""
    root = Path(__file__).resolve().parents[2]
    return (root if (root / "pyproject.toml").is_file() else Path()) / "leaderboards"


def _committed() -> list[Path]:
    return list(dict.fromkeys([folder().resolve(), *(Path(root, "leaderboards").resolve() for root in benchmark.__path__)]))


def is_committed(path: Path) -> bool:
    """Whether a table lies where the committed ones do."""
    return path.resolve().parent in _committed()


def table_files(wanted: str | None) -> list[Path]:
    """The CSV files that ``wanted`` names: all, a dataset's, or the one with this path.

    Raises:
        UsageError: there is none.
    """
    if wanted and (wanted.endswith(".csv") or Path(wanted).is_file()):
        return [Path(wanted)]
    found = {normalise(path.stem): path for place in reversed(_committed()) for path in sorted(place.glob("*.csv"))}
    if wanted is None and found:
        return list(found.values())
    if wanted and normalise(wanted) in found:
        return [found[normalise(wanted)]]
    if wanted is None:
        raise UsageError(f"There is no leaderboard in {folder()} yet; 'leaderboard add RUN...' makes one.")
    if own := [path for path in Path("runs").glob("*.csv") if normalise(path.stem) == normalise(wanted)]:
        raise UsageError(f"There is no committed leaderboard of '{wanted}'; for the one of your own runs, give its path, {own[0]}.")
    there = suggest(wanted, sorted(path.stem for path in found.values()))
    raise UsageError(f"There is no leaderboard of '{wanted}'{there} For your own runs, name the CSV file beside them.")
