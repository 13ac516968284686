"""Who has too few utterances is left out and named, by the same rule in `check`, `prepare` and `run`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.cli import main
from tests.cli_helpers import refused
from tests.dataset_helpers import recorded

COUNTS = {"train": {"t1": 6, "t2": 6, "t3": 3}, "validation": {"v1": 6}, "test": {"rich": 6, "poor": 5, "poorest": 4}}
RUN = ["run", "--algo", "reptile", "--dataset", "folder", "--preset", "smoke", "--fast-dev-run", "--metrics", "stoi", "--workers", "1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("enough") / "data", COUNTS)


def test_check_and_prepare_say_what_usual_runs_would_leave_out(root: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = [
        "  1 of 3 training speakers has fewer than the 6 utterances that a task's support of 3 and query of 3 need and is left out: "
        "t3 (3).",
        "  2 of 3 test speakers have fewer than the 6 utterances that 1 shot, 3 queries and a centroid of 2 need and are left out: "
        "poor (5), poorest (4).",
        "  3 of 3 test speakers have fewer than the 10 utterances that 5 shots, 3 queries and a centroid of 2 need: poor (5), poorest (4), "
        "rich (6); ask for fewer --shots or --evaluation.queries, or record more.",
    ]
    assert main(["check", "folder", "--data-root", str(root)]) == 0
    surveyed = capsys.readouterr().out.splitlines()
    assert [line for line in surveyed if "fewer than" in line and "validation" not in line] == said
    assert surveyed[-1] == "A run can use it."
    assert main(["prepare", "--dataset", "folder", "--data-root", str(root), "--cache", str(cache), "--workers", "1"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "fewer than" in line and "validation" not in line] == said


@pytest.mark.usefixtures("in_this_process")
def test_a_run_leaves_out_whom_it_can_not_serve(root: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--data-root", str(root), "--cache", str(cache), "--output", str(tmp_path)]
    assert main([*RUN, *places, "--shots", "2"]) == 0
    printed = capsys.readouterr().out
    assert (
        "1 of 3 test speakers has fewer than the 5 utterances that 2 shots, 1 query and a centroid of 2 need and is left out: "
        "poorest (4).\n1 of 3 training speakers has fewer than the 6 utterances that a task's support of 3 and query of 3 need and is left "
        "out: t3 (3).\n"
    ) in printed
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    result = json.loads((folder / "result.json").read_text())
    assert result["left_out"] == ["poorest"] and {point["speakers"] for point in result["curve"]} == {2}
    sentence = refused([*RUN, *places, "--shots", "4"], 2, capsys)
    assert "3 of 3 test speakers of folder have fewer than the 7 utterances" in sentence and "ask for fewer --shots" in sentence
