"""Charts show what they are given where it is."""

from __future__ import annotations

import pytest

from benchmark.report import charts


def test_charts_place_what_they_are_given() -> None:
    axis = charts.linear([0.13, 0.88], "y")
    assert [text for _, text in axis.ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert axis.place(0.0) == charts.HEIGHT - charts.BOTTOM and axis.place(1.0) == pytest.approx(charts.TOP)
    assert charts.linear([5.0], "y").place(5.0) == pytest.approx((charts.TOP + charts.HEIGHT - charts.BOTTOM) / 2)
    log = charts.log_axis([0.0, 10.0, 1000.0], "x")
    assert log.place(0.0) < log.place(10.0) and log.place(100.0) == pytest.approx((log.place(10.0) + log.place(1000.0)) / 2)
    assert [text for _, text in log.ticks] == ["0", "10", "100", "1000"]
    assert charts.spread([50.0, 51.0, 10.0], 10, 0, 100) == [50.0, 60.0, 10.0]
    assert charts.spread([99.0, 99.0], 10, 0, 100) == [90.0, 100.0]


def test_levels_far_from_all_curves_are_said_and_not_drawn() -> None:
    axis = charts.linear([1.0, 1.2], "pesq")
    curve = charts.Curve(0, [charts.Value(0, 1.0, 0.9, 1.1, "")])
    drawn = charts.chart("t", [curve], charts.steps_axis([0, 5]), axis, [("near", "floor", 1.1), ("far", "topline", 4.6)])
    assert [level.name for level in drawn.levels] == ["near"] and drawn.beyond == ["far 4.60"]
