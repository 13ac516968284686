"""What a design can detect, against simulated experiments whose variances are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.cli import main
from benchmark.results.leaderboard import add
from benchmark.results.leaderboard_file import read
from benchmark.results.power import ALPHA, POWER, Components, Design, components, pooled
from benchmark.results.row_episodes import RowEpisodes
from benchmark.results.statistics import compare
from tests.cli_helpers import refused
from tests.committed import FOLDER
from tests.report_helpers import make_run

TRUE = Components(speaker=0.106**2, seed=0.05**2, interaction=0.034**2, sentence=0.064**2, residual=0.119**2)


def simulated(true: Components, design: Design, rng: np.random.Generator, mean: float = 0.0) -> np.ndarray:
    """Differences, shape (speakers, seeds, sentences)."""
    shape = (design.speakers, design.seeds, design.queries)
    effects = ((true.speaker, (0,)), (true.seed, (1,)), (true.interaction, (0, 1)), (true.sentence, (0, 2)), (true.residual, (0, 1, 2)))
    values = np.full(shape, mean)
    for variance, axes in effects:
        values = values + np.sqrt(variance) * rng.normal(size=[size if axis in axes else 1 for axis, size in enumerate(shape)])
    return values


def frame(values: np.ndarray) -> pd.DataFrame:
    places = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), -1).reshape(-1, 3)
    table = pd.DataFrame(places, columns=["speaker", "seed", "sentence"])
    return table.assign(sentence=table["speaker"] * 1000 + table["sentence"], value=values.ravel())


@pytest.mark.parametrize("seeds", [1, 3])
def test_estimates_are_right_on_average(seeds: int) -> None:
    rng, design = np.random.default_rng(0), Design(12, seeds, 3)
    found = [components(frame(simulated(TRUE, design, rng)))[0] for _ in range(400)]
    mean = pooled(found)
    if seeds == 1:  # what can't be told apart is in the component that shrinks with it
        assert mean.speaker == pytest.approx(TRUE.speaker + TRUE.interaction, rel=0.1)
        assert mean.residual == pytest.approx(TRUE.sentence + TRUE.residual, rel=0.1)
        assert mean.seed == mean.interaction == mean.sentence == 0
    else:
        assert mean.speaker == pytest.approx(TRUE.speaker, rel=0.1)
        assert mean.residual == pytest.approx(TRUE.residual, rel=0.1)
        assert mean.sentence == pytest.approx(TRUE.sentence, rel=0.25)


@pytest.mark.parametrize("design", [Design(12, 1, 3), Design(40, 3, 3), Design(40, 1, 6)])
def test_a_mean_varies_as_predicted(design: Design) -> None:
    rng = np.random.default_rng(1)
    means = [simulated(TRUE, design, rng).mean() for _ in range(2000)]
    assert np.var(means) == pytest.approx(TRUE.variance(design), rel=0.1)


def test_a_detectable_difference_is_shown_as_often_as_promised() -> None:
    true, design = Components(0.106**2, 0.0, 0.034**2, 0.064**2, 0.119**2), Design(40, 1, 3)
    rng, size = np.random.default_rng(2), true.detectable(design)
    assert size == pytest.approx(0.061, abs=0.002)
    for mean, expected in ((size, POWER), (0.0, ALPHA)):
        shown = [stats.ttest_1samp(simulated(true, design, rng, mean).mean((1, 2)), 0).pvalue < ALPHA for _ in range(2000)]
        assert np.mean(shown) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("place", [(5, 1), (10, 2), (10, 5)])
def test_committed_rows_show_what_compare_calls_detectable(place: tuple[int, int]) -> None:
    """Experiments with as many speakers, drawn from those of the rows, and a sign-flip test between them."""
    table = FOLDER / "speechocean762.csv"
    episodes, at = RowEpisodes(table), tuple(map(str, place))
    ours, theirs = (
        episodes(next(row for row in read(table) if row["algorithm"] == name and (row["shots"], row["steps"]) == at))
        for name in ("maml_adam", "finetune")
    )
    assert ours is not None and theirs is not None
    found = compare(ours, theirs, "gap_closed", True)
    key = ["speaker", "seed", "episode", "utterance"]
    differences = (ours.set_index(key)["gap_closed"] - theirs.set_index(key)["gap_closed"]).groupby("speaker").mean().dropna().to_numpy()
    rng, count = np.random.default_rng(4), len(differences)
    signs = rng.choice([-1, 1], (1000, count))
    for true, expected in ((found.detectable, POWER), (0.0, ALPHA)):
        drawn = rng.choice(differences - differences.mean() + true, (1000, count))
        p = [(np.abs(signs @ each) >= abs(each.sum())).mean() for each in drawn]
        assert np.mean(np.array(p) < ALPHA) == pytest.approx(expected, abs=0.05)


def test_what_is_missing_is_left_out() -> None:
    values = simulated(TRUE, Design(6, 2, 4), np.random.default_rng(3))
    whole = frame(values)
    holes = whole.drop(whole.index[(whole["speaker"] == 2) & (whole["seed"] == 1) & (whole["sentence"] == 2003)])
    found, design = components(holes)
    assert design == Design(6, 2, 3)
    assert found == components(frame(values[:, :, :3]))[0]
    with pytest.raises(ValueError, match="two sentences"):
        components(whole[whole["speaker"] == 0])


def test_a_table_tells_what_it_can_detect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Noise of .05 on each score, and nothing else: a difference's variance is twice as large, less where scores share it."""
    table, names = tmp_path / "made_up.csv", [f"s{number}" for number in range(12)]
    for algorithm in ("reptile", "maml"):
        runs = [make_run(tmp_path, algorithm, seed=seed, speakers=names, queries=3, shots=(5,), audio=False) for seed in range(3)]
        add(runs, table, local=True)
    assert main(["leaderboard", "power", str(table), "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "From 3 pairs of rows with 12 speakers, 3 seeds and 3 sentences a speaker:" in printed
    found = {line.split()[0]: float(line.split()[-1]) for line in printed.splitlines() if line.startswith(("speaker ", "seed ", "rest "))}
    assert found["rest"] == pytest.approx(0.05 * np.sqrt(2), rel=0.2)
    own = next(line.split() for line in printed.splitlines() if line.split()[:3] == ["12", "3", "3"])
    assert float(own[3]) < 0.05

    assert "has no metric 'mos'; it has" in refused(["leaderboard", "power", table, "--metric", "mos"], 2, capsys)
    add(runs[:1], lonely := tmp_path / "lonely.csv", preliminary=True, local=True)
    assert "has no two methods whose gap_closed can be paired" in refused(["leaderboard", "power", lonely], 2, capsys)
