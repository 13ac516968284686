"""Which runs are meant by paths of run folders, and by algorithms that have rows in a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins.registry import normalise, suggest
from benchmark.plumbing.words import listed
from benchmark.results import leaderboard_file
from benchmark.results.leaderboard import run_folder as behind
from benchmark.results.leaderboard_names import differences, one_configuration, rows_named, who
from benchmark.results.leaderboard_places import table_files
from benchmark.results.result import read_result, table_name

Rows = list[dict[str, str]]


def find_runs(wanted: Sequence[str], table: str | None, output: Path, columns: Sequence[str]) -> tuple[list[Path], list[Path], str]:
    """The run folders with these paths, and those behind the rows of these algorithms; the tables that have the rows; which
    configurations the algorithms with several are.

    Args:
        wanted: run folders, their names in ``output``, or algorithms: ``reptile``, ``reptile:d37ca7c2``.
        table: a leaderboard's name or path; None for the one that has all the algorithms, committed ones before those in ``output``.
        output: folder of runs.
        columns: that the rows must have, where an algorithm has several configurations.

    Raises:
        UsageError: something is not found, or could be several things.
    """
    wanted = [str(run_folder(Path(name), output)) for name in wanted]
    given = [Path(name) for name in wanted if Path(name).is_dir()]
    names = [name for name in wanted if not Path(name).is_dir()]
    if table is None and given and names:
        table = table_name(read_result(given[0]))
    found = _find(names, _tables(table, output, names[0])) if names else {}
    folders, meant = [], []
    for name in wanted:
        if name not in found:
            folders.append(Path(name))
            continue
        path, board = found[name]
        own = one_configuration(name, path, rows_named(board, name), columns)
        if what := differences(board).get(who(own[0])):
            meant.append(f"{own[0]['algorithm']}:{own[0]['options']} ({what})")
        for run_id in leaderboard_file.run_ids(own):
            folder = behind(path, run_id, [output])
            if folder is None:
                raise UsageError(f"{run_id}, which a row of {name} in {path} was made from, is not in {output}; say where with --output.")
            folders.append(folder)
    several = f"Of several configurations: {listed(meant)}." if meant else ""
    return folders, list(dict.fromkeys(path for path, _ in found.values())), several


def run_folder(name: Path, output: Path) -> Path:
    """The run folder with this path, or with this name in ``output``."""
    if name.is_dir():
        return name.resolve() if name.name in ("", "..") else name  # a run is named after its folder
    return output / name if (output / name).is_dir() else name


def _tables(wanted: str | None, output: Path, name: str) -> list[Path]:
    """Where to look for algorithms: the table with this path, or the committed tables and those in ``output``."""
    if wanted and ("/" in wanted or wanted.endswith(".csv") or Path(wanted).is_file()):
        return table_files(wanted)
    every = sorted(output.glob("*.csv"))
    with suppress(UsageError):
        every = [*table_files(None), *every]
    if not every:
        raise UsageError(f"There is no run folder {name}, and no leaderboard to find it in; say where with --table or --output.")
    found = [path for path in every if wanted is None or normalise(path.stem) == normalise(wanted)]
    if not found:
        known = suggest(str(wanted), sorted({path.stem for path in every}))
        raise UsageError(f"There is no leaderboard of '{wanted}'{known} For your own runs elsewhere, name the CSV file or --output DIR.")
    return found


def _find(names: Sequence[str], tables: Sequence[Path]) -> dict[str, tuple[Path, Rows]]:
    """The table with each name's rows, and all rows of it: one that has all the names, or else a committed one and its namesake in
    ``--output``."""
    boards: dict[Path, Rows] = {}
    damaged: list[BenchmarkError] = []
    for path in tables:
        try:
            boards[path] = leaderboard_file.read(path)
        except BenchmarkError as error:
            damaged.append(error)
    whole: dict[str, dict[str, tuple[Path, Rows]]] = {}
    for group in [*([path] for path in boards), *([path for path in boards if path.stem == one.stem] for one in boards)]:
        found = {name: (path, boards[path]) for name in names for path in reversed(group) if rows_named(boards[path], name)}
        if len(found) == len(set(names)):
            whole.setdefault(group[0].stem, found)
    if len(whole) > 1:
        raise UsageError(f"{listed(whole)} have rows of {listed(names)}; say which with --table.")
    if whole:
        return next(iter(whole.values()))
    if damaged:
        raise damaged[0]
    places = f"the tables {listed(sorted({path.stem for path in boards}))}"  # their paths would make the sentence long
    for name in names:
        if not any(rows_named(rows, name) for rows in boards.values()):
            hint = suggest(name, sorted({row["algorithm"] for rows in boards.values() for row in rows}))
            raise UsageError(f"There is no run folder {name}, and no such algorithm in {places} (--table names another){hint}")
    raise UsageError(f"No dataset has {', '.join(names)} together in {places}; say where with --table.")
