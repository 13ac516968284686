"""Where leaderboards are: the committed ones, and which files a name or a path means."""

from __future__ import annotations

import csv
from pathlib import Path

import benchmark
from benchmark.errors import UsageError
from benchmark.plugins.registry import normalise, suggest
from benchmark.results.leaderboard_file import PROTOCOL_FOLDERS, STUDY_FOLDERS, title


def folder() -> Path:
    """The checkout's ``leaderboards/``; without a checkout, the one in the working directory."""
    root = Path(__file__).resolve().parents[2]
    return (root if (root / "pyproject.toml").is_file() else Path()) / "leaderboards"


def _committed() -> list[Path]:
    return list(dict.fromkeys([folder().resolve(), *(Path(root, "leaderboards").resolve() for root in benchmark.__path__)]))


def is_committed(path: Path) -> bool:
    """Whether a table lies where the committed ones do."""
    place = path.resolve().parent
    return (place if title(path) == path.stem else place.parent) in _committed()


def _is_synthetic(path: Path) -> bool:
    """Whether a table's first row says so; a table that can't be read is told of where it is used."""
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        return next(csv.DictReader(stream), {}).get("synthetic") == "true"


def table_files(wanted: str | None, every: bool = False) -> list[Path]:
    """The CSV files that ``wanted`` names: all, a dataset's (of the newest protocol that has one), or the one with this path.

    Those of the newest protocol come first, then those of real speech, then those of synthesis by speaker.

    Args:
        wanted: "speechocean762", "protocol-1/speechocean762", a path, or None for all.
        every: whether all of them are those of older protocols and of studies too, and not only each dataset's newest.

    Raises:
        UsageError: there is none.
    """
    if wanted and (wanted.endswith(".csv") or Path(wanted).is_file()):
        return [Path(wanted)]
    newest: dict[str, Path] = {}
    titled: dict[str, Path] = {}
    for root in reversed(_committed()):
        titled |= {normalise(title(path)): path for path in sorted(root.glob(f"{STUDY_FOLDERS}*/*.csv"))}
        former = sorted(root.glob(f"{PROTOCOL_FOLDERS}*/*.csv"), key=lambda path: (len(path.parent.name), path))
        for path in (*former, *sorted(root.glob("*.csv"))):
            newest[normalise(path.stem)] = titled[normalise(title(path))] = path
    found = {**titled, **newest}
    if wanted is None and found:
        those = (titled if every else newest).values()
        return sorted(those, key=lambda path: (title(path) != path.stem, _is_synthetic(path), "-" in path.stem))
    if wanted and normalise(wanted) in found:
        return [found[normalise(wanted)]]
    if wanted is None:
        raise UsageError(f"There is no leaderboard in {folder()} yet; 'leaderboard add RUN...' makes one.")
    if own := [path for path in Path("runs").glob("*.csv") if normalise(path.stem) == normalise(wanted)]:
        raise UsageError(f"There is no committed leaderboard of '{wanted}'; for the one of your own runs, give its path, {own[0]}.")
    there = suggest(wanted, sorted({*map(title, titled.values()), *(path.stem for path in newest.values())}))
    raise UsageError(f"There is no leaderboard of '{wanted}'{there} For your own runs, name the CSV file beside them.")
