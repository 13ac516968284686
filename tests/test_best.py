"""What ``leaderboard best`` answers is what the table and the runs behind it say."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.cli import main
from benchmark.plumbing.durations import in_words, seconds
from benchmark.problems import PROBLEMS
from benchmark.results.best import BUDGETS, Methods
from benchmark.results.leaderboard import add
from benchmark.results.leaderboard_file import metrics_in, read, title
from benchmark.results.leaderboard_rules import role_of
from benchmark.results.row_episodes import RowEpisodes
from benchmark.results.statistics import Comparison, Estimate
from benchmark.results.ties import BEST, POWERLESS, TIE, UNTESTED, WORSE, Row, Ties
from tests.committed import TABLES, of_protocol_1
from tests.report_helpers import change_result, make_run

REFERENCES = {name for problem in PROBLEMS.values() for name in problem.references} | {"same_sex_adults", "same_sex_speaker"}
METRICS = [(table, metric) for table in TABLES for metric in ("cer", "wer", "gap_closed", "mcd") if metric in metrics_in(read(table))]


def methods_of(path: Path, metric: str = "gap_closed", higher: bool = True, tested: bool = True) -> Methods:
    rows: dict[str, list[Row]] = {}
    for row in read(path):
        if not role_of(row):
            rows.setdefault(f"{row['algorithm']}:{row['options']}", []).append(row)
    return Methods(rows, Ties(metric, higher, RowEpisodes(path) if tested else lambda row: None))


@pytest.mark.parametrize(("table", "metric"), METRICS, ids=lambda part: part if isinstance(part, str) else title(part))
def test_the_best_and_the_pareto_fronts_are_those_that_pandas_finds(table: Path, metric: str) -> None:
    higher = metric == "gap_closed"
    frame = pd.read_csv(table)
    frame = frame[~frame["algorithm"].isin(REFERENCES)]
    if (frame["status"] == "ok").any():  # a table of one seed ranks its preliminary rows
        frame = frame[frame["status"] == "ok"]
    frame["name"] = frame["algorithm"] + ":" + frame["options"].astype(str)
    methods = methods_of(table, metric, higher, tested=False)
    assert methods.shots == sorted(frame["shots"].unique())
    asked = 0
    for shots, budget in itertools.product(methods.shots, BUDGETS):
        here = frame[(frame["shots"] == shots) & ((frame["steps"] == 0) if budget == 0 else frame["seconds_to_adapt"] <= budget)]
        ordered = here.sort_values([metric, "seconds_to_adapt"], ascending=[not higher, True]).drop_duplicates("name")
        answer = methods.answer(shots, budget)
        assert [(each.name, each.steps, each.value) for each in answer.choices] == list(
            zip(ordered["name"], ordered["steps"], ordered[metric], strict=True)
        )
        for cost in ("seconds_to_adapt", "stored_parameters"):
            cheap = here.sort_values([cost, metric], ascending=[True, not higher])
            quality = cheap[metric] * (1 if higher else -1)
            kept = cheap[quality > quality.cummax().shift(fill_value=-np.inf)]
            kept = cheap.merge(kept[[cost, metric]])  # who costs and scores the same is on the front too
            front = set(kept["name"] + kept["steps"].astype(str))
            assert {each.name + str(each.steps) for each in answer.choices if each.cheapest[cost]} == front & set(
                ordered["name"] + ordered["steps"].astype(str)
            )
            if math.isinf(budget):
                assert {name + row["steps"] for name, row in methods.front(shots, cost)} == front
        asked += 1
    assert asked == len(methods.shots) * len(BUDGETS)


def test_the_verdicts_are_those_of_the_definition() -> None:
    """Sign flips of the speakers' differences, all of them; with seeds, speakers and seeds as crossed random effects; Holm by hand."""
    path = of_protocol_1("speechocean762")
    methods = methods_of(path)
    answer = methods.answer(5, 5.0)
    assert [choice.verdict.word for choice in answer.choices] == [BEST, TIE, TIE, TIE, WORSE, WORSE]

    def cells(row: Row) -> pd.DataFrame:
        """Means by speaker and seed, from the files themselves."""
        runs = []
        for name in row["run_ids"].split():
            frame = pd.read_csv(path.parent / "runs" / name / "episodes.csv").query(f"shots == {row['shots']} and steps == {row['steps']}")
            runs.append(frame.groupby("speaker")["gap_closed"].mean().rename(name))
        return pd.concat(runs, axis=1)

    best, ps = cells(answer.choices[0].row), []
    for other in answer.choices[1:]:
        difference = best.to_numpy() - cells(other.row).to_numpy()
        speakers = difference.mean(1)
        flips = np.array(list(itertools.product((-1, 1), repeat=len(speakers))))
        permuted = abs((flips * speakers).mean(1)) >= abs(speakers.mean()) - 1e-12
        by_speaker, by_seed = speakers.var(ddof=1) / len(speakers), difference.mean(0).var(ddof=1) / 3
        freedom = (by_speaker + by_seed) ** 2 / (by_speaker**2 / (len(speakers) - 1) + by_seed**2 / 2)
        crossed = 2 * stats.t.sf(abs(speakers.mean()) / math.sqrt(by_speaker + by_seed), freedom)
        ps.append(max(permuted.mean(), crossed))
    order = np.argsort(ps)
    adjusted = np.maximum.accumulate([min(1, ps[place] * (len(ps) - rank)) for rank, place in enumerate(order)])
    assert [answer.choices[1 + place].verdict.p for place in order] == pytest.approx(adjusted, rel=1e-6)


def board(root: Path, gains: dict[str, float], speakers: int = 8, seeds: Sequence[int] = (0,)) -> Path:
    table = root / "made_up.csv"
    for name, gain in gains.items():
        runs = [make_run(root, name, seed, gain, (5,), (0, 20), [f"s{n}" for n in range(speakers)], audio=False) for seed in seeds]
        add(runs, table, local=True)
    return table


def verdicts(table: Path) -> dict[str, str]:
    return {choice.name.partition(":")[0]: choice.verdict.word for choice in methods_of(table).answer(5, math.inf).choices}


def test_a_test_without_power_makes_no_tie(tmp_path: Path) -> None:
    gains = {"maml": 0.9, "reptile": 0.9, "anil": 0.0}
    found = verdicts(board(tmp_path / "many", gains))
    assert sorted(found.values()) == [BEST, TIE, WORSE] and found["anil"] == WORSE
    few = verdicts(board(tmp_path / "few", gains, speakers=6))
    assert list(few.values()) == [BEST, POWERLESS, POWERLESS], "six speakers give a p of 1/32 at least, times two tests"
    assert list(verdicts(board(tmp_path / "two", {"maml": 0.9, "anil": 0.0}, speakers=6)).values()) == [BEST, WORSE]


def test_the_really_best_method_is_seldom_called_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the scores choose which method the others are tested against. Twelve speakers; differences tested by Student's t."""
    generator, left_out, draws = np.random.default_rng(0), 0, 1500
    for means in (np.zeros(6), np.array([0, 0, 0, -5, -5, -5]), np.zeros(12)):
        for _ in range(draws // 3):
            scores = generator.normal(size=(12, len(means))) + means
            order = np.argsort(-scores.mean(0))
            differences = scores[:, order[:1]] - scores[:, order[1:]]
            tests = iter(zip(differences.mean(0), stats.ttest_1samp(differences, 0).pvalue, strict=True))
            ties = Ties("m", True, lambda row: None)
            monkeypatch.setattr(ties, "_compared", lambda best, other, tests=tests: comparison(*next(tests)))
            words = [BEST, *(standing.word for standing in ties.verdicts({}, [{}] * (len(means) - 1)))]
            left_out += words[list(order).index(0)] == WORSE
    assert left_out / draws < 0.05


def comparison(difference: float, p: float) -> Comparison:
    """What a test of twelve speakers found."""
    nothing = Estimate(math.nan, math.nan, math.nan, 12, 0)
    return Comparison(Estimate(difference, math.nan, math.nan, 12, 0), nothing, difference, math.nan, p, math.nan, 12, 1)


def test_without_the_runs_nothing_is_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = board(tmp_path / "own", {"maml": 0.9, "anil": 0.0})
    moved = tmp_path / "made_up.csv"
    shutil.copy(table, moved)
    assert verdicts(moved) == {"maml": BEST, "anil": UNTESTED}
    arguments = ["leaderboard", "best", str(moved), "--shots", "5", "--budget", "1min"]
    assert main(arguments) == 0 and "Not tested, because the runs behind the rows" in capsys.readouterr().out
    assert main([*arguments, "--output", str(tmp_path / "own")]) == 0 and "Worse: anil." in capsys.readouterr().out


def test_methods_of_other_seeds_are_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = board(tmp_path, {"maml": 0.5, "reptile": 0.4}, seeds=(0, 1, 2))
    board(tmp_path, {"anil": 0.9})
    answer = methods_of(table).answer(5, math.inf)
    assert [choice.name.partition(":")[0] for choice in answer.choices] == ["maml", "reptile"]
    assert [choice.name.partition(":")[0] for choice in answer.others] == ["anil"]
    assert main(["leaderboard", "best", str(table), "--shots", "5", "--budget", "1min"]) == 0
    assert "Not ranked, because other seeds are other models: anil (preliminary" in capsys.readouterr().out


def test_rows_that_cannot_be_compared_are_answered_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for preset, names in (("small", ("maml", "anil")), ("paper", ("reptile",))):
        add_all = [make_run(tmp_path, name, shots=(5,), speakers=("a", "b"), audio=False, preset=preset) for name in names]
        for run in add_all:
            add([run], tmp_path / "made_up.csv", local=True)
    assert main(["leaderboard", "best", str(tmp_path / "made_up.csv"), "--metric", "mcd", "--shots", "5", "--budget", "1min"]) == 0
    one, other = capsys.readouterr().out.split("\n\n\n")
    assert one.startswith("made_up, by mcd (lower is better)") and "reptile" not in one
    assert other.startswith("made_up, preset paper, by mcd") and "maml" not in other


def test_the_answers_fit_a_terminal_and_say_the_same_as_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    real, synthetic = str(of_protocol_1("speechocean762")), str(of_protocol_1("espeak"))
    assert main(["leaderboard", "best", real, "--dataset", "speechocean762", "--shots", "5", "--budget", "5s"]) == 0
    text = capsys.readouterr().out
    assert "Best with 5 sentences and 5 s of adaptation: finetune at 5 steps, 0.523 ± 0.137." in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert main(["leaderboard", "best", real, "--task", "speaker"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80 and " metric:58c806ba\n" in text
    lines = [line.split()[:5] for line in text.splitlines()]
    told = [line for line in lines if line[1:3] == ["5", "s"]]
    assert told == [[shots, "5", "s", "finetune", steps] for shots, steps in (("1", "50"), ("5", "5"), ("10", "5"))]
    assert main(["leaderboard", "best", synthetic, "--budget", "5s"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80 and text.count(" unknown\n") == 3
    assert main(["leaderboard", "best", synthetic, "--shots", "5", "--budget", "0"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Not separable from it with this many speakers: memory" in text and "Tied" not in text and "synthetic voices" in text


def test_times_are_read_as_they_are_written() -> None:
    assert [seconds(text) for text in ("0", "500ms", "5s", "1.5 min", "2min", "5")] == [0, 0.5, 5, 90, 120, 5]
    assert [in_words(budget) for budget in (0, 0.5, 5, 90, math.inf)] == ["0", "500 ms", "5 s", "1.5 min", "any"]
    for text in ("", "-1s", "5 parsecs", "1e9s", "nan", "0s2", "9" * 30 + "s"):
        with pytest.raises(ValueError, match="must be a time, such as 500ms, 5s or 2min, not"):
            seconds(text)


def test_seconds_of_several_processors_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, names = tmp_path / "made_up.csv", [f"s{number}" for number in range(8)]
    for algorithm in ("reptile", "maml"):
        run = make_run(tmp_path, algorithm, speakers=names, shots=(5,), audio=False)
        change_result(run, hardware={"processor": "Abacus"})
        add([run], table, local=True)
    for processor, told in (("Abacus", False), ("Slide rule", True)):
        change_result(run, hardware={"processor": processor})
        assert main(["leaderboard", "best", str(table), "--shots", "5"]) == 0
        assert ("Made on several processors (Abacus, Slide rule)" in " ".join(capsys.readouterr().out.split())) is told
