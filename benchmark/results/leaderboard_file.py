"""The file of a leaderboard: its columns, and reading it with the type of every cell checked."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import BenchmarkError
from benchmark.results import cells
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard_rules import ASSUMED
from benchmark.task import TASK_KINDS, TaskKind

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ("algorithm", "backbone", "vocoder", "preset", "status", "shots", "steps", "seeds", "speakers", "episodes")
PROVENANCE = (
    "synthetic", "settings", "tuned", "options", "data_version", "manifest_hash", "protocol_version", "metric_versions", "facts", "run_ids",
    *ASSUMED,
)  # fmt: skip
NEEDED = ("algorithm", "shots", "steps")
"""Without these a file is no leaderboard."""
PROTOCOL_FOLDERS = "protocol-"
"""How the folders begin that hold the tables of older protocols, beside those of the present one."""
STUDY_FOLDERS = "study-"
"""How the folders begin that hold tables of one question, whose runs differ in more than the algorithm or have budgets of their own."""
CHECKS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("shots", "steps", "seeds", "speakers", "episodes"), cells.whole),
    **dict.fromkeys(("algorithm", "backbone", "vocoder", "preset"), cells.name),
    **dict.fromkeys(COSTS, cells.amount),
    "run_ids": lambda cell: [cells.name(each) for each in cell.split(" ") if cell],
}
"""What the columns hold, beside those of metrics; all others hold text."""


def title(path: Path) -> str:
    """What a table is called: "speechocean762"; with its folder, "protocol-1/speechocean762", if an older protocol or a study made it."""
    folder = path.resolve().parent.name
    return f"{folder}/{path.stem}" if folder.startswith((PROTOCOL_FOLDERS, STUDY_FOLDERS)) else path.stem


def task_of(path: Path) -> TaskKind:
    """The task whose results a table holds, by its name: "espeak-recognition-language" is by language, without a word by speaker."""
    return TASK_KINDS[next((word for word in path.stem.split("-") if word in TASK_KINDS), "speaker")]


def read(path: Path) -> list[dict[str, str]]:
    """A leaderboard's rows; columns that the file lacks are empty or as they were before there were such columns, unknown columns are kept.

    Raises:
        BenchmarkError: there is no such file, or it is not a leaderboard; the message names line and column.
    """
    return _read(path)[0]


def frame(path: Path) -> pd.DataFrame:
    """A leaderboard as a table: counts as whole numbers, scores and costs as floats (NaN where there is none), all else as text.

    Raises:
        BenchmarkError: as for :func:`read`.
    """
    import pandas as pd

    rows = read(path)
    table = pd.DataFrame(rows, columns=list(rows[0]) if rows else [*IDENTITY, *COSTS, *PROVENANCE])
    for name, check in _checks(list(map(str, table))).items():
        if check in (cells.whole, _whole_or_none):
            table[name] = pd.to_numeric(table[name]).astype("Int64" if check is _whole_or_none else "int64")
        elif check in (cells.number, cells.amount):
            table[name] = pd.to_numeric(table[name]).astype(float)
    return table


def run_ids(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The ids of the runs that rows were made from, each once, in the rows' order."""
    return list(dict.fromkeys(run_id for row in rows for run_id in row["run_ids"].split()))


def lacking_columns(path: Path) -> list[str]:
    """Columns that leaderboards have and this file does not."""
    return _read(path)[1]


def _read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets put a byte order mark before the first name
            reader = csv.DictReader(stream)
            rows, header = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BenchmarkError(f"There is no readable leaderboard at {path} ({reason}); name a dataset, or a table by 'add'.") from error
    if twice := [name for name in header if header.count(name) > 1]:
        raise BenchmarkError(f"{path} has the column {twice[0][:40]!r} twice; restore the file.")
    for name in NEEDED:
        if name not in header:
            raise BenchmarkError(f"{path} is not a leaderboard: its first line has no column {name!r}.")
    checks = _checks(header)
    metrics = [f"{metric}{end}" for metric in _metrics(header) for end in ("", "_lo", "_hi", "_failed")]
    lacking = [name for name in (*IDENTITY, *metrics, *COSTS, *PROVENANCE) if name not in (*header, *ASSUMED)]
    later = {name: value for name, value in ASSUMED.items() if name not in header}
    for number, row in enumerate([dict(zip(header, header, strict=True)), *rows], 1):
        if None in row or None in row.values():
            raise BenchmarkError(f"{path}, line {number}, is not a leaderboard row; restore the file.")
        if wrong := _wrong(row, checks if number > 1 else dict.fromkeys(header, cells.name)):
            where = f"{wrong[0]} is" if number > 1 else "a column is called"
            raise BenchmarkError(f"{path}, line {number}: {where} {wrong[1]}; restore the file.")
    for row in rows:
        row |= dict.fromkeys(lacking, "") | later
    return rows, lacking


def wrong_cell(row: Mapping[str, str]) -> str:
    """The first cell of a row that :func:`read` would refuse, and why, as part of a sentence; "" if there is none."""
    return " is ".join(_wrong(row, _checks(list(row))))


def _checks(header: Sequence[str]) -> dict[str, Callable[[str], object]]:
    checks = {**dict.fromkeys(header, cells.text), **CHECKS}
    for metric in _metrics(header):
        checks |= {metric: cells.number, f"{metric}_lo": cells.number, f"{metric}_hi": cells.number, f"{metric}_failed": _whole_or_none}
    return checks


def _wrong(row: Mapping[str, str], checks: Mapping[str, Callable[[str], object]]) -> tuple[str, ...]:
    """The first wrong cell's column, and what is wrong with it; nothing if all are right."""
    for name, cell in row.items():
        try:
            checks[name](cell)
        except ValueError as error:
            return name[:40], f"{cell[:40]!r}, which is not {error}"
    return ()


def _whole_or_none(cell: str) -> None:
    if cell:
        cells.whole(cell)


def metrics_in(rows: Sequence[dict[str, str]]) -> list[str]:
    """The metrics' columns, in order."""
    return _metrics(rows[0] if rows else ())


def _metrics(header: Iterable[str]) -> list[str]:
    names = list(header)
    return [name for name in names if f"{name}_lo" in names or f"{name}_failed" in names]
