"""Intervals cover what they say they cover, and means weigh speakers alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from benchmark.results.power import detectable
from benchmark.results.resampling import means_of, spread_of, units_of
from benchmark.results.statistics import area, compare, estimate, estimate_eer, holm, summarise
from benchmark.scoring.verification import WeightedErrorRate, equal_error_rate


def simulated(
    generator: np.random.Generator, speakers: int = 12, episodes: int = 2, utterances: int = 3, seeds: int = 1, shift: float = 0.0
) -> pd.DataFrame:
    """Speakers' levels of spread 1, common to all seeds; seeds' of spread ``shift``, common to all speakers."""
    rows = []
    levels = generator.normal(size=speakers)
    for seed in range(seeds):
        common = generator.normal(scale=shift)
        for speaker, mine in enumerate(levels):
            for episode in range(episodes):
                level = mine + common + generator.normal(scale=0.3)
                rows += [(seed, f"s{speaker}", episode, u, level + generator.normal(scale=0.5)) for u in range(utterances)]
    return pd.DataFrame(rows, columns=["seed", "speaker", "episode", "utterance", "x"])


def test_mean_weighs_speakers_and_episodes_alike() -> None:
    frame = pd.DataFrame({"speaker": ["a", "a", "a", "b"], "episode": [0, 0, 1, 0], "utterance": list("wxyz"), "x": [1.0, 3.0, 4.0, 10.0]})
    assert estimate(frame, "x").mean == pytest.approx(((2 + 4) / 2 + 10) / 2)


@pytest.mark.parametrize(("speakers", "episodes"), [(12, 2), (8, 1)])
def test_coverage_of_the_95_percent_interval(speakers: int, episodes: int) -> None:
    generator = np.random.default_rng(1)
    hits = []
    for number in range(500):
        value = estimate(simulated(generator, speakers, episodes), "x", resamples=400, seed=number)
        hits.append(value.low <= 0 <= value.high)
    assert 0.93 <= np.mean(hits) <= 0.97


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_what_a_seed_does_to_all_speakers_is_in_interval_and_test(shift: float) -> None:
    generator = np.random.default_rng(7)
    hits, found = [], []
    for number in range(150):
        frame = simulated(generator, 12, 1, seeds=3, shift=shift)
        value = estimate(frame, "x", resamples=300, seed=number)
        hits.append(value.low <= 0 <= value.high)
        if number < 50:
            found.append(compare(frame, frame.assign(x=0.0), "x", True).p <= 0.05)
    assert 0.91 <= np.mean(hits) <= 0.985 and np.mean(found) <= 0.1


def test_failures_are_counted_and_one_speaker_has_no_interval() -> None:
    frame = simulated(np.random.default_rng(0), speakers=1)
    frame.loc[0, "x"] = np.nan
    value = estimate(frame, "x")
    assert (value.failed, value.n) == (1, 5)
    assert np.isnan(value.low) and np.isfinite(value.mean)
    assert np.isnan(estimate(frame.assign(x=np.nan), "x").mean)


def test_one_odd_speaker_moves_the_mean_but_not_the_interquartile_mean() -> None:
    frame = pd.DataFrame({"speaker": list("abcdefgh"), "episode": 0, "utterance": "u", "x": [1.0, 2, 3, 4, 5, 6, 7, 1000]})
    found = compare(frame, frame.assign(x=0.0), "x", True)
    assert found.difference.mean == pytest.approx(128.5) and found.middle == pytest.approx((3 + 4 + 5 + 6) / 4)


def test_pairing_removes_what_speakers_have_in_common() -> None:
    frame = simulated(np.random.default_rng(2))
    found = compare(frame.assign(x=frame["x"] + 0.1), frame, "x", higher_is_better=True)
    value = found.difference
    assert (value.mean, value.low, value.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.better.mean == 1 and found.p == pytest.approx(2 / 2**12) and found.effect > 1e6
    assert compare(frame.assign(x=frame["x"] + 0.1), frame, "x", higher_is_better=False).better.mean == 0
    same = compare(frame, frame, "x", higher_is_better=True)
    assert (same.difference.mean, same.better.mean, same.effect) == (0, 0.5, 0) and np.isnan(same.p)


def test_the_paired_test_is_right_about_noise_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    speakers = [f"s{number}" for number in range(8)]
    frame = pd.DataFrame({"speaker": speakers, "episode": 0, "utterance": "u"})
    p = [compare(frame.assign(x=generator.normal(size=8)), frame.assign(x=0.0), "x", True).p for _ in range(150)]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.10


def test_effect_and_pairs_by_hand() -> None:
    ours = pd.DataFrame({"speaker": list("aabc"), "episode": 0, "utterance": list("xyxx"), "x": [1.0, 3.0, 5.0, 9.0]})
    theirs = pd.DataFrame({"speaker": list("aabd"), "episode": 0, "utterance": list("xyxx"), "x": [0.0, 0.0, 1.0, 9.0]})
    found = compare(ours, theirs, "x", higher_is_better=True)
    assert found.difference.mean == pytest.approx((2 + 4) / 2) and found.difference.n == 3
    assert found.effect == pytest.approx(3 / np.std([2, 4], ddof=1))
    assert found.speakers == 2 and np.isnan(found.p), "two speakers can't show anything"


def test_holm_by_hand() -> None:
    # The example of R's p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm").
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.01, np.nan, 0.5])[1:] == pytest.approx([np.nan, 0.5], nan_ok=True)


def test_area_under_the_curve_weighs_early_steps() -> None:
    frame = pd.DataFrame({"speaker": "a", "episode": 0, "utterance": "u", "shots": 5, "steps": [0, 1, 3, 7], "x": [0.0, 1.0, 1.0, 1.0]})
    assert area(frame, "x")["x"].tolist() == pytest.approx([(0.5 + 1 + 1) / 3])
    assert area(frame[frame["steps"] == 0], "x")["x"].tolist() == [0.0]
    frame.loc[2, "x"] = np.nan
    assert np.isnan(area(frame, "x")["x"].iloc[0])


def test_equal_error_rate_pools_the_trials_of_a_row() -> None:
    frame = simulated(np.random.default_rng(3), speakers=6, episodes=1, utterances=4)
    apart = [[0.9, 0.2, 0.3]] * len(frame)
    value = estimate_eer(frame, apart, resamples=50)
    assert (value.mean, value.low, value.high, value.failed) == (0, 0, 0, 0)
    # Half of the speakers score below all impostors: at any threshold between, half is rejected and half accepted.
    mixed = [[0.9 if speaker < "s3" else 0.1, 0.2 if speaker < "s3" else 0.95] for speaker in frame["speaker"]]
    value = estimate_eer(frame, mixed, resamples=200)
    assert value.mean == pytest.approx(0.5)
    assert 0 <= value.low < 0.5 < value.high <= 1
    assert estimate_eer(frame, [None, *apart[1:]], resamples=10).failed == 1
    assert np.isnan(estimate_eer(frame, [None] * len(frame)).mean)


def test_coverage_of_the_interval_of_an_equal_error_rate() -> None:
    """Speakers differ in how near their voice is met and in how like others they are; the true rate is that of many speakers."""
    generator = np.random.default_rng(0)

    def trials(speakers: int) -> npt.NDArray[np.float64]:
        """Three utterances of each, against the own voice and eleven others."""
        own, others = generator.normal(2, 0.6, (speakers, 1, 1)), generator.normal(0, 0.4, (speakers, 1, 1))
        noise = generator.normal(size=(speakers, 3, 12))
        return np.concatenate([own + 0.6 * noise[..., :1], others + 0.8 * noise[..., 1:]], axis=-1).reshape(-1, 12)

    many = trials(20000)
    truth = equal_error_rate(many[:, 0], many[:, 1:].ravel())
    frame = pd.DataFrame({"speaker": np.repeat([f"s{number}" for number in range(12)], 3), "episode": 0})
    values = [estimate_eer(frame, trials(12).tolist(), resamples=200, seed=number) for number in range(150)]
    width, spread = np.mean([value.high - value.low for value in values]), np.std([value.mean for value in values])
    assert np.mean([value.low <= truth <= value.high for value in values]) >= 0.93
    assert width <= 1.5 * 2 * 1.96 * spread, "on the safe side, within reason"


def test_equal_error_rate_where_a_speaker_failed_under_most_seeds() -> None:
    frame = simulated(np.random.default_rng(5), speakers=2, episodes=1, utterances=2)
    frame = pd.concat([frame.assign(seed=seed) for seed in range(3)], ignore_index=True)
    # Under its one good seed s0 is taken for another in every trial; where that seed is not drawn it counts all the same.
    good = {"s0": [0.1, 0.9], "s1": [0.95, 0.2]}
    scores = [good[name] if seed == 2 or name == "s1" else None for name, seed in zip(frame["speaker"], frame["seed"], strict=True)]
    value = estimate_eer(frame, scores, resamples=400)
    assert (value.low, value.high, value.n) == (0, 1, 8) and 0 < value.mean < 1


def test_a_summary_has_rates_beside_means() -> None:
    frame = simulated(np.random.default_rng(4), speakers=3)
    frame["trials"] = '{"eer":[0.9,0.1,0.2]}'
    assert {name: value.n for name, value in summarise(frame, ["x"]).items()} == {"x": 18, "eer": 18}
    assert list(summarise(frame.assign(trials=""), ["x"])) == ["x"]


def test_values_are_grouped_as_pandas_groups_them() -> None:
    """With holes, uneven sizes, and rows in any order."""
    frame = simulated(np.random.default_rng(5), 7, 2, 3, seeds=2).sample(frac=0.6, random_state=1)
    frame = frame[(frame["speaker"] != "s3") | (frame["seed"] == 1)]
    units = units_of(frame, "x")
    groups = {key: some["x"].tolist() for key, some in frame.groupby(["speaker", "seed", "episode"])}
    speakers, seeds = sorted(frame["speaker"].unique()), sorted(frame["seed"].unique())
    for speaker, by_seed in zip(speakers, units, strict=True):
        for seed, episodes in zip(seeds, by_seed, strict=True):
            assert [unit.tolist() for unit in episodes] == [groups[key] for key in sorted(groups) if key[:2] == (speaker, seed)]
    cells = frame.groupby(["speaker", "seed", "episode"])["x"].mean()
    assert means_of(units) == pytest.approx(cells.groupby("speaker").mean().to_numpy())
    table = cells.groupby(["speaker", "seed"]).mean().unstack("seed")
    variance = table.mean(axis=1).var(ddof=1) / len(speakers) + table.mean(axis=0).var(ddof=1) / 2
    assert spread_of(units).variance == pytest.approx(variance)


@pytest.mark.parametrize("digits", [1, 9])
def test_the_equal_error_rate_of_a_resample_is_that_of_its_trials(digits: int) -> None:
    """To the bit; one digit makes many scores equal."""
    generator = np.random.default_rng(digits)
    scores = np.round(generator.normal(np.eye(1, 8), size=(30, 8)), digits)
    rates = WeightedErrorRate(scores)
    for rows in (np.arange(30), np.zeros(4, np.int64), *generator.integers(30, size=(200, 30))):
        assert rates.of(np.bincount(rows, minlength=30)) == equal_error_rate(scores[rows, 0], scores[rows, 1:].ravel())


def test_a_difference_of_the_detectable_size_is_shown_in_four_of_five_tests() -> None:
    generator = np.random.default_rng(11)
    true = detectable(1 / 12, 11)
    names = {"speaker": [f"s{number}" for number in range(12)], "episode": 0, "utterance": "u"}
    found = []
    for _ in range(300):
        ours = pd.DataFrame({**names, "x": true + generator.normal(size=12)})
        found.append(compare(ours, ours.assign(x=0.0), "x", True))
    assert 0.74 <= np.mean([each.p <= 0.05 for each in found]) <= 0.86
    assert np.sqrt(np.mean([each.detectable**2 for each in found])) == pytest.approx(true, rel=0.05)
