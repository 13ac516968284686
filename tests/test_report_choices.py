"""The report opens with the method to choose, as the rows and ``leaderboard best`` have it."""

from __future__ import annotations

import html
from pathlib import Path

import pandas as pd

from benchmark.cli import main
from benchmark.plugins import fit
from benchmark.report.boards import Board, boards
from benchmark.report.choices import choices
from benchmark.results.best import BUDGETS
from benchmark.results.columns import known
from benchmark.results.comparison import pooled
from benchmark.results.leaderboard_file import read
from tests.committed import of_protocol_1
from tests.report_helpers import make_run


def committed(table: Path) -> Board:
    """A board with the committed rows, which ``boards`` would compute again in minutes."""
    rows, runs = read(table), table.parent / "runs"
    contenders = pooled([runs / name for name in dict.fromkeys(name for row in rows for name in row["run_ids"].split())])
    own = {one.name: [row for row in rows if row["run_ids"].split()[0] in {folder.name for folder in one.folders}] for one in contenders}
    roles = {one.name: fit.role(one.results[0]["algorithm"]) for one in contenders}
    return Board(table.stem, contenders, own, ["gap_closed"], ["gap_closed"], known(), roles)


def test_the_grid_is_what_pandas_finds_in_the_committed_table() -> None:
    table = of_protocol_1("speechocean762")
    frame = pd.read_csv(table).query("status == 'ok' and shots > 0")
    found = choices(committed(table))
    assert found is not None and not found.powerless and "anil" in found.others
    assert [entry.head.value for entry in found.grid.entries] == [1, 5, 10]
    heads = [heading.text for heading in found.grid.columns[1:]]
    assert heads == ["no steps", *(f"up to {most}" for most in ("1\xa0s", "5\xa0s", "20\xa0s", "1\xa0min", "5\xa0min"))]
    for entry in found.grid.entries:
        for budget, cell in zip(BUDGETS, entry.cells, strict=False):
            within = frame["steps"] == 0 if budget == 0 else frame["seconds_to_adapt"] <= budget
            best = frame[within & (frame["shots"] == entry.head.value)].sort_values("gap_closed").iloc[-1]
            assert cell.text.partition(":")[0] == best["algorithm"]
            assert cell.note.startswith(f"{best['gap_closed']:.2f}, {best['steps']}\xa0steps, ")
    here = frame[frame["shots"] == 10]
    for cost, points in found.points.items():
        dominated = here.apply(
            lambda row, cost=cost: ((here[cost] <= row[cost]) & (here["gap_closed"] >= row["gap_closed"])).sum() > 1, axis=1
        )
        assert sorted(float(row["gap_closed"]) for row in points) == sorted(here.loc[~dominated, "gap_closed"])
        if cost not in found.fronts:
            continue
        assert [entry.head.text.partition(":")[0] for entry in found.fronts[cost].entries] == [row["algorithm"] for row in points]
    (five,) = (entry for entry in found.grid.entries if entry.head.value == 5)
    assert five.cells[2].note.endswith("; tied with meta_sgd, reptile and maml")


def test_few_speakers_make_no_ties_but_a_note(tmp_path: Path) -> None:
    for name, gain in (("maml", 0.9), ("reptile", 0.1), ("anil", 0.05)):
        make_run(tmp_path, name, gain=gain, audio=False)
    make_run(tmp_path, "ground_truth", gain=1.2, shots=(0,), audio=False)
    (board,) = boards(list(tmp_path.iterdir()), 1)
    found = choices(board)
    assert found is not None and found.powerless
    assert {cell.text for entry in found.grid.entries for cell in entry.cells[1:]} == {"maml"}
    notes = [cell.note for entry in found.grid.entries for cell in entry.cells]
    assert all("not separable from 2 others" in note and "tied" not in note for note in notes)
    assert main(["report", "--output", str(tmp_path), "--cache", str(tmp_path), "--workers", "1"]) == 0
    text = html.unescape((tmp_path / "report.html").read_text())
    assert text.index("Which method?") < text.index("In short") and "Not separable: so few speakers" in text
    assert text.count("<title>Pareto front</title>") == 2, "all store as many numbers, which leaves one point and no line"
    assert "Pareto front of gap_closed against seconds of adaptation" in text


def test_one_method_alone_is_best(tmp_path: Path) -> None:
    make_run(tmp_path, "maml", audio=False, shots=(5,))
    found = choices(boards(list(tmp_path.iterdir()), 1)[0])
    assert found is not None and {cell.text for entry in found.grid.entries for cell in entry.cells} == {"maml"}
    make_run(tmp_path / "only", "ground_truth", audio=False, shots=(0,))
    assert choices(boards(list((tmp_path / "only").iterdir()), 1)[0]) is None
