"""Charts show what they are given where it is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import ImageFont

from benchmark.cli import main
from benchmark.report import charts, figures
from benchmark.report.boards import boards, of_table
from benchmark.results.leaderboard import add_own
from benchmark.results.leaderboard_file import read
from tests.cli_helpers import refused
from tests.report_helpers import make_run


def test_charts_place_what_they_are_given() -> None:
    axis = charts.linear([0.13, 0.88], "y")
    assert [text for _, text in axis.ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert axis.place(0.0) == charts.WIDE.bottom and axis.place(1.0) == pytest.approx(charts.WIDE.top)
    assert charts.linear([5.0], "y").place(5.0) == pytest.approx((charts.WIDE.top + charts.WIDE.bottom) / 2)
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


def test_small_charts_share_the_scale_of_all_and_show_the_others_in_grey(tmp_path: Path) -> None:
    names = [f"method{number}" for number in range(figures.MANY)]
    for place, name in enumerate(names):
        make_run(tmp_path, name, gain=0.2 + place / 10, audio=False)
    make_run(tmp_path, "no_adaptation", gain=0, shots=(0,), audio=False)
    (board,) = boards(list(tmp_path.iterdir()), 1)
    found = figures.curves(board)
    assert found is not None
    assert [chart.title for chart in found.ranking] == ["gap_closed, 1 shot", "gap_closed, 5 shots"]
    assert [chart.title for chart in found.methods] == names
    assert [chart.title for chart in found.metrics] == ["mcd (dB)", "speaker_similarity (cosine)", "eer (fraction)"]
    assert [(shots, len(drawn)) for shots, drawn in found.fewer] == [(1, 3)]
    for place, chart in enumerate(found.methods):
        (line,) = chart.lines
        assert line.number == place and len(chart.others) == len(names) - 1 and chart.y.ticks == found.methods[0].y.ticks
        for (row, mark), at in zip(zip(board.rows[chart.title][-3:], line.marks, strict=True), (0, 5, 20), strict=True):
            assert mark.y == pytest.approx(chart.y.place(float(row["gap_closed"])), abs=0.06) and mark.x == round(chart.x.place(at), 1)
            assert chart.frame.left <= mark.x <= chart.frame.right and chart.frame.top <= mark.y <= chart.frame.bottom
    few = figures.curves(boards(list(tmp_path.glob("*method0*")), 1)[0])
    assert few is not None and not few.methods, "one curve covers no other"
    assert {chart.frame for chart in found.ranking} == {charts.beside(["no_adaptation"])}
    drawn = [*few.ranking, *figures.costs(boards(list(tmp_path.glob("*method0*")), 1)[0], {})]
    assert {chart.frame for chart in drawn} == {charts.WIDE}, "no level needs room for its name"
    for chart in drawn:
        assert max(place for place, _ in chart.x.ticks) > found.ranking[0].frame.right
        assert all(chart.frame.left <= mark.x <= chart.frame.right for line in chart.lines for mark in line.marks)


FLOORS = ("same_sex_speaker", "same_sex_adults", "wrong_speaker", "SOMEBODY_WITH_A_LONG_NAME", "mmmwwwMMMWWW@@@%%%")


@pytest.mark.parametrize("floors", [FLOORS, ()])
def test_no_text_of_a_chart_is_cut(floors: Sequence[str], tmp_path: Path) -> None:
    """In DejaVu Sans, one of the widest fonts that pages are read in; what stood beyond the view box would be cut."""
    for name in ("maml_plus_plus_with_a_long_name", "MAML"):
        make_run(tmp_path, name, audio=False)
    for place, name in enumerate(floors):
        make_run(tmp_path, name, gain=place / 10, shots=(0,), audio=False)
    picture = tmp_path / "main.svg"
    assert main(["report", "--output", str(tmp_path), "--cache", str(tmp_path), "--workers", "1", "--picture", str(picture)]) == 0
    charts_of_page = re.findall(r'<svg viewBox="[^"]*" role="img".*?</svg>', (tmp_path / "report.html").read_text(), re.DOTALL)
    assert len(charts_of_page) > 5
    seen = set()
    for drawn in (*charts_of_page, picture.read_text()):
        root = ElementTree.fromstring(re.sub(" xmlns=[^ ]*", "", drawn))
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for element, (x, y, turned) in _placed(root):
            text = str(element.text)
            size, start = _font().getlength(text), {"end": 1.0, "middle": 0.5}.get(element.get("class", ""), 0.0)
            low, limit = (y, height) if turned else (x, width)
            assert low - start * size >= 0 and low + (1 - start) * size <= limit, (text, root.attrib)
            seen.add(text)
    assert {*floors[:3], "MAML", "maml_plus_plus_with_a_long_name", "gap_closed (fraction)"} <= seen
    assert (sum(text.endswith("…") for text in seen) == 2) == (len(floors) == 5), "names that leave no room for the curves"


def _placed(root: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, tuple[float, float, bool]]]:
    """Texts with their places, and whether they run upwards."""
    groups = [(root, 0.0), *((group, float(group.attrib["transform"][10:].split()[0])) for group in root.iterfind("g[@transform]"))]
    for group, aside in groups:
        for element in group.iterfind("text"):
            if "rotate" in element.get("transform", ""):
                yield element, (0.0, float(re.findall(r"[\d.]+", element.attrib["transform"])[1]), True)
            else:
                yield element, (aside + float(element.attrib["x"]), float(element.attrib["y"]), False)


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    matplotlib = pytest.importorskip("matplotlib", reason="needs its font: pip install '.[plots]'")
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 13)


def test_a_line_of_text_is_no_broader_than_estimated() -> None:
    for letter in (chr(code) for code in (*range(32, 127), 0xE4, 0x2026)):
        assert _font().getlength(letter) <= charts.breadth(letter), letter
    assert charts.breadth("same_sex_speaker") < 1.15 * _font().getlength("same_sex_speaker"), "the curves need room too"


def test_the_picture_shows_what_the_page_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    make_run(runs, "a&<b>", gain=0.2, audio=False)
    make_run(runs, "better", gain=0.9, audio=False)
    make_run(runs, "ground_truth", shots=(0,), audio=False)
    common = ["report", "--output", str(runs), "--cache", str(tmp_path), "--workers", "1"]
    assert main([*common, "--picture", str(tmp_path / "main.svg")]) == 0
    root = ElementTree.parse(tmp_path / "main.svg").getroot()
    spaces = {"svg": "http://www.w3.org/2000/svg"}
    texts = [element.text for element in root.iterfind(".//svg:text", spaces)]
    assert [text for text in texts if text in ("a&<b>", "better")] == ["better", "a&<b>"], "the legend, best first"
    assert "seconds to adapt (log scale)" in texts and "ground_truth" in texts
    (board,) = boards(list(runs.glob("made_up-*")), 1)
    series = [group for group in root.iterfind(".//svg:g", spaces) if "data-series" in group.attrib]
    marks = [len(group.findall(".//svg:path[@class='mark']", spaces)) for group in series]
    assert marks == [3, 3] == [sum(row["shots"] == "5" for row in board.rows[name]) for name in ("a&<b>", "better")]
    style = root.find("svg:style", spaces)
    assert style is not None and "prefers-color-scheme: dark" in str(style.text) and "url(" not in str(style.text)
    assert ElementTree.tostring(root).count(b"href") == 0
    assert "must name an SVG file" in refused([*common, "--picture", tmp_path / "main.png"], 2, capsys)
    assert main(["report", *map(str, runs.glob("*ground_truth*")), "--picture", str(tmp_path / "none.svg")]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_a_table_is_shown_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are not computed again, and a run that is missing is named."""
    runs = [make_run(tmp_path / "runs", "maml", seed, speakers=("anna", "bert"), beside=True) for seed in (0, 1, 2)]
    table = add_own([runs], tmp_path / "runs")
    monkeypatch.setattr("benchmark.report.boards.compute_rows", None)
    (board,) = of_table(table, [])
    assert board.rows == {"maml": read(table)} and len(board.contenders[0].folders) == 3
    out = tmp_path / "page.html"
    assert main(["report", "--table", str(table), "--html", str(out), "--cache", str(tmp_path), "--picture", str(tmp_path / "p.svg")]) == 0
    assert "What anna said." in out.read_text()
    assert "give one of them" in refused(["report", runs[0], "--table", table], 2, capsys)
    monkeypatch.setattr("benchmark.results.leaderboard_places._committed", lambda: [tmp_path / "runs"])
    shutil.copy(table, table.with_name("another.csv"))
    assert main(["report", "--table", "all", "--html", str(out), "--cache", str(tmp_path)]) == 0
    assert out.read_text().count("<article") == 2, "all committed tables are on one page"
    shutil.rmtree(runs[1])
    assert f"{runs[1].name}, which a row of" in refused(["report", "--table", table], 2, capsys)
