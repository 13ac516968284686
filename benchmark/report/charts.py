"""Charts as geometry: everything that a template needs to draw them as SVG, in the units of their view boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

COLOURS = 10
"""Colours of the style sheet; further series of a chart repeat them, dashed."""
SHAPES = ("m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "m-3.5,-3.5h7v7h-7z", "m0,-4.5l4.5,8h-9z", "m0,-5l5,5l-5,5l-5,-5z", "m-4,-4l8,8m0,-8l-8,8")
LABEL = 14
"""Height of a line of text."""
GAP = 5
"""Between the axes and the names of levels."""
LONGEST = 150
"""Room for a level's name, in units: a longer one is cut, for the curves need room too."""
SLIM = frozenset("abcdefghijklnopqrstuvxyz0123456789_-.,:()[] ")
"""Characters no wider than a digit."""


@dataclass(frozen=True)
class Frame:
    """A view box, and where in it the axes are; ``named``: the names of levels stand at their right."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    named: bool = True

    @property
    def names(self) -> int:
        """Where the names of levels start."""
        return self.right + GAP


WIDE = Frame(446, 290, 66, 434, 12, 246)
"""Without levels to name; :func:`beside` makes room for them."""
SMALL = Frame(270, 190, 44, 262, 10, 150, named=False)
"""For many side by side."""


@dataclass(frozen=True)
class Value:
    """One point of a series, in data units; the interval may be NaN."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Curve:
    """A series in data units; ``number`` chooses its look, the same in all charts."""

    number: int
    values: list[Value]


@dataclass(frozen=True)
class Axis:
    """A scale from data to the view box, with ticks (position, text)."""

    place: Callable[[float], float]
    ticks: list[tuple[float, str]]
    label: str


@dataclass(frozen=True)
class Mark:
    """A drawn point."""

    x: float
    y: float
    low: float | None
    high: float | None
    shape: str
    text: str


@dataclass(frozen=True)
class ChartLine:
    """A drawn series."""

    number: int
    look: str
    path: str
    marks: list[Mark]


@dataclass(frozen=True)
class Level:
    """A horizontal line for what does not depend on x, its name beside it; ``role`` is its style class."""

    name: str
    role: str
    y: float
    label_y: float

    @property
    def label(self) -> str:
        """The name, cut if it is long."""
        return _cut(self.name)


@dataclass(frozen=True)
class Chart:
    """A whole chart.

    Attributes:
        title: what it shows.
        x, y: axes.
        lines: series.
        levels: what does not depend on x.
        beyond: levels that are off the scale, with their values.
        front: path of a Pareto front; "" for none.
        others: paths of series that are there for comparison, without marks.
        frame: its view box.
    """

    title: str
    x: Axis
    y: Axis
    lines: list[ChartLine]
    levels: list[Level] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    front: str = ""
    others: list[str] = field(default_factory=list)
    frame: Frame = WIDE


def breadth(text: str) -> float:
    """Units that a line of text takes at most: readers have different fonts, of which DejaVu Sans is among the widest."""
    return sum(8.3 if letter in SLIM else 13 for letter in text)


def beside(names: Iterable[str]) -> Frame:
    """A wide frame with room for these names of levels."""
    return replace(WIDE, right=min(WIDE.right, math.floor(WIDE.width - GAP - max(breadth(_cut(name)) for name in names))))


def _cut(name: str) -> str:
    if breadth(name) <= LONGEST:
        return name
    while breadth(f"{name}…") > LONGEST:
        name = name[:-1]
    return f"{name}…"


def look(number: int) -> str:
    """Style-sheet classes of a series."""
    return f"c{number % COLOURS}" + (" dashed" if number >= COLOURS else "")


def shape(number: int) -> str:
    """The path of a series' marks, relative to their centre."""
    return SHAPES[(number + number // COLOURS) % len(SHAPES)]


def chart(
    title: str, curves: Sequence[Curve], x: Axis, y: Axis, levels: Sequence[tuple[str, str, float]] = (), frame: Frame = WIDE
) -> Chart:
    """Place curves and levels on axes; points that share an x are set side by side so that their intervals can be told apart.

    Args:
        title: what it shows.
        curves: series.
        x, y: axes.
        levels: name, role and value of what does not depend on x.
        frame: the axes' own.
    """
    lines = []
    for place, curve in enumerate(curves):
        aside = (place - (len(curves) - 1) / 2) * min(3.0, 20 / max(1, len(curves)))
        marks = []
        for value in curve.values:
            if math.isnan(value.x) or math.isnan(value.y):
                continue
            low, high = (None if math.isnan(bound) else round(y.place(bound), 1) for bound in (value.low, value.high))
            marks.append(Mark(round(x.place(value.x) + aside, 1), round(y.place(value.y), 1), low, high, shape(curve.number), value.text))
        path = "M" + "L".join(f"{mark.x},{mark.y}" for mark in marks) if marks else ""
        lines.append(ChartLine(curve.number, look(curve.number), path, marks))
    placed = [(name, role, round(y.place(value), 1)) for name, role, value in levels if _shown(y.place(value), frame)]
    beyond = [f"{name} {value:.2f}" for name, _, value in levels if not math.isnan(value) and not _shown(y.place(value), frame)]
    texts = spread([height for *_, height in placed], LABEL, frame.top + LABEL / 2, frame.bottom)
    heights = [Level(*level, text) for level, text in zip(placed, texts, strict=True)]
    return Chart(title, x, y, lines, heights, beyond, frame=frame)


def path_of(curve: Curve, x: Axis, y: Axis) -> str:
    """The path of a series alone."""
    return joined([(value.x, value.y) for value in curve.values if not math.isnan(value.x) and not math.isnan(value.y)], x, y)


def joined(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    """The path through points in data units, in their order; "" for fewer than two."""
    return "M" + "L".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in points) if len(points) > 1 else ""


def _shown(height: float, frame: Frame) -> bool:
    return frame.top - 0.1 <= height <= frame.bottom + 0.1


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights as near to ``wanted`` as lines of text can stand without touching, if they all fit between the bounds."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    floor = low
    for i in order:
        placed[i] = floor = max(wanted[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= gap
    return [round(height, 1) for height in placed]


def linear(values: Iterable[float], label: str, frame: Frame = WIDE) -> Axis:
    """An upright axis that holds all of ``values``, with round ticks."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    step = _round_step((high - low) / (7 if frame.named else 4))
    first, last = math.floor(low / step), math.ceil(high / step)
    place = _between(first * step, last * step, frame.bottom, frame.top)
    digits = max(0, -math.floor(math.log10(step)))
    return Axis(place, [(round(place(i * step), 1), f"{i * step:.{digits}f}") for i in range(first, last + 1)], label)


def _round_step(size: float) -> float:
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * 0.999)


def _between(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def steps_axis(steps: Iterable[int], frame: Frame = WIDE) -> Axis:
    """Adaptation steps, on log(1 + steps)."""
    every = sorted(set(steps)) or [0]
    scale = _between(math.log1p(every[0]), math.log1p(max(every[-1], every[0] + 1)), frame.left + 16, frame.right - 16)
    ticks = [(round(scale(math.log1p(step)), 1), str(step)) for step in every]
    return Axis(lambda value: scale(math.log1p(value)), ticks, "adaptation steps (log scale)" if frame.named else "steps")


def log_axis(values: Iterable[float], label: str, frame: Frame = WIDE) -> Axis:
    """Powers of ten; zeros stand apart, at the left."""
    every = [value for value in values if math.isfinite(value)]
    positive = [value for value in every if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high = max(high, low + 1)
    zero = any(value <= 0 for value in every)
    start = frame.left + (44 if zero else 12)
    scale = _between(low, high, start, frame.right - 12)
    every_nth = math.ceil((high - low + 1) / 6)
    ticks = [(round(scale(power), 1), _power(power)) for power in range(low, high + 1, every_nth)]
    apart = frame.left + 12.0
    return Axis(lambda value: scale(math.log10(value)) if value > 0 else apart, [(apart, "0"), *ticks] if zero else ticks, label)


def _power(power: int) -> str:
    if -3 <= power <= 3:
        return f"{10.0**power:g}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
