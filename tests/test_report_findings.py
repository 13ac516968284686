"""What a report concludes from its runs, when it concludes nothing, and how it says numbers."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import main
from benchmark.metric import Column
from benchmark.plugins import registry
from benchmark.report import tables, words
from benchmark.report.boards import boards
from benchmark.report.findings import findings
from benchmark.results.columns import known
from benchmark.results.result import read_result
from tests.report_helpers import change_result, make_run

OWN_METRIC = '''
"""Loudness."""

from benchmark.metric import Column, Metric


class Loudness(Metric):
    version = "1"
    columns = {"loud": Column(unit="sone", meaning="how loud it is", higher_is_better=True, low=0.0)}
    constants = {"loud_real": "loudness of recordings"}
    needs = ("speech",)

    def score(self, sample):
        return {"loud": 1.0}


PLUGIN = Loudness
'''


def _set_facts(run: Path, **facts: float) -> None:
    change_result(run, facts=read_result(run)["facts"] | facts)


def test_the_answer_comes_first_and_ties_stand_together(tmp_path: Path) -> None:
    speakers = [f"s{n}" for n in range(8)]
    runs = [make_run(tmp_path, name, gain=gain, speakers=speakers, audio=False) for name, gain in (("a", 0.9), ("b", 0.9), ("worse", 0.1))]
    runs += [make_run(tmp_path, name, gain=0.5, shots=(0,), speakers=speakers, audio=False) for name in ("ground_truth", "no_adaptation")]
    (board,) = boards(runs, 1)
    found = findings(board)
    assert found is not None and (found.metric, found.shots, found.powerless) == ("gap_closed", 5, False)
    assert [sorted(score.name for score in group) for group in found.groups] == [["a", "b"], ["worse"]]
    best = found.groups[0][0]
    row = board.rows[best.name][-1]
    assert (row["shots"], row["steps"], best.steps) == ("5", "20", 20)
    assert float(best.value) == pytest.approx(float(row["gap_closed"]), abs=0.005) and best.bounds.startswith("[")
    assert sorted(score.name for score in found.scale) == ["ground_truth", "no_adaptation"]
    assert [board.role(name) for name in ("a", "ground_truth", "no_adaptation")] == ["", "topline", "floor"]
    assert [contender.name for contender in board.contenders] == ["a", "b", "worse", "ground_truth", "no_adaptation"]


def test_what_failed_and_what_is_not_ranked_is_said(tmp_path: Path) -> None:
    """A method that fails on the hard voices is scored on the others alone."""
    speakers = ("anna", "bert", "carl", "dora")
    make_run(tmp_path, "maml", lost="anna", speakers=speakers, audio=False)
    make_run(tmp_path, "finetune", speakers=speakers, audio=False)
    make_run(tmp_path, "reptile", shots=(1,), speakers=speakers, audio=False)
    make_run(tmp_path, "anil", lost="anna", speakers=("anna",), audio=False)
    (board,) = boards([path for path in tmp_path.iterdir()], 1)
    found = findings(board)
    assert found is not None and found.absent == ["anil", "reptile"]
    assert {score.name: score.failed for group in found.groups for score in group} == {"maml": 1, "finetune": 0}
    assert main(["report", "--output", str(tmp_path), "--cache", str(tmp_path), "--workers", "1"]) == 0
    text = (tmp_path / "report.html").read_text()
    assert found.powerless and "Not separable with this many speakers, who can't tell so many methods apart" in text
    assert "20 steps, without 1 utterance that failed" in text and "on the others' sentences: anil, reptile." in text


def test_where_speakers_are_too_few_for_all_pairs_the_best_is_tested_alone(tmp_path: Path) -> None:
    """Eight speakers: .0078 times ten pairs is above .05, times four is not. What is far behind shares no rank with the best."""
    speakers = [f"s{n}" for n in range(8)]
    gains = {"best": 0.9, "tied": 0.9, "c": 0.3, "d": 0.2, "e": 0.1}
    runs = [make_run(tmp_path, name, gain=gain, speakers=speakers, audio=False, queries=4) for name, gain in gains.items()]
    found = findings(boards(runs, 1)[0])
    assert found is not None and found.powerless and found.best_alone
    assert [sorted(score.name for score in group) for group in found.groups] == [["best", "tied"], ["c", "d", "e"]]
    assert main(["report", "--output", str(tmp_path), "--cache", str(tmp_path), "--workers", "1"]) == 0
    text = (tmp_path / "report.html").read_text()
    assert "only the best from the others" in text and "; among themselves by value, without a rank" in text
    few = findings(boards([make_run(tmp_path / "few", name, gain=gain, audio=False) for name, gain in gains.items()], 1)[0])
    assert few is not None and few.powerless and not few.best_alone and [len(group) for group in few.groups] == [1] * 5


def test_what_shares_too_few_speakers_with_the_best_has_no_rank(tmp_path: Path) -> None:
    speakers = [f"s{n}" for n in range(8)]
    runs = [make_run(tmp_path, name, gain=gain, speakers=speakers, audio=False) for name, gain in (("a", 0.9), ("worse", 0.1))]
    runs.append(make_run(tmp_path, "half", gain=0.05, speakers=speakers[:4], audio=False))
    found = findings(boards(runs, 1)[0])
    assert found is not None and not found.powerless
    assert [[score.name for score in group] for group in found.groups] == [["a"], ["worse"]]
    assert [score.name for score in found.untold] == ["half"], "four speakers can't show that it is worse than the best, however bad"


def test_what_has_other_seeds_is_no_tie(tmp_path: Path) -> None:
    """Another seed trained another model: its differences are not those of methods."""
    speakers = [f"s{n}" for n in range(8)]
    runs = [make_run(tmp_path, name, gain=0.9, speakers=speakers, audio=False) for name in ("a", "c")]
    runs += [make_run(tmp_path, name, 5, gain=0.1, speakers=speakers, audio=False) for name in ("b", "d")]
    found = findings(boards(runs, 1)[0])
    assert found is not None and found.absent == [] and [score.name for score in found.others] in (["b", "d"], ["d", "b"])
    assert [sorted(score.name for score in group) for group in found.groups] == [["a", "c"]]


def test_only_methods_of_the_same_seeds_are_ranked(tmp_path: Path) -> None:
    """Their values are means over all their seeds, and another pretraining moves all of them."""
    small: dict[str, Any] = {"speakers": [f"s{n}" for n in range(8)], "steps": (20,), "audio": False}
    runs = [make_run(tmp_path, name, seed, gain=gain, shots=(5,), **small)
            for name, gain in (("a", 0.4), ("worse", 0.1)) for seed in range(3)]  # fmt: skip
    single = [make_run(tmp_path, name, gain=gain, shots=(5,), **small) for name, gain in (("also", 0.9), ("once", 0.6))]
    floor = make_run(tmp_path, "no_adaptation", gain=0.0, shots=(0,), **small)
    found = findings(boards([*runs, *single, floor], 1)[0])
    assert found is not None and [[score.name for score in group] for group in found.groups] == [["a"], ["worse"]]
    assert found.seeds == "seeds 0, 1 and 2" and found.absent == []
    assert [(score.name, score.seeds) for score in found.others] == [("also", "seed 0"), ("once", "seed 0")]
    found = findings(boards([runs[0], runs[3], *single], 1)[0])
    assert found is not None and (found.seeds, found.others) == ("seed 0", []) and sum(map(len, found.groups)) == 4
    assert main(["report", "--output", str(tmp_path), "--cache", str(tmp_path), "--workers", "1"]) == 0
    text = (tmp_path / "report.html").read_text()
    assert "rests on seeds 0, 1 and 2. Not ranked, because other seeds are other models: <span class=" in text
    assert ", 20 steps, seed 0" in text and "no_adaptation (floor, seed 0)" in text
    assert "once (1 seed)</button>" in text and "a</button>" in text, "the curves' legend says so too"


def test_runs_of_unlike_presets_and_budgets_are_said(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", audio=False), make_run(tmp_path, "b", audio=False, preset="paper")]
    change_result(runs[1], training=read_result(runs[1])["training"] | {"flops": 1e14})
    assert main(["report", *map(str, runs), "--cache", str(tmp_path), "--workers", "1", "--html", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "of several presets, paper and small" in text and "Trained with different budgets" in text


def test_scores_on_different_scales_are_not_ranked_and_said_so(tmp_path: Path) -> None:
    """As ``compare`` refuses them for the metrics concerned, and leaderboards for one table."""
    runs = [make_run(tmp_path / "runs", name, audio=False) for name in ("a", "b", "c")]
    _set_facts(runs[1], same=0.8)
    (board,) = boards(runs, 1)
    assert board.unlike() == {"speaker_similarity": "same (0.9 and 0.8)"} and findings(board) is None
    assert main(["report", *map(str, runs), "--cache", str(tmp_path), "--workers", "1", "--html", str(tmp_path / "page.html")]) == 0
    text = html.unescape((tmp_path / "page.html").read_text())
    assert "Don't compare speaker_similarity, gap_closed, margin, identified and eer between these runs" in text
    assert "same (0.9 and 0.8)" in text
    assert "In short" not in text
    # What rounding on another machine does is no difference, and neither is an algorithm's own fact.
    _set_facts(runs[1], same=0.90001, embedding_eer=0.5)
    (board,) = boards(runs, 1)
    assert board.unlike() == {} and findings(board) is not None


def test_seeds_scored_on_different_scales_are_not_pooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, "a", seed, audio=False) for seed in (0, 1)]
    _set_facts(runs[1], same=0.8)
    assert main(["report", "--output", str(tmp_path), "--workers", "1"]) == 1
    assert "can't be pooled: they differ in same (0.9 and 0.8)" in capsys.readouterr().err


def test_what_source_says_of_columns_is_what_the_classes_say() -> None:
    columns: dict[str, Column] = {}
    constants: dict[str, str] = {}
    for name in registry.find("metric"):
        plugin = registry.load("metric", name)
        columns |= {**plugin.columns, **plugin.rates}
        constants |= plugin.constants
    found = known()
    assert found.columns == columns and found.constants == constants and found.rates == {"eer", "ecapa_eer", "dvector_eer"}
    assert (found.metrics["eer"], found.metrics["per_real"]) == ("speaker_similarity", "per")
    assert found.label("mcd") == "mcd (dB)" and found.label("unheard_of") == found.plain("unheard_of") == "unheard_of"
    assert found.of({"per"}).columns.keys() == {"per"} and found.of({"per"}).higher_is_better("mcd") is None


def test_a_metric_of_ones_own_is_labelled_by_its_class(tmp_path: Path) -> None:
    """One file says all: what the report shows of its column, and on which constant the runs must agree."""
    file = tmp_path / "loudness.py"
    file.write_text(OWN_METRIC)
    versions = {"mcd": "1", "loudness": "1"}
    runs = [make_run(tmp_path, name, audio=False, metric_versions=versions, columns=("mcd", "loud")) for name in ("a", "b")]
    (board,) = boards(runs, 1, [str(file)])
    assert tables.meanings(board)["loud (sone)"] == "how loud it is" and tables.arrow(board, "loud") == "↑"
    _set_facts(runs[0], loud_real=4.0)
    _set_facts(runs[1], loud_real=5.0)
    assert boards(runs, 1, [str(file)])[0].unlike() == {"loudness": "loud_real (4 and 5)"}
    (board,) = boards(runs, 1)
    assert board.unlike() == {} and tables.arrow(board, "loud") == "" and tables.meanings(board)["loud"] == "see its plugin"


def test_numbers_have_the_digits_that_their_intervals_bear_out() -> None:
    rows = [{"m": "1.23456", "m_lo": low, "m_hi": high} for low, high in (("0.2", "2.2"), ("1.2", "1.3"), ("", ""))]
    wide = [{"m": "500", "m_lo": "400", "m_hi": "600"}]
    assert [words.digits(some, "m") for some in (rows[:1], rows[1:2], rows[2:], wide)] == [1, 3, 3, 0]
    assert words.said(rows[1], "m", 2) == "1.23, 95 % interval [1.20, 1.30]" and words.said(rows[2], "m", 3) == "1.235"


def test_reasons_that_differ_in_durations_are_one(tmp_path: Path) -> None:
    reasons = ("10.21 s found, 0.5 s needed", "9.34 s found, 0.5 s needed", "9.34 s found, 0.5 s needed", "p225 is odd", "p226 is odd")
    runs = [make_run(tmp_path, "maml", seed, shots=(1,), steps=(5,), failure=reason) for seed, reason in enumerate(reasons)]
    (board,) = boards(runs, 1)
    assert [[cell.text for cell in entry.cells] for entry in tables.failures(board).entries] == [
        ["mcd", "9 of 15", "9.34 to 10.21 s found, 0.5 s needed"], ["mcd", "3 of 15", "p225 is odd"], ["mcd", "3 of 15", "p226 is odd"],
    ]  # fmt: skip
