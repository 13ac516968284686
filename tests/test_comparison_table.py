"""A comparison for papers, spreadsheets and programs; what methods cost is compared like their scores."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.cli import main
from benchmark.results import latex
from benchmark.results.comparison import CURVE, and_costs, compare_all, contenders
from benchmark.results.leaderboard import add
from benchmark.results.leaderboard_table import show
from benchmark.results.verdicts import curve_note, disagreement_note
from tests.cli_helpers import refused
from tests.report_helpers import make_run as made_up
from tests.test_comparison import make_run

SPECIAL = re.compile(r"(?<!\\)[%#&_]")


def runs(root: Path, seeds: Sequence[int] = (0,)) -> list[Path]:
    speakers = [f"s{n}" for n in range(8)]
    gains = {"a_b": 0.9, "c%": 0.1}
    return [made_up(root, name, seed, gain, (5,), (0, 20), speakers, audio=False) for name, gain in gains.items() for seed in seeds]


def test_a_table_longer_than_a_page_goes_on_over_pages() -> None:
    for rows, kind, other in ((40, "tabular", "longtable"), (41, "longtable", "tabular")):
        text = latex.table(["a", "b"], [["x", "1.0"]] * rows, "Rows", "rows", ["a note"])
        assert text.count(f"\\end{{{kind}}}") == 1 and other not in text and text.count("$1.0$") == rows
        assert text.index("a note") > text.index(f"\\end{{{kind}}}") and ("longtable}" in text.splitlines()[0]) == (kind == "longtable")


def check_latex(text: str, rows: int) -> None:
    """As LaTeX reads it: environments nest, braces and dollars close, rows have as many cells as columns, nothing special is bare."""
    opened: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if what == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened and text.isascii()
    bare = text.replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}") and len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    (sides,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    body = text[text.index("\\toprule") : text.index("\\bottomrule")].splitlines()
    lines = [line for line in body if line.endswith("\\\\")]
    assert len(lines) == 1 + rows and {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(sides)}
    for line in lines:
        assert not SPECIAL.search(line.replace(" & ", " ")) and not set("±↑↓×") & set(line)
    for line in re.findall(r"\\(?:caption|par)\{.*", text):
        assert not SPECIAL.search(line), line
    assert len(re.findall(r"\\caption\{", text)) == len(re.findall(r"\\label\{tab:[\w.:-]+\}", text)) == 1


def test_every_format_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(folder) for folder in runs(tmp_path)]

    def said(style: str, *more: str) -> tuple[str, str]:
        assert main(["compare", *folders, "--metrics", "gap_closed,mcd", *more, "--format", style]) == 0
        out, err = capsys.readouterr()
        return out, err

    table, _ = said("table")
    out, err = said("csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    told = json.loads(said("json")[0])
    assert len(rows) == len(told["lines"]) == 6 and {row["steps"] for row in rows} == {"0", "20", "curve"}
    lines = compare_all(contenders([Path(folder) for folder in folders]), {"gap_closed": True, "mcd": False})
    for line, row, record in zip(lines, rows, told["lines"], strict=True):
        for name, value in (("difference", line.found.difference.mean), ("difference_hi", line.found.difference.high), ("p", line.p)):
            assert record[name] == (None if math.isnan(value) else value) and (float(row[name]) if row[name] else None) == record[name]
        assert (record["better"] or "") == row["better"] and f"{line.found.difference.mean:+.3f}" in table
    assert all(sentence in table and sentence in err for sentence in told["sentences"]) and "better than" in told["sentences"][0]
    latex, _ = said("latex")
    check_latex(latex, 6)
    assert "a\\_b is better than c\\%" in latex


def test_a_table_for_a_paper_has_the_best_in_bold_within_its_ties(tmp_path: Path) -> None:
    speakers = [f"s{n}" for n in range(8)]
    table = tmp_path / "made_up.csv"
    for name, gain in (("maml", 0.9), ("reptile", 0.9), ("anil", 0.0), ("ground_truth", 1.5)):
        shots = (0,) if name == "ground_truth" else (5,)
        add([made_up(tmp_path, name, 0, gain, shots, (20,), speakers, audio=False)], table, local=True)
    latex = show(table, style="latex", metrics=["gap_closed", "eer", "seconds_to_adapt"])
    check_latex(latex, 4)
    rows = {line.split()[0]: line.split(" & ") for line in latex.splitlines() if line.endswith("\\\\")}
    bold = {name: ["mathbf" in cell for cell in cells[4:7]] for name, cells in rows.items()}
    assert [bold[name][0] for name in ("maml", "reptile", "anil", "ground\\_truth")] == [True, True, False, False]
    assert sum(own[1] for own in bold.values()) == 1 and not any(own[2] for own in bold.values()), "rates are not tested, costs not ranked"
    assert "eer can't be paired, so only the best is bold" in latex and r"\toprule" in latex
    few = tmp_path / "few" / "made_up.csv"
    for name, gain in (("maml", 0.9), ("reptile", 0.9)):
        add([made_up(few.parent, name, 0, gain, (5,), (20,), speakers[:3], audio=False)], few, local=True)
    latex = show(few, style="latex", metrics=["gap_closed"])
    assert latex.count("mathbf") == 1 and "so few speakers can't show any difference" in latex


def test_costs_are_compared_like_scores_and_tested_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = runs(tmp_path, seeds=(0, 1))
    for number, folder in enumerate(folders):  # seconds with a known difference
        costs = pd.read_csv(folder / "costs.csv")
        assert set(costs["seconds_to_adapt"].round(6)) == {0.01, 6.01} and number < 4
    chosen = and_costs(contenders(folders))
    one, other = chosen
    slower = other.episodes.assign(seconds_to_adapt=other.episodes["seconds_to_adapt"] * 1.5)
    lines = compare_all([one, replace(other, episodes=slower)], {"gap_closed": True, "seconds_to_adapt": False})
    seconds = [line for line in lines if line.metric == "seconds_to_adapt"]
    assert [line.steps for line in seconds] == [0, 20], "no area under a curve of costs"
    assert seconds[1].found.difference.mean == pytest.approx(-3.005) and seconds[1].better == "a_b"
    alone = compare_all(contenders(folders), {"gap_closed": True})
    assert [line.p for line in lines if line.metric == "gap_closed"] == [line.p for line in alone], "costs weaken no test of scores"
    assert set(one.episodes["flops_to_adapt"]) == {0, 20 * 10**11} and set(one.episodes["peak_memory_mb"]) == {100}
    assert main(["compare", *map(str, folders), "--metrics", "seconds_to_adapt,stored_parameters", "--steps", "20"]) == 0
    printed = capsys.readouterr().out
    assert "seconds_to_adapt: wall time, as each run's machine took it" in printed
    assert "stored_parameters: no difference is shown" in printed
    words = ["compare", *map(str, folders), "--metrics"]
    assert "training_tflops is one number for each run" in refused([*words, "training_tflops"], 2, capsys)
    assert "seconds_to_adapt can't be compared over a curve" in refused([*words, "seconds_to_adapt", "--steps", "curve"], 2, capsys)
    assert "did you mean 'seconds_to_adapt'" in refused([*words, "seconds_to_adept"], 2, capsys)
    assert "--shots: must be a whole number, at least 0, not x" in refused([*words, "mcd", "--shots", "x"], 2, capsys)


def test_failed_adaptations_cost_nothing_that_counts(tmp_path: Path) -> None:
    folders = [made_up(tmp_path, name, lost="anna", audio=False) for name in ("a", "b")]
    one, _ = and_costs(contenders(folders))
    lost = one.episodes[(one.episodes["speaker"] == "anna") & (one.episodes["steps"] == 20)]
    assert lost[["seconds_to_adapt", "flops_to_adapt", "stored_parameters"]].isna().all().all() and len(lost)
    assert np.isfinite(one.episodes.drop(lost.index).loc[lambda frame: frame["steps"] == 20, "flops_to_adapt"]).any()


def test_grids_that_differ_are_said_to_leave_the_curve_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = make_run(tmp_path, "one", 0.1), make_run(tmp_path, "other", 0.1, steps=(0, 20, 50))
    assert main(["compare", str(one), str(other)]) == 0
    printed = capsys.readouterr().out
    assert "Not compared over the whole curve, because their steps differ: one and other at 5 shots (0,5,20 and 0,20,50)." in printed
    chosen = contenders([one, make_run(tmp_path, "same", 0.1), make_run(tmp_path, "still", 0.1, steps=(0,))])
    assert curve_note(chosen, ["gap_closed"], None, None) == "" == curve_note(contenders([one, other]), ["gap_closed"], None, 5)


def test_an_interval_that_says_something_else_than_its_test_is_pointed_out(tmp_path: Path) -> None:
    first, *rest = compare_all(contenders([make_run(tmp_path, "a", 0.3), make_run(tmp_path, "b", 0.1)]), {"gap_closed": True})
    assert disagreement_note([first, *rest]) == "" and rest[-1].steps == CURVE
    doubtful = replace(rest[0], better=None, p=0.2)
    assert disagreement_note([first, doubtful]).startswith("At 5 shots and 5 steps the interval leaves out 0 although no difference is")
    weak = replace(rest[0], found=replace(rest[0].found, difference=replace(rest[0].found.difference, low=-0.1)))
    assert disagreement_note([weak, weak]).startswith("At 2 places a difference is shown although the interval holds 0")
    assert disagreement_note([replace(doubtful, p=math.nan)]) == ""
