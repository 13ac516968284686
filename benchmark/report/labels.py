"""Names beside the points of a chart, where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

LETTER, LINE = 6.3, 12.0
"""Width of a letter and height of a line of the labels' text, roughly, in the view box's units."""
REACH = 4
"""Lines up or down that a name may stand from its point."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Name:
    """A label: text from (x, y) on, centred in height; ``start`` is where its leader begins, at the point it names."""

    look: str
    text: str
    x: float
    y: float
    start: Point
    series: int


def place(ends: Sequence[tuple[int, str, str, Point]], drawn: Iterable[Sequence[Point]], bounds: Box) -> list[Name]:
    """Set names beside points so that they touch neither each other nor, if possible, what is drawn.

    Args:
        ends: for each name its series, style class, text and point.
        drawn: polylines to keep clear of.
        bounds: left, top, right and bottom of the free area.

    Returns:
        those that found room; the legend has the others.
    """
    dots = [dot for line in drawn for dot in _dots(line)]
    taken: list[Box] = []
    names = []
    for series, look, text, (x, y) in sorted(ends, key=lambda end: end[3][1]):
        width = LETTER * len(text)
        best: tuple[float, Box] | None = None
        for lines in sorted(range(-REACH, REACH + 1), key=abs):
            for left in (x + 10, x - 10 - width, *([x - width / 2] if lines else [])):
                top = y + lines * LINE - LINE / 2
                box = (left, top, left + width, top + LINE)
                if left < bounds[0] or top < bounds[1] or box[2] > bounds[2] or box[3] > bounds[3]:
                    continue
                if any(_touch(box, other) for other in taken):
                    continue
                cost = 2 * abs(lines) + sum(box[0] - 2 <= dot[0] <= box[2] + 2 and box[1] <= dot[1] <= box[3] for dot in dots)
                if best is None or cost < best[0]:
                    best = cost, box
        if best is not None:
            box = best[1]
            taken.append(box)
            names.append(Name(look, text, round(box[0], 1), round(box[1] + LINE / 2, 1), (x, y), series))
    return names


def _dots(line: Sequence[Point]) -> list[Point]:
    """Points of a polyline about every five units."""
    found = list(line)
    for (x, y), (to_x, to_y) in pairwise(line):
        pieces = int(max(abs(to_x - x), abs(to_y - y)) // 5)
        found += [(x + (to_x - x) * i / (pieces + 1), y + (to_y - y) * i / (pieces + 1)) for i in range(1, pieces + 1)]
    return found


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] + 3 and other[0] < one[2] + 3 and one[1] < other[3] and other[1] < one[3]
