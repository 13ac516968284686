"""TextGrids whose times or phones can't be the recording's are refused for that reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data.textgrids import Refused, segments

WORDS = (("a", "b"), ("c",))
GOOD = [("a", 0.5, 0.6), ("b", 0.6, 0.7), ("c", 0.9, 1.0)]
SECONDS = 1.2


def write(folder: Path, intervals: list[tuple[str, float, float]], end: float = SECONDS) -> Path:
    """A TextGrid in Praat's short form."""
    entries = "".join(f'{start}\n{end}\n"{label}"\n' for label, start, end in intervals)
    path = folder / "a.TextGrid"
    path.write_text(f'"ooTextFile"\n"TextGrid"\n0\n{end}\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n{end}\n{len(intervals)}\n{entries}')
    return path


def moved(by: float = 0.0, times: float = 1.0) -> list[tuple[str, float, float]]:
    return [(label, start * times + by, end * times + by) for label, start, end in GOOD]


def test_good_times_and_small_slips_are_taken(tmp_path: Path) -> None:
    for intervals in (GOOD, moved(0.24), [GOOD[0], ("b", 0.585, 0.7), GOOD[2]]):
        found = segments(write(tmp_path, intervals), WORDS, SECONDS)
        assert [[segment.phone for segment in word] for word in found] == [["a", "b"], ["c"]]
        assert found[0][0].start == intervals[0][1]


@pytest.mark.parametrize(
    ("intervals", "reason"),
    [
        (moved(5.0), "times lie outside the recording"),
        (moved(0.26), "times lie outside the recording"),
        (moved(times=1000), "times are in milliseconds"),
        ([GOOD[0], ("b", 0.57, 0.7), GOOD[2]], "intervals overlap"),
        ([GOOD[0], ("b", 0.7, 0.6), GOOD[2]], "an interval does not end after it starts"),
        ([GOOD[0], ("b", 0.6, 0.6), GOOD[2]], "an interval does not end after it starts"),
        ([("a", 0.6, 0.7), ("b", 0.5, 0.6), GOOD[2]], "intervals are out of order"),
        ([("AH0", 0.5, 0.6), ("B", 0.6, 0.7), ("K", 0.9, 1.0)], "phones are ARPABET"),
        ([("x", 0.5, 0.6), ("b", 0.6, 0.7), ("c", 0.9, 1.0)], "phones differ"),
    ],
)
def test_what_can_not_be_the_recording_is_refused(intervals: list[tuple[str, float, float]], reason: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=reason):
        segments(write(tmp_path, intervals), WORDS, SECONDS)


@pytest.mark.parametrize(("end", "fits"), [(1.1, True), (1.3, True), (1.31, False), (1.08, False), (9.0, False)])
def test_a_grid_must_be_about_as_long_as_the_recording(end: float, fits: bool, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, end)
    if fits:
        assert segments(path, WORDS, SECONDS)
    else:
        with pytest.raises(Refused, match="its length is not the recording's"):
            segments(path, WORDS, SECONDS)
