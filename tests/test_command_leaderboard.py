"""``leaderboard show`` and ``add`` find the table that is meant and hand on what was asked."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from benchmark import cli
from benchmark.results import leaderboard, leaderboard_file, leaderboard_places, runs_meant
from benchmark.results import result as results
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard_rules import FIRST_EDITION
from tests.cli_helpers import refused


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one leaderboard, of a corpus called ``toy_corpus``, in the place of the checkout's."""
    folder = tmp_path / "leaderboards"
    folder.mkdir()
    monkeypatch.setattr(leaderboard_places, "folder", lambda: folder)
    monkeypatch.setattr(leaderboard_places, "_committed", lambda: [folder.resolve()])
    names = [*leaderboard_file.IDENTITY, "mcd", "mcd_lo", "mcd_hi", "mcd_failed", *COSTS, *leaderboard_file.PROVENANCE]
    rows = []
    for steps in ("0", "5"):
        row = dict.fromkeys(names, "1") | {"algorithm": "reptile", "status": "ok", "shots": "5", "steps": steps}
        rows.append(row | {"synthetic": "false", "mcd": f"7.{steps}", "mcd_lo": "6.0", "mcd_hi": "8.0", "mcd_failed": "0"})
    with (folder / "toy_corpus.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["leaderboard", "show", *arguments]) == 0
    return capsys.readouterr().out


def test_a_table_is_found_by_dataset_or_by_path(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_name = shown(capsys, "toy-corpus")
    assert "reptile" in by_name and "7.500 ± 1.000" in by_name
    assert by_name == shown(capsys, str(tables / "toy_corpus.csv"))
    assert "reptile" in shown(capsys)


def test_tables_of_older_protocols_are_found_by_their_folder_and_where_there_is_no_newer_one(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (tables / "toy_corpus.csv").read_text()
    for number, name in ((2, "toy_corpus"), (2, "gone"), (9, "gone"), (10, "gone")):
        (tables / f"protocol-{number}").mkdir(exist_ok=True)
        (tables / f"protocol-{number}" / f"{name}.csv").write_text(text.replace("reptile", f"from_{number}"))
    assert "from_" not in shown(capsys, "toy_corpus") and "from_2" in shown(capsys, "protocol-2/toy-corpus")
    newest = shown(capsys, "gone")
    assert "from_10" in newest and "from_9" not in newest and "from_9" in shown(capsys, "protocol-9/gone")
    everything = shown(capsys)
    assert "protocol-10/gone\n" in everything and "toy_corpus\n" in everything and "from_2" not in everything
    assert "did you mean 'protocol-2/gone'?" in refused(["leaderboard", "show", "protocol-2/go"], 2, capsys)
    verified = leaderboard_places.table_files(None, every=True)
    assert {tables / f"{name}.csv" for name in ("toy_corpus", "protocol-2/toy_corpus", "protocol-2/gone", "protocol-9/gone")} <= {*verified}
    assert leaderboard_places.is_committed(tables / "protocol-9" / "gone.csv")
    assert not leaderboard_places.is_committed(tables / "mine" / "gone.csv")
    assert runs_meant._tables("protocol-9/gone", tables, "from_9") == [tables / "protocol-9" / "gone.csv"]


def test_tables_of_studies_are_found_by_their_folder_alone(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (tables / "toy_corpus.csv").read_text()
    (tables / "study-budget").mkdir()
    for name in ("toy_corpus", "only_here"):
        (tables / "study-budget" / f"{name}.csv").write_text(text.replace("reptile", "with_less"))
    assert "with_less" in shown(capsys, "study-budget/toy_corpus") and "with_less" not in shown(capsys, "toy_corpus")
    assert "with_less" not in shown(capsys)
    assert "did you mean 'study-budget/only_here'?" in refused(["leaderboard", "show", "study-budget/only"], 2, capsys)
    assert "no leaderboard of 'only_here'" in refused(["leaderboard", "show", "only_here"], 2, capsys)
    assert tables / "study-budget" / "toy_corpus.csv" in leaderboard_places.table_files(None, every=True)
    assert leaderboard_places.is_committed(tables / "study-budget" / "toy_corpus.csv")


def test_rows_and_format_are_chosen(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "toy_corpus", "--steps", "5", "--format", "md")
    assert text.startswith("| algorithm") and "7.500" in text and "7.000" not in text
    assert shown(capsys, "toy_corpus", "--metrics", "mcd,mcd", "--format", "latex").count(" & mcd & ") == 1
    assert shown(capsys, "toy_corpus", "--metrics", "mcd,seconds_to_adapt").split()[4:7] == ["mcd", "seconds_to_adapt", "↓"]
    assert shown(capsys, "toy_corpus", "--where", "mcd<=7.0", "--where", "algorithm=reptile").count("reptile") == 1
    quoted = shown(capsys, "toy_corpus", "--where", "mcd<=7", "--where", "algorithm=='reptile'", "--where", "mcd>.5")
    assert quoted == shown(capsys, "toy_corpus", "--where", "mcd<=7.0", "--where", "algorithm=reptile")
    assert shown(capsys, "toy_corpus", "--metrics", "all") == shown(capsys, "toy_corpus", "--metrics", "mcd")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "toy_corps"], "There is no leaderboard of 'toy_corps'; did you mean 'toy_corpus'?"),
        (["show", "none.csv"], "There is no readable leaderboard at none.csv"),
        (["show", "--format", "pdf"], "Argument --format: invalid choice: 'pdf'"),
        (["show", "--shots", "five"], "Argument --shots: must be a whole number, at least 0, not five"),
        (["show", "toy_corpus", "--steps", "-1"], "Argument --steps: must be a whole number, at least 0, not -1"),
        (["show", "toy_corpus", "--where", "mcd"], "--where must be a column, one of <= >= != == < > =, and a value"),
        (["show", "toy_corpus", "--where", "mcd=>7"], "--where must be a column, one of"),
        (["show", "toy_corpus", "--where", "mcb<1"], "{table} has no column 'mcb' for --where; did you mean 'mcd'?"),
        (["show", "toy_corpus", "--where", "mcd<few"], "--where mcd<few needs a number, not 'few'."),
        (["show", "toy_corpus", "--where", "status>1"], "--where status holds text, such as 'ok'; compare it with = or !="),
        (["show", "toy_corpus", "--where", "mcd<1"], "{table} has no row with mcd<1; loosen --where."),
        (["best", "toy_corpus", "--budget", "5 hours"], "Argument --budget: must be a time, such as 500ms, 5s or 2min, not 5 hours"),
        (["best", "toy_corpus", "--shots", "0"], "Argument --shots: must be a whole number, at least 1, not 0"),
        (["best", "toy_corpus", "--metric", "mcd", "--shots", "3"], "{table} has no method at 3 shots; it has 5 shots."),
        (["best", "toy_corpus", "--metric", "mcb"], "{table} has no metric 'mcb'; did you mean 'mcd'?"),
        (["best", "toy_corpus"], "{table} has no metric 'gap_closed'. There are: mcd."),
        (["best", "--dataset", "toy"], "There is no leaderboard of dataset toy. There are: "),
        (["best", "--task", "singing"], "There is no task 'singing'"),
        (["best", "--task", "style"], "There is no leaderboard of task style"),
        (["best", "toy_corpus", "--metric", "mcd", "--shots", "5", "--budget", "1ms"],
         "No method in {table} adapts to 5 shots in 1 ms: the quickest, reptile, takes 1 s; --budget 0 asks for what takes no steps."),
        (["add"], "The following arguments are required: RUN"),
        (["add", "no_such_run"], "There is no run result at no_such_run"),
        ([], "The following arguments are required: show|best|power|cite|add|verify"),
    ],
)
def test_mistakes(tables: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    status = 1 if {"none.csv", "no_such_run"} & set(arguments) else 2
    sentence = sentence.format(table=tables / "toy_corpus.csv")
    assert refused(["leaderboard", *arguments], status, capsys).startswith(f"error: {sentence}")


def test_of_several_tables_one_without_such_rows_says_so(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "other.csv").write_text((tables / "toy_corpus.csv").read_text().replace("reptile,1,1,1,ok,5", "reptile,1,1,1,ok,7"))
    printed = shown(capsys, "--shots", "7")
    assert "--format csv takes one table; name " in refused(["leaderboard", "show", "--format", "csv"], 2, capsys)
    assert "toy_corpus.csv has no row of 7 shots" in printed and printed.count("reptile") == 2
    assert cli.main(["leaderboard", "show", "toy_corpus", "--shots", "7"]) == 2


def test_an_unknown_metric_is_one_sentence(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["leaderboard", "show", "toy_corpus", "--metrics", "mos"]) == 2
    assert capsys.readouterr().err.strip().endswith(f"has no metric 'mos'; it has mcd, or say all; costs are {', '.join(COSTS)}.")


def test_runs_go_to_their_datasets_table_unless_told_otherwise(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Any, ...]] = []

    def add(*arguments: Any) -> list[dict[str, str]]:
        calls.append(arguments)
        return [{"algorithm": "reptile"}] * 2

    method = {"algorithm": "reptile", "backbone": "fastspeech2", "vocoder": "vocos", "problem": "synthesis", "preset": "smoke"}
    found = {"dataset": "of_one", **method, "config": {}, **FIRST_EDITION}
    monkeypatch.setattr(results, "read_result", lambda path: found)
    monkeypatch.setattr(leaderboard, "add", add)
    assert cli.main(["leaderboard", "add", "one", "two"]) == 0
    assert cli.main(["leaderboard", "add", "one", "--table", "mine.csv", "--preliminary"]) == 0
    assert cli.main(["leaderboard", "add", "one", "--table", "of-one"]) == 0
    assert calls == [
        ([Path("one"), Path("two")], tables / "of_one.csv", False),
        ([Path("one")], Path("mine.csv"), True),
        ([Path("one")], tables / "of_one.csv", False),
    ]
    assert "mine.csv: 2 rows of reptile." in capsys.readouterr().out
    assert cli.main(["leaderboard", "add", "one", "--table", "of_two"]) == 2
    assert "must be a file that ends in .csv, or of_one, the table of these runs, not 'of_two'" in capsys.readouterr().err
