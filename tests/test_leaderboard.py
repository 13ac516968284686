"""Leaderboard rows come from runs and nothing else; what may not be cited is refused, with the reason."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.commands.run import show_results
from benchmark.errors import BenchmarkError, UsageError
from benchmark.metric import Metric
from benchmark.plugins import registry
from benchmark.problems import PROBLEMS
from benchmark.results.columns import known
from benchmark.results.episode_log import CostRow, EpisodeLog, EpisodeRow
from benchmark.results.leaderboard import add
from benchmark.results.leaderboard_check import check
from benchmark.results.leaderboard_cite import cite
from benchmark.results.leaderboard_file import read
from benchmark.results.leaderboard_rules import ASSUMED, FIRST_EDITION, problem_of, table_of
from benchmark.results.leaderboard_table import show
from benchmark.results.result import LATER, RunIdentity, read_result, run_id, write_result
from benchmark.settings.config import parse, to_dict
from benchmark.settings.schema import RunSettings
from benchmark.settings.trial import fast_dev_run
from tests.cli_helpers import refused
from tests.report_helpers import change_result
from tests.report_helpers import make_run as made_up

REFERENCES = PROBLEMS["synthesis"].references


def make_run(
    root: Path, seed: int = 0, clean: bool = True, facts: Mapping[str, float] | None = None, tuned: Mapping[str, Any] | None = None,
    steps: Sequence[int] = (0, 5), **changes: Any,
) -> Path:  # fmt: skip
    identity = RunIdentity(**{
        "dataset": "d", "algorithm": "no_adaptation", "backbone": "b", "vocoder": "v", "preset": "small", "seed": seed,
        "config": {"seed": seed, "shots": [5], "steps": [*steps], "algo": {"name": "no_adaptation"}}, "sources": {"algorithm": "x"},
        "metric_versions": {"mcd": "1"}, "data_version": "dv", "manifest_hash": "mh", "protocol_version": "1",
        "synthetic": False, "limited": False, **changes,
    })  # fmt: skip
    folder = root / run_id(identity)
    log = EpisodeLog(folder, ["mcd"])
    for speaker in range(4):
        generator = np.random.default_rng([seed, speaker])
        rows, costs = [], []
        for step in steps:
            value = {"mcd": 9.0 - step / 5 + float(generator.normal(scale=0.2)) + speaker / 10}
            rows.append(EpisodeRow(f"s{speaker}", 0, 5, step, "u0", value, flops=step * 10, stored_parameters=7))
            rows.append(EpisodeRow(f"s{speaker}", 0, 5, step, "u1", {"mcd": float("nan")}, {"mcd": "silent"}))
            costs.append(CostRow(f"s{speaker}", 0, 5, step, 0.5 * step))
        log.append(rows, costs)
    facts = facts or {"same": 0.9, "embedding_eer": 0.1}
    write_result(folder, identity, facts, {"flops": 2e12, "steps": 10, "seconds": 1.0, "budget_flops": 2e12}, 3.0, tuned)
    change_result(folder, git_dirty=not clean)
    return folder


def test_three_seeds_make_rows_that_can_be_read_back(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    folders = [make_run(tmp_path, seed) for seed in range(3)]
    add(folders, table)
    rows = read(table)
    assert [(row["status"], row["shots"], row["steps"], row["seeds"], row["speakers"]) for row in rows] == [
        ("ok", "5", "0", "3", "4"),
        ("ok", "5", "5", "3", "4"),
    ]
    assert float(rows[0]["mcd_lo"]) < float(rows[0]["mcd"]) < float(rows[0]["mcd_hi"])
    assert rows[0]["mcd_failed"] == "12" and rows[1]["seconds_to_adapt"] == "2.5000"
    assert rows[0]["run_ids"].split() == [folder.name for folder in folders]
    before = table.read_bytes()
    add(folders, table)
    assert table.read_bytes() == before


def test_few_seeds_are_refused_or_marked_and_stand_below(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    lone = make_run(tmp_path, algorithm="anil")
    with pytest.raises(BenchmarkError, match=r"1 seed.*needs 3"):
        add([lone], table)
    add([lone], table, preliminary=True)
    add([make_run(tmp_path, seed) for seed in range(3)], table)
    assert [row["status"] for row in read(table)] == ["ok", "ok", "preliminary", "preliminary"]
    printed = show(table, steps=5)
    assert "anil (preliminary)" in printed and "zero" not in printed and len(printed.split("\n\n")[0].splitlines()) == 4
    assert show(table, style="md").startswith("| algorithm")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"limited": True}, "limited"),
        ({"data_version": "other"}, "differ in data_version"),
        ({"metric_versions": {"mcd": "2"}}, "differ in metric_versions"),
        ({"protocol_version": "2"}, "differ in protocol_version"),
        ({"manifest_hash": "other"}, "differ in manifest_hash"),
        ({"facts": {"same": 0.8}}, "differ in same (0.8 and 0.9)"),
        ({"task": "style"}, "belong to several tables, "),
        ({"clean": False}, "uncommitted"),
        ({"seed": 1}, "share a seed"),
    ],
)
def test_unfit_runs_are_refused(changes: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, 0), make_run(tmp_path, 1), make_run(tmp_path / "odd", **{"seed": 2, **changes})]
    assert reason in refused(["leaderboard", "add", *runs, "--table", tmp_path / "d.csv"], 1, capsys)
    assert not (tmp_path / "d.csv").exists()


def test_runs_of_several_configurations_are_several_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other: dict[str, Any] = {"config": {"algo": {"name": "no_adaptation", "inner_lr": 3}}}
    runs = [make_run(tmp_path / str(seed), seed, **changes) for seed in range(3) for changes in ({}, other)]
    with pytest.raises(BenchmarkError, match="differ in their options"):
        add(runs, tmp_path / "d.csv")
    assert main(["leaderboard", "add", *map(str, runs), "--table", str(tmp_path / "d.csv")]) == 0
    assert len({row["options"] for row in read(tmp_path / "d.csv")}) == 2
    assert {row["seeds"] for row in read(tmp_path / "d.csv")} == {"3"}


def test_runs_of_several_methods_are_added_at_once_floors_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("anil", "ground_truth", "copy_synthesis", "no_adaptation", "mean_speaker", "wrong_speaker")
    runs = [make_run(tmp_path, seed, algorithm=name) for seed in range(3) for name in names]
    assert main(["leaderboard", "add", *map(str, runs), "--table", str(tmp_path / "d.csv")]) == 0
    assert {row["algorithm"]: row["seeds"] for row in read(tmp_path / "d.csv")} == dict.fromkeys(names, "3")
    assert capsys.readouterr().out.splitlines()[-1].endswith("rows of anil.")


@pytest.mark.parametrize("local", [True, False])
def test_what_no_reader_would_take_is_not_written(local: bool, tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path)], table, preliminary=True, local=local)
    before = table.read_bytes()
    another = make_run(tmp_path, algorithm="anil")
    with (
        patch("benchmark.results.leaderboard._tuned", lambda result: "two\nlines"),
        pytest.raises(BenchmarkError, match=r"can't stand in a table: tuned is 'two\\nlines', which is not plain text on one line"),
    ):
        add([another], table, preliminary=True, local=local)
    assert table.read_bytes() == before


@pytest.mark.parametrize(("other", "said"), [
    ({}, "(8 trials)"), ({"dataset": "espeak"}, "(8 trials on espeak)"),
    ({"dataset": "espeak", "task": "speaker"}, "(8 trials by speaker on espeak)"),
])
def test_a_row_names_the_corpus_whose_tuned_values_it_has(other: dict[str, str], said: str, tmp_path: Path) -> None:
    tuned = {"values": {"inner_lr": 0.1}, "trials": 8, **other}
    (row, *_) = add([make_run(tmp_path, tuned=tuned)], tmp_path / "d.csv", preliminary=True)
    assert row["tuned"] == f"inner_lr=0.1 {said}"


def test_rows_of_another_data_version_are_not_mixed_in(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path)], table, preliminary=True)
    with pytest.raises(BenchmarkError, match="data_version"):
        add([make_run(tmp_path, algorithm="anil", data_version="new")], table, preliminary=True)
    add([make_run(tmp_path, data_version="new")], table, preliminary=True)
    assert {row["data_version"] for row in read(table)} == {"new"}, "made again, all of it"


@pytest.mark.parametrize(
    "changes", [{"device": "cuda"}, {"precision": "bf16-mixed"}, {"training_version": "2"}, {"evaluation_version": "2"}]
)
def test_rows_of_other_hardware_or_harness_are_not_mixed_in(changes: dict[str, Any], tmp_path: Path) -> None:
    ((name, value),) = changes.items()
    table, runs = tmp_path / "boards" / "d.csv", tmp_path / "runs"
    first = make_run(runs)
    add([first], table, preliminary=True)
    with pytest.raises(BenchmarkError, match=f"the row of no_adaptation in {name} .* and {value}"):
        add([make_run(runs, algorithm="anil", **changes)], table, preliminary=True)
    own = runs / "d.csv"
    add([first], own, local=True)
    rows = add([make_run(runs, seed=1, **changes)], own, local=True)
    assert {(row["seeds"], row[name]) for row in rows} == {("1", value)}
    if name in ("device", "precision"):
        assert {row[name] for row in read(own)} == {value, FIRST_EDITION[name]}, "those of the first stay"
        assert f"Rows differ in {name}, so don't rank them together" in show(own)
        label = f"no_adaptation:{rows[0]['options']}"
        assert f"{label}: {name}={value}." in show(own) and show(own).count(f"{label} (preliminary)") == 2
    assert not check(own, local=True).problems


def test_a_run_at_fewer_places_takes_no_rows_of_more_seeds(tmp_path: Path) -> None:
    """From one's own table; but code that has changed since replaces what the code before it gave."""
    own = tmp_path / "d.csv"
    for seed in (0, 1):
        add([make_run(tmp_path, seed=seed)], own, local=True)
    assert add([make_run(tmp_path, steps=(0,))], own, local=True) == []
    assert {(row["steps"], row["seeds"]) for row in read(own)} == {("0", "2"), ("5", "2")}
    add([make_run(tmp_path, steps=(0,), sources={"algorithm": "y"})], own, local=True)
    assert {(row["steps"], row["seeds"]) for row in read(own)} == {("0", "1"), ("5", "2")}


def test_tables_of_the_first_edition_are_verified(tmp_path: Path) -> None:
    """They lack the columns that came later."""
    table = tmp_path / "d.csv"
    folders = [make_run(tmp_path, seed) for seed in range(3)]
    add(folders, table)
    whole = table.read_text()
    table.write_text("".join(line.rsplit(",", len(ASSUMED))[0] + "\n" for line in whole.splitlines()))
    assert all({name: row[name] for name in ASSUMED} == ASSUMED for row in read(table)) and "device" not in table.read_text()
    assert not check(table).problems
    add(folders, table)
    assert table.read_text() == whole
    assert FIRST_EDITION.items() <= LATER.items()


def test_rows_hold_facts_and_refuse_others_for_the_same_metrics(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path, facts={"same": 0.8975422978, "per_real": 0.4589, "embedding_eer": 0.1})], table, preliminary=True)
    assert {row["facts"] for row in read(table)} == {"per_real=0.4589 same=0.897542"}

    def anil(facts: Mapping[str, float], **changes: Any) -> Path:
        return make_run(tmp_path, algorithm="anil", facts=facts, **changes)

    with pytest.raises(BenchmarkError, match=r"the row of no_adaptation in per_real \(0.4589 and 0.48\)"):
        add([anil({"per_real": 0.48})], table, preliminary=True)
    with pytest.raises(BenchmarkError, match=r"the row of no_adaptation in same \(0.897542 and 0.9\)"):
        add([make_run(tmp_path, algorithm="reptile", facts={"same": 0.9})], table, preliminary=True)
    with pytest.raises(BenchmarkError, match=r"the version of mcd \(1 and 2\)"):
        add([anil({}, metric_versions={"mcd": "2"})], table, preliminary=True)
    with pytest.raises(BenchmarkError, match=r"manifest_hash \(mh and new\)"):
        add([anil({}, manifest_hash="new")], table, preliminary=True)
    # Each machine trains its own recogniser; what was trained elsewhere is the same everywhere.
    add([anil({"per_real": 0.46, "embedding_eer": 0.4}, metric_versions={"per": "1"})], table, preliminary=True)
    add([anil({"per_real": 0.3}, preset="paper")], table, preliminary=True)
    assert len(read(table)) == 6 and check(table).problems == []
    good = table.read_text()
    table.write_text(good.replace("per_real=0.4589 ", "per_real=0.4 "))
    assert any("differs from other rows in per_real (0.4" in problem for problem in check(table).problems)
    table.write_text(good.replace("per_real=0.4589 ", "per_real=many "))
    assert any("are not numbers" in problem for problem in check(table).problems)


def test_every_metric_that_has_facts_is_known_to_have_them() -> None:
    having = {name for name in registry.find("metric") if registry.load("metric", name).facts is not Metric.facts}
    assert having == {known().metrics[name] for name in known().constants}


def test_tables_of_ones_own_runs_are_verified_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path, limited=True)], table, local=True)
    assert {row["status"] for row in read(table)} == {"limited"}
    assert main(["leaderboard", "verify", str(table)]) == 0
    assert "2 rows came out the same, 0 problem(s)" in capsys.readouterr().out
    assert any("does not fit" in problem for problem in check(table).problems)
    table.write_text(table.read_text().replace(",limited,", ",preliminary,"))
    assert main(["leaderboard", "verify", str(table)]) == 1
    assert capsys.readouterr().out.endswith("Restore the files (git checkout), or add the runs again: leaderboard add RUN...\n")
    assert any("its runs give 'limited'" in problem for problem in check(table, local=True).problems)


def test_other_files_are_no_leaderboards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("", "a word\n", "algorithms\nno_adaptation\n"):
        (tmp_path / "hostname").write_text(content)
        assert main(["leaderboard", "show", str(tmp_path / "hostname")]) == 1
        assert "hostname is not a leaderboard: its first line has no column 'algorithm'." in capsys.readouterr().err
    table = tmp_path / "d.csv"
    add([make_run(tmp_path)], table, preliminary=True)
    table.write_text(table.read_text().replace(",steps,", ",stairs,"))
    with pytest.raises(BenchmarkError, match="is not a leaderboard: its first line has no column 'steps'"):
        read(table)


def test_a_column_more_or_less_is_read_and_verify_says_so(tmp_path: Path) -> None:
    """Another version's table, or one with a colleague's column, can still be shown."""
    table = tmp_path / "d.csv"
    add([make_run(tmp_path / "own", seed) for seed in range(3)], table)
    whole = table.read_text()
    lines = [line.split(",") for line in whole.splitlines()]

    def without(column: str) -> str:
        place = lines[0].index(column)
        return "".join(",".join([*line[:place], *line[place + 1 :]]) + "\n" for line in lines)

    for column in ("mcd_lo", "peak_memory_mb", "facts", "run_ids", "seeds"):
        table.write_text(without(column))
        assert [row[column] for row in read(table)] == ["", ""]
        assert "mcd ↓" in show(table)
        assert f"{table} lacks the column {column}; delete the file and add its runs again." in check(table).problems
    more = [[*line, cell] for line, cell in zip(lines, ("watts", "5", "6"), strict=True)]
    table.write_text("".join(",".join(line) + "\n" for line in more))
    assert [row["watts"] for row in read(table)] == ["5", "6"] and "mcd ↓" in show(table)
    problems = check(table).problems
    assert f"{table} has the column watts, which no leaderboard has; restore the file." in problems
    assert any("watts is '5', its runs give ''" in problem for problem in problems)
    add([make_run(tmp_path / "own", algorithm="anil")], table, preliminary=True)
    assert [row["watts"] for row in read(table)] == ["5", "6", "", ""], "adding rows takes nothing away"


def test_other_problems_and_tasks_stand_in_tables_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.results.leaderboard_places.folder", lambda: tmp_path / "boards")
    spoken = {"problem": "recognition", "metric_versions": {"cer": "1"}}
    for changes in ({}, spoken, {"task": "style"}, {"task": "language", **spoken}):
        assert main(["leaderboard", "add", str(make_run(tmp_path, **changes)), "--preliminary"]) == 0
    names = {"d": "synthesis", "d-recognition": "recognition", "d-style": "synthesis", "d-recognition-language": "recognition"}
    assert {path.stem for path in (tmp_path / "boards").glob("*.csv")} == names.keys()
    for name, problem in names.items():
        rows = read(tmp_path / "boards" / f"{name}.csv")
        assert {problem_of(row).name for row in rows} == {problem} and {table_of(row) for row in rows} == {name}
        assert main(["leaderboard", "verify", name]) == main(["leaderboard", "show", name]) == 0
    with pytest.raises(BenchmarkError, match=r"differs from the row of no_adaptation in dataset, problem or task \(d and d-style\)"):
        add([make_run(tmp_path, algorithm="anil", task="style")], tmp_path / "boards" / "d.csv", preliminary=True)
    # Runs of one table in the folder are not missed in another.
    (tmp_path / "boards" / "d-recognition.csv").unlink()
    assert check(tmp_path / "boards" / "d.csv").problems == []


def test_a_recogniser_needs_the_topline_and_the_floors_of_its_problem(tmp_path: Path) -> None:
    table = tmp_path / "d-recognition.csv"
    method = [make_run(tmp_path / "own", seed, algorithm="maml", problem="recognition") for seed in range(3)]
    with pytest.raises(BenchmarkError, match=r"lacks all_speech, no_adaptation, from_scratch with 3 seeds"):
        add(method, table)
    for name in PROBLEMS["recognition"].references:
        add([make_run(tmp_path / "own", seed, algorithm=name, problem="recognition") for seed in range(3)], table)
    add(method, table)
    assert check(table).problems == []


def test_damaged_results_are_one_sentence(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    path = folder / "result.json"
    content = path.read_text()
    path.write_text(content[: len(content) // 2])
    with pytest.raises(BenchmarkError, match="can't be read"):
        read_result(folder)
    path.write_text(content.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BenchmarkError, match="does not belong"):
        read_result(folder)
    path.unlink()
    with pytest.raises(BenchmarkError, match="no run result"):
        read_result(folder)
    (tmp_path / "d.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BenchmarkError, match="is not a leaderboard: its first line has no column 'algorithm'"):
        read(tmp_path / "d.csv")


def test_rows_come_out_the_same_from_what_is_kept_beside_the_table(tmp_path: Path) -> None:
    table = tmp_path / "boards" / "d.csv"
    folders = [make_run(tmp_path / "runs", seed) for seed in range(3)]
    add(folders, table)
    add([make_run(tmp_path / "runs", algorithm="anil")], table, preliminary=True)
    for folder in folders:
        (folder / "episodes.csv").unlink()
    report = check(table)
    assert (report.problems, report.recomputed, report.unknown) == ([], 4, 0)


def test_a_table_changed_by_hand_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path / "runs", seed) for seed in range(3)], table)
    good = table.read_text()
    header, first, second = good.splitlines()
    names = header.split(",")
    run_ids = first.split(",")[names.index("run_ids")]

    def with_cell(column: str, value: str) -> str:
        cells = first.split(",")
        cells[names.index(column)] = value
        return "\n".join([header, ",".join(cells), second, ""])

    for text, reason in (
        (with_cell("mcd", "8.9"), "mcd is '8.9', its runs give"),
        (with_cell("mcd", "99"), "outside its interval"),
        (with_cell("data_version", "other"), "data_version is 'other'"),
        (with_cell("status", "preliminary"), "does not fit 3 seed"),
        (with_cell("steps", "7"), "no such shots and steps"),
        (with_cell("manifest_hash", "0" * 64), "manifest_hash is '0000"),
        (with_cell("options", "01234567"), "options is '01234567', its runs give"),
        (with_cell("run_ids", f"{run_ids} x"), "names 4 runs for 3 seed"),
        (with_cell("run_ids", run_ids[:-10] + "0123456789"), "-0123456789, which is not in"),
        ("\n".join([header, second, first, ""]), "not in its place"),
        ("\n".join([header, first, first, ""]), "repeats the row of line 2"),
        ("\n".join([header, first, ""]), "lacks the row of no_adaptation at 5 shots and 5 steps"),
    ):
        table.write_text(text)
        assert any(reason in problem for problem in check(table).problems), (reason, check(table).problems)
    for column, cell, kind in (
        ("shots", "good", "a whole number"), ("seeds", "", "a whole number"), ("mcd", "good", "a number"),
        ("mcd_failed", "1.5", "a whole number"), ("seconds_to_adapt", "good", "a number"),
    ):  # fmt: skip
        table.write_text(with_cell(column, cell))
        sentence = f"error: {table}, line 2: {column} is {cell!r}, which is not {kind}; restore the file.\n"
        for command in (["show", str(table)], ["cite", str(table), "no_adaptation"], ["verify", str(table)]):
            capsys.readouterr()
            assert (main(["leaderboard", *command]), capsys.readouterr().err) == (1, sentence)
    table.write_text("\n".join(f"{line},{last}" for line, last in zip(good.splitlines(), ("mcd", "1", "1"), strict=True)))
    assert "has the column 'mcd' twice; restore the file." in refused(["leaderboard", "verify", table], 1, capsys)
    table.write_text(good)
    episodes = next((tmp_path / "runs").glob("*/episodes.csv"))
    kept = table.parent / "runs" / episodes.parent.name / "episodes.csv"
    kept.write_text(kept.read_text()[:-40])
    assert any("cut short" in problem for problem in check(table).problems)


def test_a_row_of_other_runs_than_seeds_of_one_configuration_is_found_out(tmp_path: Path) -> None:
    """Else the luckiest configuration of each seed could be picked."""
    table = tmp_path / "d.csv"
    add([make_run(tmp_path, seed) for seed in range(3)], table)
    better = make_run(tmp_path, 0, config={"seed": 0, "shots": [5], "steps": [0, 5], "algo": {"name": "no_adaptation", "inner_lr": 1}})
    run_ids = read(table)[0]["run_ids"]
    table.write_text(table.read_text().replace(run_ids, " ".join([better.name, *run_ids.split()[1:]])))
    assert any("differ in their options" in problem for problem in check(table, [tmp_path]).problems)


def test_deleted_rows_are_found_out_by_their_runs(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path / "own", seed) for seed in range(3)], table)
    before = table.read_text()
    add([make_run(tmp_path / "own", algorithm="anil")], table, preliminary=True)
    table.write_text(before)
    (problem,) = check(table).problems
    assert "has no row of d-anil-" in problem and "restore the rows, or delete the runs" in problem
    # Runs of another table in the folder are its own affair.
    add([make_run(tmp_path / "more", algorithm="anil")], tmp_path / "d2.csv", preliminary=True)
    assert check(table).problems == []


def test_places_measured_again_on_another_grid_are_no_missing_rows(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path / "own", seed) for seed in range(3)], table)
    add([make_run(tmp_path / "own", seed, steps=(5,)) for seed in range(3)], table)
    assert [len(row["run_ids"].split()) for row in read(table)] == [3, 3] and len({row["run_ids"] for row in read(table)}) == 2
    assert check(table).problems == []


def test_rows_give_way_only_to_rows_of_all_their_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "d.csv"
    folders = [make_run(tmp_path / "own", seed) for seed in range(4)]
    add(folders[:3], table)
    shutil.rmtree(tmp_path / "runs")
    said = refused(["leaderboard", "add", folders[0], "--preliminary", "--table", table], 1, capsys)
    assert f"has no_adaptation with seed 1 too ({folders[1].name}); name a run of that seed as well." in said
    with pytest.raises(BenchmarkError, match="with seed 0 too"):
        add(folders[1:], table)
    add(folders, table)
    assert {row["seeds"] for row in read(table)} == {"4"}
    # Made again with other code: nothing of the old rows stands in the way, and what was kept of them is nobody's.
    add([make_run(tmp_path / "new", seed, protocol_version="2") for seed in range(4)], table)
    (problem,) = check(table).problems
    assert "and 3 more, kept in" in problem


def test_a_method_needs_toplines_and_floors_to_be_cited(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"

    def runs(algorithm: str, **changes: Any) -> list[Path]:
        return [make_run(tmp_path, seed, algorithm=algorithm, **changes) for seed in range(3)]

    for name in REFERENCES[:4]:
        add(runs(name), table)
    for name in REFERENCES:
        add(runs(name, preset="paper"), table)
    add(runs("anil", preset="paper"), table)
    last, method = runs(REFERENCES[4]), runs("anil")
    add(last[:1], table, preliminary=True)
    with pytest.raises(BenchmarkError, match=r"lacks wrong_speaker with 3 seeds \(preset small\), without which the rows of anil have no"):
        add(method, table)
    add(method[:1], table, preliminary=True)
    add(last, table)
    add(method, table)
    assert check(table).problems == []
    good = table.read_text().splitlines(keepends=True)
    for preset in ("small", "paper"):
        table.write_text("".join(line for line in good if not line.startswith(f"wrong_speaker,b,v,{preset}")))
        assert f"{table}: anil, preset {preset}, may be cited, but lacks three seeds of wrong_speaker for scale." in check(table).problems


def test_rows_without_their_runs_are_counted(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path / "elsewhere")], table, preliminary=True)
    shutil.rmtree(tmp_path / "runs")
    assert check(table).unknown == 2
    assert check(table, [tmp_path / "elsewhere"]).recomputed == 2


def test_tables_are_sorted_cut_and_formatted(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path, seed) for seed in range(3)], table)
    add([make_run(tmp_path, seed, algorithm="mean_speaker") for seed in range(3)], table)

    def means(sort: str) -> list[float]:
        return [float(line["mcd"]) for line in csv.DictReader(io.StringIO(show(table, sort=sort, style="csv")))]

    assert len(means("mcd")) == 4
    assert means("mcd") == sorted(means("mcd")) and means("-mcd") == sorted(means("mcd"), reverse=True)
    (first, *_, last) = csv.DictReader(io.StringIO(show(table, style="csv", steps=5)))
    assert list(first) == [
        "algorithm", "options", "status", "shots", "steps", "seeds", "speakers", "mcd", "mcd_lo", "mcd_hi", "failed",
    ]  # fmt: skip
    assert float(first["mcd_lo"]) < float(first["mcd"]) < float(first["mcd_hi"]) and last["failed"] == "12"
    with pytest.raises(UsageError, match=r"has no row of 7 shots; it has 5 shots and 0,5 steps\."):
        show(table, shots=7)
    with pytest.raises(UsageError, match="no row of 5 shots and 9 steps"):
        show(table, shots=5, steps=9)
    with pytest.raises(UsageError, match="no column 'mos'"):
        show(table, sort="mos")


def test_a_legend_says_how_to_read_the_table(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path, seed) for seed in range(3)], table)
    header, legend = show(table).splitlines()[0], show(table).split("\n\n")[1]
    assert "mcd ↓" in header and "half the width of the 95 % interval" in legend and "leaderboards/README.md" in legend
    assert "preliminary" not in legend and "ground_truth" not in legend and "For scale, floors: no_adaptation." in legend
    add([make_run(tmp_path, algorithm="anil", synthetic=True)], table, preliminary=True)
    legend = show(table, style="md").split("\n\n")[1]
    assert "preliminary: fewer than three seeds; not to be cited." in legend and "synthetic voices" in legend
    # A metric of somebody's plugin file, of which nothing is known here.
    add([make_run(tmp_path, algorithm="maml", metric_versions={"own": "1"})], tmp_path / "e.csv", preliminary=True)
    assert "mcd " in show(tmp_path / "e.csv") and "mcd ↓" not in show(tmp_path / "e.csv")


def test_a_legend_says_what_was_chosen_by_hand(tmp_path: Path) -> None:
    algo = {"name": "finetune", "lora_rank": 4, "learning_rate": 0.001, "groups": ["decoder", "output"], "optimizer": "sgd"}
    tuned = {"values": {"optimizer": "sgd"}, "trials": 4}
    add([make_run(tmp_path, algorithm="finetune", config={"seed": 0, "algo": algo}, tuned=tuned)], tmp_path / "d.csv", preliminary=True)
    assert "finetune: with groups=decoder,output lora_rank=4, neither its defaults nor tuned." in show(tmp_path / "d.csv")


def test_what_may_be_cited_names_its_runs_and_what_may_not_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    folders = [make_run(tmp_path, seed) for seed in range(3)]
    add(folders, table)
    add([make_run(tmp_path, algorithm="anil")], table, preliminary=True)
    entry = cite(table, "no_adaptation", steps=5)
    assert entry.startswith("@misc{") and entry.endswith("}") and all(folder.name.replace("_", r"\_") in entry for folder in folders)
    assert "no_adaptation-5-steps,\n" in entry and ", 5 steps}" in entry
    assert entry.count("{") == entry.count("}")
    commit = read_result(folders[0])["git_commit"][:12]
    assert f", code {commit}; runs" in entry and "not a table of the benchmark" not in entry
    assert r"from d.csv, which is not a table of the benchmark's repository" in cite(table, "no_adaptation", committed=False)
    with pytest.raises(UsageError, match="fewer than three seeds"):
        cite(table, "anil")
    add([make_run(tmp_path, seed, algorithm="mean_speaker") for seed in range(3)], table)
    head, *rest = cite(table, "mean_speaker").splitlines()
    assert head == "@misc{few-shot-tts-benchmark-d-mean_speaker," and not re.search(r"(?<!\\)_", "".join(rest)), "as LaTeX can set it"
    with pytest.raises(UsageError, match="did you mean 'no_adaptation'"):
        cite(table, "no_adaptatio")
    with pytest.raises(UsageError, match="these shots"):
        cite(table, "no_adaptation", shots=3)


def test_configurations_of_one_algorithm_are_told_apart(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    for rate in (0.1, 0.2):
        algo = {"name": "no_adaptation", "groups": ["all"], "inner_lr": rate}
        add([make_run(tmp_path, seed, config={"seed": seed, "algo": algo}) for seed in range(3)], table)
    rates = {row["options"]: row["settings"].split("=")[-1] for row in read(table)}
    first, second = rates
    assert sorted(rates.values()) == ["0.1", "0.2"]
    legend = show(table).splitlines()
    assert {f"no_adaptation:{digest}: inner_lr={rate}." for digest, rate in rates.items()} <= set(legend)
    assert legend[2].startswith(f"no_adaptation:{first} ")
    with pytest.raises(UsageError, match=f"several configurations.*no_adaptation:{first}: inner_lr=.* no_adaptation:{second}: inner_lr="):
        cite(table, "no_adaptation")
    with pytest.raises(UsageError, match=f"no configuration 'x' of no_adaptation; it has no_adaptation:{first}, no_adaptation:{second}"):
        cite(table, "no_adaptation:x")
    entries = [cite(table, f"no_adaptation:{digest}") for digest in rates]
    assert [entry.count(r"no\_adaptation-small-s") for entry in entries] == [3, 3]
    assert [entry.partition(",")[0].rpartition("-")[2] for entry in entries] == [first, second]
    # One that may not be cited does not stand in the way of the others.
    algo = {"name": "no_adaptation", "groups": ["all"], "inner_lr": 0.3}
    add([make_run(tmp_path, config={"seed": 0, "algo": algo})], table, preliminary=True)
    with pytest.raises(UsageError, match="several configurations"):
        cite(table, "no_adaptation")


def test_a_local_table_of_another_version_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "d.csv"
    table.write_text("algorithm,mcd\nno_adaptation,7\n")
    folder = make_run(tmp_path)
    with pytest.raises(BenchmarkError):
        add([folder], table, preliminary=True)
    add([folder], table, preliminary=True, local=True)
    assert len(read(table)) == 2 and (tmp_path / "d.csv.old").read_text().startswith("algorithm,mcd")
    assert "kept as" in capsys.readouterr().err


def test_a_table_that_lost_its_rows_is_not_taken_for_a_new_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, folder = tmp_path / "d.csv", make_run(tmp_path)
    add([folder], table, local=True)
    header = table.read_text().partition("\n")[0]
    table.write_text(header[: len(header) // 2])
    with pytest.raises(BenchmarkError, match=r"d\.csv has lost its rows; restore the file\."):
        add([folder], table, preliminary=True)
    add([folder], table, local=True)
    assert "has lost its rows" in capsys.readouterr().err and (tmp_path / "d.csv.old").is_file() and len(read(table)) == 2


def test_runs_that_were_deleted_leave_the_local_table(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    gone = make_run(tmp_path)
    add([gone], table, local=True)
    shutil.rmtree(gone)
    add([make_run(tmp_path, algorithm="maml")], table, local=True)
    assert {row["algorithm"] for row in read(table)} == {"maml"}


def test_ones_own_table_is_named_where_none_is_committed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add([make_run(tmp_path / "runs", dataset="mine")], Path("runs", "mine.csv"), local=True)
    assert "for the one of your own runs, give its path, runs/mine.csv" in refused(["leaderboard", "show", "mine"], 2, capsys)


def test_seeds_run_one_at_a_time_stay_together_and_changed_code_is_marked(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    for seed in (1, 0, 2):
        config = {"seed": seed, "shots": [5], "steps": [0, 5], "algo": {"name": "no_adaptation"}}
        folder = make_run(tmp_path, seed, clean=seed != 2, config=config)
        rows = add([folder], table, local=True)
    assert {(row["seeds"], row["status"]) for row in rows} == {("3", "uncommitted")}
    assert [name.rpartition("-s")[2][0] for name in rows[0]["run_ids"].split()] == ["0", "1", "2"]
    assert "uncommitted: made from changed or unknown code" in show(table)
    few = make_run(tmp_path / "few", clean=False)
    (row, _) = add([few], tmp_path / "few" / "few.csv", local=True)
    assert row["status"] == "preliminary+uncommitted" and not check(tmp_path / "few" / "few.csv", local=True).problems
    assert "(preliminary+uncommitted)" in show(tmp_path / "few" / "few.csv")
    with pytest.raises(UsageError, match="fewer than three seeds and made from changed or unknown code"):
        cite(tmp_path / "few" / "few.csv", "no_adaptation")
    with pytest.raises(UsageError, match=r"not to be cited \(status uncommitted"):
        cite(table, "no_adaptation")
    assert not check(table, local=True).problems
    assert any("does not fit 3 seed" in problem for problem in check(table).problems)


def test_quick_trials_are_called_so_wherever_they_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse(RunSettings, ["--algo", "no_adaptation", "--dataset", "espeak"])
    config = to_dict(fast_dev_run(settings)) | {"algo": {"name": "no_adaptation"}}
    folders = [make_run(tmp_path, seed, config=config | {"seed": seed}, limited=True) for seed in range(3)]
    table = tmp_path / "d.csv"
    assert {row["status"] for row in add(folders, table, local=True)} == {"trial"}
    assert "no_adaptation (trial)" in show(table) and "trial: a quick trial (--fast-dev-run), which" in show(table)
    assert not check(table, local=True).problems and any("does not fit" in problem for problem in check(table).problems)
    with pytest.raises(UsageError, match="status trial: a quick trial"):
        cite(table, "no_adaptation")
    assert "is a quick trial" in refused(["leaderboard", "add", *folders, "--table", tmp_path / "new.csv"], 1, capsys)
    whole = make_run(tmp_path, 5, config=config | {"seed": 5, "pretrain": {**config["pretrain"], "steps": 5}})
    assert {row["status"] for row in add([whole], tmp_path / "whole.csv", local=True)} == {"preliminary"}
    assert main(["report", *map(str, folders), "--html", str(tmp_path / "r.html"), "--workers", "1"]) == 0
    assert "All rows are trial: they come from quick trials" in (tmp_path / "r.html").read_text()


def test_any_metric_can_be_shown_and_failures_are_those_of_the_worst(tmp_path: Path) -> None:
    table = tmp_path / "d.csv"
    add([make_run(tmp_path)], table, local=True)
    header, _, first, *_ = show(table, metrics=["mcd"]).splitlines()
    assert header.split()[-2:] == ["↓", "failed"] and first.split()[-1] == "4", "one of two utterances of four speakers"


def test_a_metric_that_was_asked_for_is_shown_beside_the_headline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = str(Path(__file__).resolve().parents[1] / "examples" / "loudness_metric.py")

    def header(columns: Sequence[str], versions: Sequence[str]) -> list[str]:
        output = tmp_path / "-".join(versions)
        run = made_up(output, "reptile", columns=columns, metric_versions=dict.fromkeys(versions, "1"), shots=(1,), steps=(0,))
        show_results(output, [[run]], [plugin])
        return [word for word in capsys.readouterr().out.splitlines()[0].split() if word not in "↑↓"]

    always = ["algorithm", "shots", "steps", "seeds"]
    asked = header(["mcd", "f0_rmse", "loudness_strangeness"], ["mcd", "f0", "loudness_metric"])
    assert asked == [*always, "mcd", "loudness_strangeness", "failed"]
    assert header(["mcd", "f0_rmse", "gap_closed"], ["mcd", "f0", "speaker_similarity"])[4:6] == ["mcd", "gap_closed"]
    assert header(["f0_rmse", "vuv_error"], ["f0"])[4:6] == ["f0_rmse", "vuv_error"]
    headline = {name for name, column in known().columns.items() if column.headline}
    assert headline == {"gap_closed", "style_gap_closed", "mcd", "pesq", "stoi", "per", "naturalness"}
