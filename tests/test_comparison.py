"""What compare says of two runs is what was put into them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.cli import main
from benchmark.errors import BenchmarkError, UsageError
from benchmark.results.comparison import CURVE, Contender, Line, apart, compare_all, contenders
from benchmark.results.episode_log import CostRow, EpisodeLog, EpisodeRow
from benchmark.results.leaderboard import add, compute_rows
from benchmark.results.leaderboard_file import IDENTITY, PROVENANCE
from benchmark.results.leaderboard_names import one_configuration
from benchmark.results.leaderboard_rules import options
from benchmark.results.leaderboard_table import show
from benchmark.results.ranking import ranking
from benchmark.results.result import RunIdentity, read_result, run_id, write_result
from benchmark.results.verdicts import power_note, processor_note, seeds_note, verdicts
from tests.cli_helpers import refused
from tests.report_helpers import change_result

STEPS = (0, 5, 20)


def make_run(
    root: Path, algorithm: str, gain: float, seed: int = 0, shots: int = 5, steps: Sequence[int] = STEPS,
    facts: Mapping[str, float] | None = None, flops: float = 1e12, **changes: Any,
) -> Path:  # fmt: skip
    """A run whose gap_closed is a speaker's own level plus ``gain`` at 5 and 20 steps, and some noise of the algorithm's own."""
    identity = RunIdentity(**{
        "dataset": "d", "algorithm": algorithm, "backbone": "b", "vocoder": "v", "preset": "small", "seed": seed,
        "config": {"seed": seed, "algo": {"name": algorithm}}, "sources": {}, "metric_versions": {"speaker_similarity": "1"},
        "data_version": "dv", "manifest_hash": "mh", "protocol_version": "1", "synthetic": False, "limited": False, **changes,
    })  # fmt: skip
    folder = root / run_id(identity)
    log = EpisodeLog(folder, ["gap_closed"])
    own = np.random.default_rng([seed, *algorithm.encode()])
    for number in range(10):
        level = float(np.random.default_rng([number]).normal())
        log.append([
            EpisodeRow(f"s{number}", 0, shots, step, "u", {"gap_closed": level + (gain if step else 0) + float(own.normal(scale=0.02))},
                       {} if gain == gain or step == 0 else {"gap_closed": "no voice found"}) for step in steps
        ], [CostRow(f"s{number}", 0, shots, step) for step in steps])  # fmt: skip
    write_result(folder, identity, facts or {}, {"flops": flops, "steps": 1, "seconds": 1.0, "budget_flops": 1e12}, 1.0)
    return folder


def test_a_difference_is_found_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    chosen = contenders([make_run(tmp_path, "good", 0.2), make_run(tmp_path, "bad", 0.0)])
    lines = compare_all(chosen, {"gap_closed": True})
    assert [(line.steps, line.better) for line in lines] == [(0, None), (5, "good"), (20, "good"), (CURVE, "good")]
    assert lines[1].found.difference.mean == pytest.approx(0.2, abs=0.02)
    assert lines[1].p >= lines[1].found.p
    (sentence,) = verdicts(lines)
    assert "good is better than bad at 5 shots and 5 or 20 steps and over the whole curve. No difference is shown elsewhere" in sentence
    assert [line.better for line in compare_all(chosen, {"gap_closed": False}, steps=5)] == ["bad"]


@pytest.mark.parametrize("part", ["backbone", "vocoder"])
def test_runs_of_one_algorithm_tell_what_a_backbone_or_a_vocoder_is_worth(part: str, tmp_path: Path) -> None:
    good: dict[str, Any] = {part: "good"}
    bad: dict[str, Any] = {part: "bad"}
    one, other = make_run(tmp_path, "same", 0.2, **good), make_run(tmp_path, "same", 0.0, **bad)
    lines = compare_all(contenders([one, other]), {"gap_closed": True}, steps=5)
    assert [(line.first, line.second, line.better) for line in lines] == [("same+good", "same+bad", "same+good")]
    with pytest.raises(BenchmarkError, match=rf"differ in {part} \(good and bad\); make one of them again"):
        contenders([one, make_run(tmp_path, "another", 0.0, **bad)])


def test_no_difference_is_said_so(tmp_path: Path) -> None:
    """With the differences that could have been shown."""
    lines = compare_all(contenders([make_run(tmp_path, "one", 0.1), make_run(tmp_path, "two", 0.1)]), {"gap_closed": True})
    sizes = [line.found.detectable for line in lines if not math.isnan(line.p)]
    span = f"{min(sizes):.2g} to {max(sizes):.2g}"
    could = f"(80 % of such tests, uncorrected, would show a true one of {span})"
    assert len(sizes) == 4 and verdicts(lines) == [f"gap_closed: no difference is shown between one and two {could}."]


def test_places_with_the_same_scores_are_one_test(tmp_path: Path) -> None:
    """Unadapted models speak once, and their scores stand at every number of shots."""

    seen: list[Line] = []

    def p_of(*gains: float) -> list[float]:
        root = tmp_path / repr(gains)
        runs = [
            make_run(root, name, gain * (name == "a"), shots=shots, config={"seed": 0, "shots": [shots], "algo": {"name": name}})
            for name in "ab" for shots, gain in enumerate(gains, 1)
        ]  # fmt: skip
        seen[:] = compare_all(contenders(runs), {"gap_closed": True})
        return [line.p for line in seen if line.shots == 1]

    alone, other = p_of(0.01), p_of(0.01, 0.02)
    assert p_of(0.01, 0.01) == alone and len({line.test for line in seen}) == 4 and len(seen) == 8
    assert len(alone) == 4 and other[1] > alone[1] and other[0] == alone[0]


def test_seeds_are_pooled_and_ties_share_a_rank(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, gain, seed) for name, gain in (("a", 0.1), ("b", 0.3), ("c", 0.3)) for seed in (0, 1)]
    chosen = contenders(runs)
    assert [len(contender.results) for contender in chosen] == [2, 2, 2]
    lines = compare_all(chosen, {"gap_closed": True}, steps=20)
    first, second = ranking(chosen, lines, higher_is_better=True)
    assert sorted(first) == ["b", "c"] and second == ["a"]
    assert ranking(chosen, lines, higher_is_better=False)[0] == ["a"]


def test_what_has_fewer_seeds_is_compared_on_those_alone_and_said_so(tmp_path: Path) -> None:
    """Else a seed that went well for all would count for those that have it."""
    many = [make_run(tmp_path, name, gain, seed) for name, gain in (("a", 0.2), ("b", 0.0)) for seed in range(3)]
    (line,) = compare_all(contenders(many), {"gap_closed": True}, steps=5)
    assert (line.found.difference.n, line.found.seeds, seeds_note(contenders(many), [line])) == (30, 3, "")
    chosen = contenders([*many, make_run(tmp_path, "c", 0.1, seed=1)])
    lines = compare_all(chosen, {"gap_closed": True}, steps=5)
    assert {line.found.difference.n for line in lines} == {10}
    left = "Left out, because not all have them: a's seeds 0 and 2, b's seeds 0 and 2. "
    assert seeds_note(chosen, lines) == f"{left}Compared on seed 1: preliminary, because another pretraining may say otherwise."
    with pytest.raises(UsageError, match="No seed is common to all: a has seeds 0, 1 and 2; d has seed 3"):
        compare_all(contenders([*many[:3], make_run(tmp_path, "d", 0.1, seed=3)]), {"gap_closed": True})


def test_places_that_only_some_seeds_reached_are_preliminary(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", 0.2, seed, steps=(0, 20) if seed else STEPS) for seed in range(3)]
    chosen = contenders([*runs, *(make_run(tmp_path, "b", 0.0, seed) for seed in range(3))])
    lines = compare_all(chosen, {"gap_closed": True})
    assert [(line.steps, line.found.seeds) for line in lines] == [(0, 3), (5, 1), (20, 3), (CURVE, 1)]
    assert "Compared on 1 seed in places: preliminary" in seeds_note(chosen, lines)


def test_runs_of_one_seed_on_other_grids_are_taken_together_unless_they_disagree(tmp_path: Path) -> None:
    def grid(shots: int, algorithm: str = "a", gain: float = 0.1, steps: Sequence[int] = STEPS) -> Path:
        config = {"seed": 0, "shots": [shots], "steps": list(steps), "algo": {"name": algorithm}}
        return make_run(tmp_path, algorithm, gain, shots=shots, config=config, steps=steps)

    runs = [grid(1), grid(5), grid(1, "b", 0.3), grid(5, "b", 0.3)]
    chosen = contenders(runs)
    assert [set(contender.episodes["shots"]) for contender in chosen] == [{1, 5}, {1, 5}]
    assert {line.shots for line in compare_all(chosen, {"gap_closed": True})} == {1, 5}
    rows = compute_rows(runs[:2], [read_result(run) for run in runs[:2]])
    assert [(row["shots"], row["steps"], row["seeds"], row["run_ids"]) for row in rows] == [
        (str(shots), str(step), "1", run.name) for shots, run in ((1, runs[0]), (5, runs[1])) for step in STEPS
    ]
    with pytest.raises(BenchmarkError, match="share a seed and disagree"):
        contenders([*runs, grid(5, gain=0.2, steps=(0, 5))])


def test_too_few_speakers_to_show_anything_are_said(tmp_path: Path) -> None:
    lines = compare_all(contenders([make_run(tmp_path, "a", 0.1), make_run(tmp_path, "b", 0.3)]), {"gap_closed": True})
    assert power_note(lines) == ""
    few = [replace(line, found=replace(line.found, speakers=5)) for line in lines]
    assert not any("would show" in each for each in verdicts(few)) and any("would show" in each for each in verdicts(lines))
    assert power_note(few).startswith("With 5 speakers and 4 tests no p can be below 0.25, so no difference could be shown")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol_version": "2"}, "differ in protocol_version"),
        ({"data_version": "new"}, "were made from different recordings"),
        ({"device": "cuda"}, "differ in device (cpu and cuda)"),
        ({"precision": "bf16-mixed"}, "differ in precision (32-true and bf16-mixed)"),
        ({"training_version": "2"}, "differ in training_version"),
        ({"evaluation_version": "2"}, "differ in evaluation_version"),
        ({"metric_versions": {"speaker_similarity": "2"}}, "differ in metric_versions"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = make_run(tmp_path, "one", 0.1), make_run(tmp_path, "two", 0.1, **changes)
    assert reason in refused(["compare", one, two], 1, capsys)


def test_one_configuration_alone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, "one", 0.1), make_run(tmp_path, "one", 0.1, seed=1)]
    assert "compared with nothing" in refused(["compare", *runs], 1, capsys)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(make_run(tmp_path, name, gain)) for name, gain in (("a", 0.1), ("b", 0.3), ("d", 0.3))]
    assert main(["compare", *runs, "--steps", "curve"]) == 0
    printed = capsys.readouterr().out
    assert "b is better than a at 5 shots over the whole curve" in printed and "no difference is shown between b and d" in printed
    assert any(line.endswith(("b ~ d > a", "d ~ b > a")) for line in printed.splitlines())
    said = refused(["compare", *runs, "--metrics", "gap_close"], 2, capsys)
    assert "no metric 'gap_close' in these runs; did you mean 'gap_closed'" in said
    assert "--steps: must be a number or 'curve', not 'some'" in refused(["compare", *runs, "--steps", "some"], 2, capsys)
    assert "in common at 3 shots" in refused(["compare", *runs, "--shots", "3"], 2, capsys)


def test_versions_and_facts_count_for_the_compared_metrics_alone(tmp_path: Path) -> None:
    one = make_run(tmp_path, "one", 0.1, metric_versions={"speaker_similarity": "1", "per": "1"}, facts={"same": 0.9, "per_real": 0.4})
    more = {"speaker_similarity": "1", "per": "2"}
    other = make_run(tmp_path, "other", 0.1, metric_versions=more, facts={"same": 0.90001, "per_real": 0.5, "embedding_eer": 0.1})
    assert len(contenders([one, other], {"speaker_similarity"})) == 2
    with pytest.raises(BenchmarkError, match=r"metric_versions of per \(1 and 2\)"):
        contenders([one, other], {"per"})
    third = make_run(tmp_path, "third", 0.1, facts={"same": 0.8})
    with pytest.raises(BenchmarkError, match=r"differ in same \(0.9 and 0.8\)"):
        contenders([one, third], {"speaker_similarity"})


def test_what_uses_no_support_set_is_compared_with_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path, "top", 0.0, shots=0, steps=(0,)), make_run(tmp_path, "floor", 0.0, shots=0, steps=(0,))]
    chosen = contenders(runs)
    assert [(line.shots, line.steps) for line in compare_all(chosen, {"gap_closed": True})] == [(0, 0)]
    assert [(line.shots, line.steps) for line in compare_all(chosen, {"gap_closed": True}, shots=5, steps=20)] == [(0, 0)]
    runs.append(make_run(tmp_path, "learner", 0.3))
    lines = compare_all(contenders(runs[1:]), {"gap_closed": True})
    assert [(line.shots, line.steps, line.better) for line in lines] == [
        (5, 0, None), (5, 5, "learner"), (5, 20, "learner"), (5, CURVE, "learner"),
    ]  # fmt: skip
    assert main(["compare", *map(str, runs), "--steps", "20"]) == 0
    ranked = [line for line in capsys.readouterr().out.splitlines() if line.startswith("gap_closed, 5 shots and 20 steps: learner > ")]
    assert len(ranked) == 1 and "top" in ranked[0] and "floor" in ranked[0]


def test_what_takes_steps_on_all_speech_is_compared_at_each_number_of_shots_and_the_same_steps(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "top", 0.5, shots=0), make_run(tmp_path, "learner", 0.3)]
    lines = compare_all(contenders(runs), {"gap_closed": True})
    assert [(line.shots, line.steps, line.better) for line in lines] == [(5, 0, None), (5, 5, "top"), (5, 20, "top"), (5, CURVE, "top")]
    lost = contenders([make_run(tmp_path, "lost", float("nan"), shots=0), runs[1]])
    with pytest.raises(UsageError, match=r"lost has no gap_closed at 5 steps, because all its utterances failed there: no voice found\."):
        compare_all(lost, {"gap_closed": True}, steps=5)


def test_where_nothing_is_in_common_both_sides_are_said(tmp_path: Path) -> None:
    one, other = make_run(tmp_path, "one", 0.1), make_run(tmp_path, "other", 0.1, shots=1, steps=(0, 2))
    with pytest.raises(UsageError, match=r"in common: one: 5 shots x 0,5,20 steps, seed 0; other: 1 shots x 0,2 steps, seed 0\."):
        compare_all(contenders([one, other]), {"gap_closed": True})
    again = make_run(tmp_path, "again", 0.1, seed=1)
    with pytest.raises(UsageError, match=r"No seed is common to all: one has seed 0; again has seed 1\."):
        compare_all(contenders([one, again]), {"gap_closed": True}, steps=5)


def test_where_all_failed_it_is_said_why(tmp_path: Path) -> None:
    lost = make_run(tmp_path, "lost", float("nan"))
    chosen = contenders([make_run(tmp_path, "one", 0.1), lost])
    assert len(compare_all(chosen, {"gap_closed": True})) == 1, "before the first step"
    for steps, where in ((20, "at 20 steps"), (CURVE, "over the whole curve")):
        with pytest.raises(UsageError, match=rf"lost has no gap_closed at 5 shots {where}, .* failed there: no voice found\."):
            compare_all(chosen, {"gap_closed": True}, shots=5, steps=steps)
    # Elsewhere it did not fail.
    both = contenders([make_run(tmp_path / "more", "lost", 0.1, shots=1), lost, make_run(tmp_path / "more", "one", 0.1, shots=1)])
    assert "lost has no gap_closed at 5 shots at 20 steps" in apart(both, ["gap_closed"], 5, 20)
    assert apart(both, ["gap_closed"], 1, 20).startswith("Nothing in common at 1 shots at 20 steps")


def test_what_failed_is_counted_beside_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A method that fails on the hard voices looks better for it."""
    runs = [make_run(tmp_path, "one", 0.1), make_run(tmp_path, "floor", 0.0, shots=0, steps=(0,)), make_run(tmp_path, "lost", float("nan"))]
    assert main(["compare", *map(str, runs)]) == 0
    printed = capsys.readouterr().out
    assert "Not scored, and left out on both sides: gap_closed of lost 20 of 30, at 5,20 steps (no voice found)." in printed
    assert main(["compare", *map(str, runs[:2])]) == 0 and "Not scored" not in capsys.readouterr().out
    assert "--metrics: names no column" in refused(["compare", *map(str, runs), "--metrics", " ,"], 2, capsys)


def test_unlike_budgets_and_partial_runs_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = make_run(tmp_path, "one", 0.1), make_run(tmp_path, "other", 0.3, flops=1.05e12)
    floor, less = make_run(tmp_path, "floor", 0.0, flops=0), make_run(tmp_path, "less", 0.2, flops=5e11, limited=True)
    assert main(["compare", *map(str, (one, other, floor))]) == 0
    assert "budgets" not in (printed := capsys.readouterr().out) and "Not run" not in printed
    assert main(["compare", str(one), str(make_run(tmp_path, "more", 0.3, flops=1.15e12))]) == 0
    assert "one 1 TFLOP, more 1.15 TFLOP." in capsys.readouterr().out
    assert main(["compare", *map(str, (one, other, floor, less))]) == 0
    printed = capsys.readouterr().out
    assert "which may explain a difference: one 1 TFLOP, other 1.05 TFLOP, less 0.5 TFLOP." in printed
    assert "Not run on all test speakers: less." in printed and "processors" not in printed
    change_result(floor, hardware={"processor": "Abacus"})
    assert main(["compare", str(floor), str(less)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "so their pretrained models may differ a little: floor on Abacus, less on " in printed


def test_processors_matter_less_to_runs_of_one_shipped_start() -> None:
    for start, ending in (("", ", so their pretrained models may differ a little: "), ("d1", ": ")):
        results = {name: {"hardware": {"processor": name.upper()}, "pretrained": start} for name in ("a", "b")}
        chosen = [Contender(name, [result], pd.DataFrame(), []) for name, result in results.items()]
        assert processor_note(chosen) == f"Computed on several processors, which may round differently{ending}a on A, b on B."


def test_the_table_fits_a_terminal_and_says_once_what_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(make_run(tmp_path, "reptile", 0.2)), str(make_run(tmp_path, "mean_speaker", 0.1))]) == 0
    heading, table, *_ = capsys.readouterr().out.split("\n\n")
    assert heading.splitlines() == [
        "dataset: d", "first: reptile", "second: mean_speaker", "metric: gap_closed (higher is better)", "shots: 5", "speakers: 10",
        "seeds: 1",
    ]  # fmt: skip
    names, _, *rows = table.splitlines()
    assert names.split() == ["steps", "first", "-", "second", "IQM", "P", "d", "p", "better"]
    assert len(rows) == 4 and all(len(row) <= 80 and "…" not in row and "]" in row for row in rows)


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own runs with their table; nothing is committed."""
    monkeypatch.setattr("benchmark.results.leaderboard_places._committed", lambda: [tmp_path / "committed"])
    for name, gain in (("reptile", 0.3), ("maml", 0.1)):
        add([make_run(tmp_path / "runs", name, gain)], tmp_path / "runs" / "d.csv", local=True)
    return tmp_path / "runs"


def by_name(own_runs: Path, *arguments: str) -> int:
    return main(["compare", *arguments, "--output", str(own_runs)])


def test_algorithms_are_found_in_the_table_of_ones_own_runs(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert by_name(own_runs, "reptile", "maml") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"Algorithms from their rows in {own_runs / 'd.csv'}.") and "reptile is better than maml" in printed
    assert by_name(own_runs, "reptil", "maml") == 2
    error = capsys.readouterr().err
    assert "the tables d (--table names another); did you mean 'reptile'? There are: maml, reptile." in error
    assert by_name(own_runs, "reptile", "maml", "--table", "e") == 2
    assert "There is no leaderboard of 'e'" in capsys.readouterr().err
    assert main(["compare", "reptile", "maml", "--output", str(own_runs / "none")]) == 2
    assert "say where with --table or --output" in capsys.readouterr().err


def test_the_dataset_is_asked_for_where_several_have_the_names(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = [make_run(own_runs, name, gain, dataset="e") for name, gain in (("reptile", 0.1), ("maml", 0.3))]
    for folder in elsewhere:
        add([folder], own_runs / "e.csv", local=True)
    assert by_name(own_runs, "reptile", "maml") == 2
    assert "d and e have rows of reptile and maml; say which with --table." in capsys.readouterr().err
    assert by_name(own_runs, "reptile", "maml", "--table", "e") == 0
    assert "maml is better than reptile" in capsys.readouterr().out
    # A run says it itself.
    assert by_name(own_runs, str(elsewhere[1]), "reptile") == 0
    assert "maml is better than reptile" in capsys.readouterr().out


def test_committed_rows_and_ones_own_are_found_together(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed = own_runs.parent / "committed" / "d.csv"
    add([make_run(own_runs.parent / "elsewhere", "anil", 0.2)], committed, local=True)
    (committed.parent / "runs").symlink_to(own_runs.parent / "elsewhere")
    assert by_name(own_runs, "reptile", "anil") == 0
    assert "reptile is better than anil" in capsys.readouterr().out
    (committed.parent / "runs").unlink()
    assert by_name(own_runs, "reptile", "anil") == 2
    assert "which a row of anil in" in capsys.readouterr().err
    committed.rename(committed.parent / "e.csv")
    assert by_name(own_runs, "reptile", "anil") == 2
    assert "No dataset has reptile, anil together" in capsys.readouterr().err


def test_of_several_configurations_the_label_says_which(own_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"seed": 0, "algo": {"name": "reptile", "inner_lr": 3}}
    other = make_run(own_runs, "reptile", 0.3, config=config)
    add([other], own_runs / "d.csv", local=True)
    labels = sorted(f"reptile:{options(read_result(folder))}" for folder in own_runs.glob("d-reptile-*"))
    assert len(labels) == 2 and all(label in show(own_runs / "d.csv") for label in labels)
    assert by_name(own_runs, "reptile", "maml") == 2
    error = capsys.readouterr().err
    assert f"reptile has several configurations in {own_runs / 'd.csv'}; name one of them: reptile:" in error
    assert f"reptile:{options(read_result(other))}: inner_lr=3." in error
    assert by_name(own_runs, labels[1], "maml") == 0
    out = capsys.readouterr().out
    assert "reptile is better than maml" in out and f"Of several configurations: {labels[1]} (" in out
    assert by_name(own_runs, "reptile", "maml", "--metrics", "gapclosed") == 2
    assert "There is no metric 'gapclosed' in these runs; did you mean 'gap_closed'?" in capsys.readouterr().err
    assert by_name(own_runs, other.name, "maml") == 0
    assert "reptile is better than maml" in capsys.readouterr().out
    assert by_name(own_runs, *labels) == 0
    assert f"{labels[0]}" in capsys.readouterr().out

    # One that was not scored with what is compared is not meant.
    table = own_runs / "d.csv"
    lines = list(csv.DictReader(table.open()))
    for row in lines:
        if row["options"] == labels[0].partition(":")[2]:
            row["gap_closed"] = ""
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    assert by_name(own_runs, "reptile", "maml") == 0


def test_a_name_alone_means_the_most_tuned_configuration() -> None:
    """A variant, with options set by hand, does not make the name ambiguous; two that are tuned alike do."""
    row = dict.fromkeys([*IDENTITY, *PROVENANCE], "") | {"algorithm": "finetune", "gap_closed": "0.5", "settings": "momentum=0.9"}
    tuned = {**row, "options": "aaaa", "tuned": "learning_rate=0.001 speaker_lr=0.1 (8 trials)"}
    variant = {**row, "options": "bbbb", "tuned": "learning_rate=0.001 (8 trials)"}
    assert one_configuration("finetune", Path("t.csv"), [variant, tuned], ["gap_closed"]) == [tuned]
    for other in ({**tuned, "options": "cccc"}, {**variant, "options": "cccc", "tuned": ""}):
        rows = [tuned, other] if other["tuned"] else [{**variant, "tuned": ""}, other]
        with pytest.raises(UsageError, match=r"finetune has several configurations in t\.csv"):
            one_configuration("finetune", Path("t.csv"), rows, ["gap_closed"])
