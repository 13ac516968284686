"""The column of paired differences: which rows are paired, and with which numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli import main
from benchmark.results.leaderboard import add
from benchmark.results.leaderboard_against import with_difference
from benchmark.results.leaderboard_file import read
from tests.cli_helpers import refused
from tests.committed import FOLDER
from tests.report_helpers import make_run

SPEAKERS = [f"s{number}" for number in range(8)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    for name, gain, seeds in (("finetune", 0.5, (0, 1)), ("maml", 0.7, (1, 2)), ("reptile", 0.1, (3,))):
        runs = [make_run(place, name, seed=seed, gain=gain, speakers=SPEAKERS, shots=(1, 5), audio=False) for seed in seeds]
        add(runs, place / "made_up.csv", local=True)
    return place / "made_up.csv"


def test_a_cell_is_the_mean_difference_on_the_sentences_and_seeds_that_both_have(table: Path) -> None:
    rows, name = with_difference(table, read(table), read(table), "finetune", "mcd")
    assert name == "mcd-finetune"
    frames = {path.parent.name: pd.read_csv(path) for path in table.parent.glob("*/episodes.csv")}
    keys = ["speaker", "episode", "utterance"]
    for row in rows:
        if row["algorithm"] != "maml":  # its own row has no difference, and reptile has no seed in common
            assert row[name] == row[f"{name}_lo"] == ""
            continue
        (ours,), (theirs,) = ([run for run in frames if f"-{which}-" in run and "-s1-" in run] for which in ("maml", "finetune"))
        some = [frames[run].query(f"shots == {row['shots']} and steps == {row['steps']}").set_index(keys)["mcd"] for run in (ours, theirs)]
        difference = (some[0] - some[1]).groupby("speaker").mean().mean()
        assert float(row[name]) == pytest.approx(difference, abs=1e-4)
        assert float(row[f"{name}_lo"]) <= float(row[name]) <= float(row[f"{name}_hi"])


def test_the_table_shows_it_in_every_format(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("table", "md", "csv", "latex"):
        assert main(["leaderboard", "show", str(table), "--metrics", "mcd", "--against", "finetune", "--format", style]) == 0
        assert "mcd-finetune" in capsys.readouterr().out
    assert main(["leaderboard", "show", str(table), "--metrics", "mcd"]) == 0 and "mcd-finetune" not in capsys.readouterr().out
    wrong = refused(["leaderboard", "show", table, "--metrics", "mcd", "--against", "finetun"], 2, capsys)
    assert "has no rows of finetun; did you mean 'finetune'?" in wrong


def test_a_bare_name_means_the_most_tuned_configuration() -> None:
    """As it does to ``compare``; plain descent and Reptile's earlier choice have rows beside the tuned ones."""
    path = FOLDER / "speechocean762.csv"
    every = read(path)
    place = [row for row in every if (row["shots"], row["steps"]) == ("10", "2") and row["algorithm"] == "finetune"]
    rows, column = with_difference(path, place, every, "finetune", "gap_closed")
    tuned, plain = sorted(rows, key=lambda row: "sgd" in row["settings"])
    assert column == f"gap_closed-finetune:{tuned['options']}" and "optimizer=sgd" in plain["settings"]
    assert tuned[column] == "" and float(plain[f"{column}_hi"]) < -0.3
