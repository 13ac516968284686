"""A board's main chart as a picture of its own, to put into a page: quality against the time that adaptation takes."""

from __future__ import annotations

import math
import re

from benchmark.errors import UsageError
from benchmark.report import charts, figures, page
from benchmark.report.boards import Board
from benchmark.report.choices import choices
from benchmark.report.findings import findings

COLUMN, LINE = 20, 19
"""Margin of the legend, and height of its lines, in the chart's units."""
KEY = 32
"""From a legend's mark to its name."""


def draw(board: Board) -> str:
    """An SVG file that is readable on light and on dark ground, with a legend, the best method first.

    Raises:
        UsageError: nothing in the board adapts.
    """
    best = choices(board)
    drawn = figures.costs(board, best.points if best else {})
    if not drawn:
        raise UsageError(f"{board.name} has no method that adapts, so there is nothing to draw.")
    found = findings(board)
    order = [score.name for group in found.groups for score in group] if found else []
    series = sorted(figures.adapting(board), key=lambda one: order.index(one[1]) if one[1] in order else len(order))
    colours = re.search(r":root \{.*?^\* \{", (page.TEMPLATES / "style.css").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert colours is not None
    chart = drawn[0]
    legend = figures.legend(series)
    left = chart.frame.width + COLUMN
    width = math.ceil(left + KEY + max(charts.breadth(key.name) for key in legend))
    height = max(chart.frame.height, 2 * LINE + LINE * len(legend))
    return page.environment().get_template("picture.svg").render(
        board=board, chart=chart, legend=legend, line=LINE, name_at=KEY, left=left, width=width, height=height,
        style=colours[0].removesuffix("* {"), shots=board.shots[-1],
    )  # fmt: skip
