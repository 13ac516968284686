"""TextGrids whose times or phones can't be the recording's are refused for that reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data.chunks import make_chunks
from benchmark.data.textgrids import Refused, segments
from benchmark.errors import BenchmarkError
from tests.test_listings import Folder, voices

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


def used(root: Path, grids: Path | None = None) -> dict[str, str]:
    """TextGrids by the ids of their utterances."""
    chunks = make_chunks(Folder(root), grids, 0)
    base = grids or root / "textgrids"
    return {name: path.relative_to(base).as_posix() for chunk in chunks for name, path in chunk.grids.items()}


def test_grids_that_lie_as_the_recordings_do_are_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Montreal Forced Aligner writes a tree of folders like the corpus's."""
    root = voices(tmp_path / "corpus", *(f"{split}/{who}" for split, who in (("train", "anna"), ("train", "bob"), ("test", "cleo"))))
    for who, number in (("anna", 0), ("bob", 1), ("cleo", 2)):
        for ending in ("wav", "txt"):
            (root / ("test" if who == "cleo" else "train") / who / f"{number}.{ending}").rename(
                root / ("test" if who == "cleo" else "train") / who / f"1.{ending}"
            )
    grids = ("anna/1.TextGrid", "bob/1.textgrid", "elsewhere/1.TextGrid", "elsewhere/._1.TextGrid")
    for name in grids:
        (root / "textgrids" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "textgrids" / name).write_text("")
    assert used(root) == {"train-anna-1": "anna/1.TextGrid", "train-bob-1": "bob/1.textgrid"}
    assert "1 of 3 TextGrids in " in (said := capsys.readouterr().err) and "belong to no utterance (such as elsewhere/1)" in said
    (root / "textgrids" / "test-cleo-1.TextGrid").write_text("")
    assert used(root)["test-cleo-1"] == "test-cleo-1.TextGrid"


def test_an_empty_folder_of_grids_is_none_unless_it_was_asked_for(tmp_path: Path) -> None:
    root = voices(tmp_path, "anna", "bob")
    (root / "textgrids").mkdir()
    assert used(root) == {}
    with pytest.raises(BenchmarkError, match="none of the 0 found"):
        used(root, root / "textgrids")
