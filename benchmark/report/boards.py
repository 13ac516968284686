"""A report's material: runs, found, checked and pooled over seeds, and their rows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from benchmark import problems
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import fit, registry
from benchmark.plumbing import workers as processes
from benchmark.plumbing.progress import progress
from benchmark.plumbing.words import counted
from benchmark.results.columns import KnownColumns, known, shown
from benchmark.results.comparison import COMPARABLE, Contender, pooled
from benchmark.results.episode_tables import COSTS_FILE, EPISODES_FILE, adapted
from benchmark.results.leaderboard import compute_rows, run_folder
from benchmark.results.leaderboard_file import metrics_in, read, run_ids, title
from benchmark.results.leaderboard_rules import differing_fact, facts_of
from benchmark.results.result import read_result, read_tables, table_name
from benchmark.settings.config import flat, said

Row = dict[str, str]
LONGEST = 60
"""Characters of a difference between configurations that still serves as a name."""


@dataclass(frozen=True)
class Board:
    """Runs of one dataset, problem and task, all of which can be compared: on the same data and episodes, by the same backbone and so on.

    Attributes:
        name: name of their table, "espeak" or "espeak-recognition"; with what tells them apart where others have that name.
        contenders: by algorithm and configuration, named as readers call them (:func:`labels`); toplines and floors last.
        rows: leaderboard rows of each contender, by its name.
        metrics: columns, the most telling ones first.
        headline: columns shown until the reader asks for more.
        known: the columns' meanings, if their metrics were found.
        roles: "topline", "floor" or "" of each contender whose algorithm is found.
        plugins: ``--plugin`` files.
    """

    name: str
    contenders: list[Contender]
    rows: dict[str, list[Row]]
    metrics: list[str]
    headline: list[str]
    known: KnownColumns
    roles: Mapping[str, str] = field(default_factory=dict)
    plugins: registry.Plugins = ()

    @property
    def shots(self) -> list[int]:
        """Numbers of support utterances, in rows that use any."""
        return sorted({int(row["shots"]) for rows in self.rows.values() for row in rows} - {0})

    @property
    def speaks(self) -> bool:
        """Whether the runs synthesise, so that there is speech to hear and to see."""
        return problems.get(self.contenders[0].results[0]["problem"]).speaks

    def uses_shots(self, name: str) -> bool:
        """Whether this contender adapts to so many shots; most toplines and floors don't."""
        return any(row["shots"] != "0" for row in self.rows[name])

    def role(self, name: str) -> str:
        """The role of a contender that gives the scale, "topline" or "floor"; "" for a method."""
        return self.roles.get(name, "" if self.uses_shots(name) else "floor")

    def fewer_seeds(self, name: str) -> str:
        """How many seeds a contender has, "1 seed", if others have more; "" otherwise."""
        counts = {each: max(int(row["seeds"]) for row in rows) for each, rows in self.rows.items()}
        return counted(counts[name], "seed") if counts[name] < max(counts.values()) else ""

    def note(self, name: str) -> str:
        """What readers must know of a contender beside its name, "floor, 1 seed"; "" if nothing."""
        return ", ".join(filter(None, [self.role(name), self.fewer_seeds(name)]))

    def unlike(self) -> dict[str, str]:
        """Metric plugins whose scores can't be compared, each with a constant that differs between contenders and its values."""
        found: dict[str, str] = {}
        facts = [facts_of(contender.results[0], self.plugins) for contender in self.contenders]
        for one, other in itertools.combinations(facts, 2):
            for plugin in dict.fromkeys(self.known.metrics[name] for name in self.known.constants):
                if plugin not in found and (what := differing_fact(one, other, {plugin}, self.plugins)):
                    found[plugin] = what
        return found

    def best(self, name: str) -> tuple[int, int]:
        """A contender's most shots, and its most steps at those shots."""
        return max((int(row["shots"]), int(row["steps"])) for row in self.rows[name])


def find_runs(output: Path) -> tuple[list[Path], list[str]]:
    """Complete runs in a folder, and the names of those that were not finished.

    Raises:
        UsageError: none is complete.
    """
    complete = sorted(path.parent for path in output.glob("*/result.json"))
    started = sorted(path.parent for path in output.glob("*/config.yaml"))
    if not complete:
        raise UsageError(f"There is no complete run in {output}; make one with 'run', name run folders, or say where with --output.")
    return complete, [folder.name for folder in started if folder not in complete]


def boards(
    folders: Sequence[Path], workers: int, plugins: registry.Plugins = (), rows: Sequence[Row] | None = None
) -> list[Board]:
    """Read the runs, check them, and compute their rows.

    Args:
        folders: run folders.
        workers: processes.
        plugins: ``--plugin`` files, for the meanings of their metrics.
        rows: a leaderboard's rows, made from these runs, which then need not be computed again.

    Raises:
        UsageError: a folder is missing.
        BenchmarkError: runs of one configuration can't be pooled, or a run is damaged.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"There is no run folder {folder}; name one that 'run' wrote, runs/RUN.")
    groups = _comparable(folders)
    found = {_name(kind, groups): pooled(members) for kind, members in groups.items()}
    for contender in (contender for members in found.values() for contender in members):
        runs = list(zip(contender.folders, contender.results, strict=True))
        costs = pd.concat([read_tables(folder, result)[1] for folder, result in runs])
        known = pd.MultiIndex.from_frame(costs[["seed", "speaker", "episode", "shots", "steps"]])
        for folder, result in runs:
            episodes = adapted(contender.episodes[contender.episodes["seed"] == result["seed"]])
            if not pd.MultiIndex.from_frame(episodes[known.names]).isin(known).all():
                lacks = f"{folder / COSTS_FILE} lacks episodes that {EPISODES_FILE} beside it has"
                raise BenchmarkError(f"{lacks}; run it again with --overwrite always.")
            if what := differing_fact(facts_of(contender.results[0], plugins), facts_of(result, plugins), None, plugins):
                names = f"{contender.folders[0].name} and {folder.name}"
                raise BenchmarkError(f"{names} can't be pooled: they differ in {what}; name the runs that were scored alike.")
    every = [contender for members in found.values() for contender in members]
    own = _all_rows(every, workers) if rows is None else [_rows_of(one, rows) for one in every]
    return [_board(name, members, [own[every.index(one)] for one in members], plugins) for name, members in found.items()]


def of_table(table: Path, places: Sequence[Path], plugins: registry.Plugins = ()) -> list[Board]:
    """The boards of a leaderboard, from its rows as they stand and the runs beside it.

    Args:
        table: CSV file.
        places: folders of runs that are not beside the table.
        plugins: ``--plugin`` files, for the meanings of their metrics.

    Raises:
        UsageError: it has no rows, or a run that they were made from is not at hand.
        BenchmarkError: the table or a run is damaged.
    """
    rows = read(table)
    if not rows:
        raise UsageError(f"{table} has no rows to show; add runs with 'leaderboard add'.")
    folders = []
    for name in run_ids(rows):
        if (folder := run_folder(table, name, places)) is None:
            raise UsageError(f"{name}, which a row of {table} was made from, is not beside it; say where with --output.")
        folders.append(folder)
    place = title(table).removesuffix(table.stem)  # "" of the newest protocol
    return [replace(board, name=f"{place}{board.name}") for board in boards(folders, 1, plugins, rows)]


def _rows_of(contender: Contender, rows: Sequence[Row]) -> list[Row]:
    names = {folder.name for folder in contender.folders}
    return [row for row in rows if names.intersection(row["run_ids"].split())]


_Kind = tuple[tuple[str, str], ...]
"""What runs share that can be compared, and its value: their table, each of ``COMPARABLE``, and versions of metrics in dispute."""


def _comparable(folders: Sequence[Path]) -> dict[_Kind, list[Path]]:
    """Runs that can be compared with one another, by what they share."""
    results = {folder: read_result(folder) for folder in folders}
    alike: dict[_Kind, list[Path]] = {}
    for folder, result in results.items():
        kind = ("table", table_name(result)), *((name, str(result[name])) for name in COMPARABLE)
        alike.setdefault(kind, []).append(folder)
    groups: dict[_Kind, list[Path]] = {}
    for kind, members in alike.items():
        versions = {folder: results[folder]["metric_versions"] for folder in members}
        found = {pair for own in versions.values() for pair in own.items()}
        disputed = sorted(name for name, count in Counter(name for name, _ in found).items() if count > 1)
        for folder, own in versions.items():
            groups.setdefault((*kind, *((name, own.get(name, "")) for name in disputed)), []).append(folder)
    return dict(sorted(groups.items()))


def _name(kind: _Kind, every: Collection[_Kind]) -> str:
    """The table's name, and by what its runs differ from others of that table, as far as that tells them apart."""
    (_, table), *own = kind
    alike, more = [dict(other) for other in every if other[0] == kind[0]], []
    for name, value in own:
        if len({other.get(name) for other in alike}) > 1:
            more.append(_in_words(name, value))
        alike = [other for other in alike if other.get(name) == value]
    return f"{table} ({', '.join(more)})" if more else table


def _in_words(name: str, value: str) -> str:
    if name in ("data_version", "manifest_hash"):
        return f"{'data' if name == 'data_version' else 'episodes'} {'+'.join(part[:8] for part in value.split('+'))}"
    if name in COMPARABLE:
        return f"{name.replace('_', ' ')} {value}"
    return f"version {value} of {name}" if value else f"without {name}"


def _all_rows(contenders: Sequence[Contender], workers: int) -> list[list[Row]]:
    """The rows of each contender, one contender per process: bootstraps take seconds per row."""
    count = min(workers, len(contenders))
    found = []
    with progress("Computing intervals", len(contenders)) as show, processes.pool(count) if count > 1 else nullcontext() as pool:
        folders, results = [contender.folders for contender in contenders], [contender.results for contender in contenders]
        for rows in pool.map(compute_rows, folders, results) if pool else map(compute_rows, folders, results):
            found.append(rows)
            show(len(found))
    return found


def _board(name: str, contenders: Sequence[Contender], rows: Sequence[list[Row]], plugins: registry.Plugins) -> Board:
    names = labels(contenders)
    contenders = [replace(contender, name=names[contender.name]) for contender in contenders]
    by_name = {contender.name: own for contender, own in zip(contenders, rows, strict=True)}
    metrics = list(dict.fromkeys(metric for own in rows for metric in metrics_in(own)))
    every, objective = known(plugins), problems.get(contenders[0].results[0]["problem"]).objective
    headline = shown(metrics, every)
    metrics.sort(key=lambda metric: (metric != objective, metric not in headline))
    scored_with = {metric for contender in contenders for result in contender.results for metric in result["metric_versions"]}
    roles = {}
    for one in contenders:
        with suppress(BenchmarkError):  # it comes from a plugin file that was not given
            roles[one.name] = fit.role(one.results[0]["algorithm"], plugins)
    board = Board(name, [], by_name, metrics, shown(metrics, every), every.of(scored_with), roles, plugins)
    order = ["", *fit.ROLES]
    return replace(board, contenders=sorted(contenders, key=lambda one: (order.index(board.role(one.name)), one.name)))


def labels(contenders: Sequence[Contender]) -> dict[str, str]:
    """What readers call contenders, by name: those that share an algorithm by what they differ in, "metric (fine_tune_groups=all)"."""
    settings = {
        one.name: {key: said({key.removeprefix("algo."): value}) for key, value in flat(one.results[0]["config"]).items()}
        for one in contenders
    }  # fmt: skip
    found = {}
    for one in contenders:
        algorithm, own = one.results[0]["algorithm"], settings[one.name]
        others = [settings[other.name] for other in contenders if other is not one and other.results[0]["algorithm"] == algorithm]
        keys = [key for key in own if key not in ("seed", "shots", "steps") and any(other.get(key) != own[key] for other in others)]
        told = ", ".join(own[key] for key in keys)
        found[one.name] = f"{algorithm} ({told})" if told and len(told) <= LONGEST else one.name
    counts = Counter(found.values())
    return {name: label if counts[label] == 1 else name for name, label in found.items()}
