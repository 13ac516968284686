"""A board's charts: adaptation curves, cost against quality, embedding spaces."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.plumbing.words import counted
from benchmark.report.boards import Board, Row
from benchmark.report.charts import (
    SMALL,
    WIDE,
    Axis,
    Chart,
    Curve,
    Frame,
    Value,
    beside,
    chart,
    joined,
    linear,
    log_axis,
    look,
    path_of,
    shape,
    steps_axis,
)
from benchmark.report.words import digits, number, said
from benchmark.results import cells

COSTS = {
    "seconds_to_adapt": "seconds to adapt",
    "flops_to_adapt": "floating-point operations to adapt",
    "stored_parameters": "numbers stored for a speaker",
}
MANY = 6
"""Methods from which on each also has a chart of its own, because their curves cover one another."""
EMBEDDED_UTTERANCES = 60
"""Most points drawn per speaker, evenly spread; a large corpus has thousands."""


@dataclass(frozen=True)
class Curves:
    """Adaptation curves.

    Attributes:
        ranking: of the metric that the board opens with, a chart for each number of shots, on one scale.
        methods: the same from the most shots, a small chart for each method, the others in grey; empty for few methods.
        metrics: small charts of all other metrics, from the most shots.
        fewer: the same for each smaller number of shots, most first.
    """

    ranking: list[Chart]
    methods: list[Chart]
    metrics: list[Chart]
    fewer: list[tuple[int, list[Chart]]]


def adapting(board: Board) -> list[tuple[int, str]]:
    """Number and name of the contenders that adapt to shots; the number chooses their look."""
    return list(enumerate(contender.name for contender in board.contenders if board.uses_shots(contender.name)))


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    number: int
    name: str
    look: str
    shape: str


def legend(series: Iterable[tuple[int, str]]) -> list[Key]:
    """Keys of numbered series."""
    return [Key(index, name, look(index), shape(index)) for index, name in series]


def _levels(board: Board, metric: str) -> list[tuple[str, str, float]]:
    """Name, role and value of what uses no shots; of one that takes steps, after its most."""
    return [
        (contender.name, board.role(contender.name), number(board.rows[contender.name][-1].get(metric, "")))
        for contender in board.contenders
        if not board.uses_shots(contender.name)
    ]


def _large(board: Board, metric: str) -> Frame:
    """The frame of a large chart, with as much room for names as the levels' need."""
    names = [name for name, _, value in _levels(board, metric) if not math.isnan(value)]
    return beside(names) if names else WIDE


def curves(board: Board) -> Curves | None:
    """Adaptation curves of every metric; None if nothing adapts."""
    if not board.metrics or not board.shots:
        return None
    first, *others = board.metrics
    *fewer, most = board.shots
    return Curves(
        [_over_steps(board, first, shots, _large(board, first)) for shots in board.shots],
        _apart(board, first, most) if len(adapting(board)) >= MANY else [],
        [_over_steps(board, metric, most, SMALL) for metric in others],
        [(shots, [_over_steps(board, metric, shots, SMALL) for metric in others]) for shots in reversed(fewer)] if others else [],
    )


def _over_steps(board: Board, metric: str, shots: int, frame: Frame) -> Chart:
    """A metric over adaptation steps; charts of one metric share their upright axis."""
    levels = _levels(board, metric)
    every = [row for rows in board.rows.values() for row in rows if row["shots"] != "0"]
    y = _upright(every, levels, metric, board.known.label(metric), frame)
    series = _series(board, metric, shots)
    x = steps_axis((int(value.x) for curve in series for value in curve.values), frame)
    title = f"{metric}, {counted(shots, 'shot')}" if frame.named else board.known.label(metric)
    return chart(title, series, x, y, levels, frame)


def _apart(board: Board, metric: str, shots: int) -> list[Chart]:
    """A small chart for each method, the others in grey, all on one scale."""
    whole, series = _over_steps(board, metric, shots, SMALL), _series(board, metric, shots)
    found = []
    for (_, name), own in zip(adapting(board), series, strict=True):
        if own.values:
            others = [path for other in series if other is not own and (path := path_of(other, whole.x, whole.y))]
            found.append(replace(chart(name, [own], whole.x, whole.y, _levels(board, metric), SMALL), others=others))
    return found


def _series(board: Board, metric: str, shots: int) -> list[Curve]:
    places = digits((row for rows in board.rows.values() for row in rows if row["shots"] != "0"), metric)
    return [
        Curve(index, [
            _value(int(row["steps"]), name, row, metric, places) for row in board.rows[name] if int(row["shots"]) == shots
        ]) for index, name in adapting(board)
    ]  # fmt: skip


def _upright(rows: Iterable[Row], levels: Iterable[tuple[str, str, float]], metric: str, label: str, frame: Frame) -> Axis:
    """An axis for curves and the levels near them; a far level, like PESQ of recordings, would squeeze the curves into one line."""
    values = [value for row in rows for value in _bounds(row, metric) if not math.isnan(value)]
    low, high = min(values, default=-math.inf), max(values, default=math.inf)
    reach = 0.75 * (high - low)
    return linear([*values, *(level for *_, level in levels if low - reach <= level <= high + reach)], label, frame)


def _bounds(row: Row, metric: str) -> list[float]:
    return [number(row.get(name, "")) for name in (metric, f"{metric}_lo", f"{metric}_hi")]


def _value(x: float, name: str, row: Row, metric: str, places: int, more: str = "") -> Value:
    mean, low, high = _bounds(row, metric)
    text = f"{name}, {counted(int(row['shots']), 'shot')}, {row['steps']} steps: {metric} {said(row, metric, places)}"
    return Value(x, mean, low, high, text + more)


def costs(board: Board, fronts: Mapping[str, Sequence[Row]]) -> list[Chart]:
    """The opening metric against each cost, at the most shots; one point for each number of steps.

    Args:
        board: the methods.
        fronts: by cost, the rows on its Pareto front, cheapest first; a line behind the others joins them.
    """
    if not board.metrics or not board.shots:
        return []
    metric, shots = board.metrics[0], board.shots[-1]
    levels = _levels(board, metric)
    here = {name: [row for row in board.rows[name] if int(row["shots"]) == shots] for _, name in adapting(board)}
    every = [row for rows in here.values() for row in rows]
    frame, places = _large(board, metric), digits(every, metric)
    y = _upright(every, levels, metric, board.known.label(metric), frame)
    charts = []
    for cost, title in COSTS.items():
        series = []
        for index, name in adapting(board):
            # What is stored does not grow with the steps.
            rows = here[name][-1:] if cost == "stored_parameters" else here[name]
            values = [_value(number(row[cost]), name, row, metric, places, f", {number(row[cost]):.3g} {title}") for row in rows]
            series.append(Curve(index, values))
        x = log_axis((value.x for curve in series for value in curve.values), f"{title} (log scale)", frame)
        drawn = chart(f"{metric} against {title}, {counted(shots, 'shot')}", series, x, y, levels, frame)
        front = joined([(number(row[cost]), number(row[metric])) for row in fronts.get(cost, ())], x, y)
        charts.append(replace(drawn, front=front))
    return charts


@dataclass(frozen=True)
class Space:
    """Where an algorithm's encoder puts real utterances of the scored speakers."""

    name: str
    run: str
    chart: Chart
    legend: list[Key]
    error_rate: float | None
    drawn: int
    all: int


def spaces(board: Board) -> list[Space]:
    """A picture for each contender with an embedding, of its first seed that has one.

    Raises:
        BenchmarkError: an ``embedding.csv`` is damaged.
    """
    found = []
    for contender in board.contenders:
        for folder, result in zip(contender.folders, contender.results, strict=True):
            path = folder / "embedding.csv"
            if path.is_file():
                points = _points(path)
                rate = result["facts"].get("embedding_eer")
                kept = {speaker: own[:: math.ceil(len(own) / EMBEDDED_UTTERANCES)] for speaker, own in points.items()}
                drawn, total = (sum(map(len, some.values())) for some in (kept, points))
                found.append(Space(contender.name, folder.name, _space(contender.name, kept), legend(enumerate(kept)), rate, drawn, total))
                break
    return found


def _points(path: Path) -> dict[str, list[tuple[float, float]]]:
    points: dict[str, list[tuple[float, float]]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream):
                point = cells.number(row["x"]), cells.number(row["y"])
                if any(map(math.isnan, point)):
                    raise ValueError("a coordinate is missing")
                points.setdefault(cells.name(row["speaker"]), []).append(point)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise BenchmarkError(f"{path} can't be read ({error}); run the benchmark again to make it.") from error
    return points


def _space(name: str, points: dict[str, list[tuple[float, float]]]) -> Chart:
    """Both axes have the same unit, so that distances are true."""
    xs, ys = ([point[axis] for own in points.values() for point in own] for axis in (0, 1))
    across, up = (max(values, default=1) - min(values, default=0) or 1e-9 for values in (xs, ys))
    scale = min((WIDE.right - WIDE.left - 16) / across, (WIDE.bottom - WIDE.top - 16) / up)
    left, bottom = min(xs, default=0), min(ys, default=0)
    x = Axis(lambda value: WIDE.left + 8 + (value - left) * scale, [], "first principal component")
    y = Axis(lambda value: WIDE.bottom - 8 - (value - bottom) * scale, [], "second principal component")
    series = [
        Curve(index, [Value(*point, math.nan, math.nan, speaker) for point in own])
        for index, (speaker, own) in enumerate(points.items())
    ]
    return chart(name, series, x, y, frame=WIDE)
