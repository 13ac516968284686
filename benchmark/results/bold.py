"""Which cells of a leaderboard a paper prints in bold: the best, and what no test tells from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmark.plugins.registry import Plugins
from benchmark.results.columns import KnownColumns
from benchmark.results.leaderboard_rules import SETTING, role_of, seeds_behind
from benchmark.results.row_episodes import RowEpisodes
from benchmark.results.ties import POWERLESS, TIE, UNTESTED, Row, Ties, ranked_seeds


def best_cells(
    path: Path, rows: Sequence[Row], metrics: Sequence[str], found: KnownColumns, plugins: Plugins = ()
) -> tuple[set[tuple[int, str]], str]:
    """The places (row, column) of the best scores at each number of shots and of their ties, and a caption that says what is bold.

    Toplines and floors don't compete, nor do methods of other seeds than most, nor costs.

    Args:
        path: the table, whose runs are tested.
        rows: some of its rows.
        metrics: columns.
        found: their meanings.
        plugins: ``--plugin`` files.
    """
    episodes = RowEpisodes(path)
    bold: set[tuple[int, str]] = set()
    words: set[str] = set()
    alone = False
    methods = [(place, row) for place, row in enumerate(rows) if int(row["shots"]) and not role_of(row, plugins)]
    for metric in metrics:
        if (higher := found.higher_is_better(metric)) is None:  # a cost, or a metric whose plugin is not here
            continue
        ties = Ties(metric, higher, episodes)
        groups: dict[tuple[str, ...], list[tuple[int, Row]]] = {}
        for place, row in methods:
            if row[metric]:
                groups.setdefault(tuple(row[name] for name in ("shots", *SETTING)), []).append((place, row))
        for here in groups.values():
            seeds = ranked_seeds([seeds_behind(row) for _, row in here])
            ranked = [each for each in here if seeds_behind(each[1]) == seeds]
            alone |= len(ranked) < len(here)
            ranked.sort(key=partial(_value, metric), reverse=higher)
            bold.add((ranked[0][0], metric))
            others = ranked[1:] if metric not in found.rates else []
            for (place, _), verdict in zip(others, ties.verdicts(ranked[0][1], [row for _, row in others]), strict=True):
                words.add(verdict.word)
                if verdict.word == TIE:
                    bold.add((place, metric))
    return bold, _caption(words, [metric for metric in metrics if metric in found.rates], alone)


def _value(metric: str, placed: tuple[int, Row]) -> float:
    return float(placed[1][metric])


def _caption(words: set[str], rates: Sequence[str], alone: bool) -> str:
    sentences = ["Bold: the best method at its number of shots, and those that no paired test between speakers tells from it."]
    if alone:
        sentences.append("Methods of other seeds are other models and don't compete.")
    if POWERLESS in words:
        sentences.append("Where so few speakers can't show any difference, only the best is bold.")
    if UNTESTED in words:
        sentences.append("Where the runs are not at hand to test, only the best is bold.")
    if rates:
        sentences.append(f"{', '.join(rates)} can't be paired, so only the best is bold.")
    return " ".join(sentences)
