"""Intervals cover what they say they cover, and means weigh speakers alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics import estimate, estimate_eer, paired_difference, summarise


def simulated(generator: np.random.Generator, speakers: int = 12, episodes: int = 2, utterances: int = 3) -> pd.DataFrame:
    rows = []
    for speaker in range(speakers):
        mine = generator.normal()
        for episode in range(episodes):
            level = mine + generator.normal(scale=0.3)
            rows += [(f"s{speaker}", episode, u, level + generator.normal(scale=0.5)) for u in range(utterances)]
    return pd.DataFrame(rows, columns=["speaker", "episode", "utterance", "x"])


def test_mean_weighs_speakers_and_episodes_alike() -> None:
    frame = pd.DataFrame({"speaker": ["a", "a", "a", "b"], "episode": [0, 0, 1, 0], "utterance": list("wxyz"), "x": [1.0, 3.0, 4.0, 10.0]})
    assert estimate(frame, "x").mean == pytest.approx(((2 + 4) / 2 + 10) / 2)


def test_coverage_of_the_95_percent_interval() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for number in range(400):
        value = estimate(simulated(generator), "x", resamples=400, seed=number)
        hits += value.low <= 0 <= value.high
    assert 0.93 <= hits / 400 <= 0.985


def test_failures_are_counted_and_one_speaker_has_no_interval() -> None:
    frame = simulated(np.random.default_rng(0), speakers=1)
    frame.loc[0, "x"] = np.nan
    value = estimate(frame, "x")
    assert (value.failed, value.n) == (1, 5)
    assert np.isnan(value.low) and np.isfinite(value.mean)
    assert np.isnan(estimate(frame.assign(x=np.nan), "x").mean)


def test_pairing_removes_what_speakers_have_in_common() -> None:
    frame = simulated(np.random.default_rng(2))
    better = frame.assign(x=frame["x"] + 0.1)
    value = paired_difference(better, frame, "x")
    assert value.mean == pytest.approx(0.1) and value.low == pytest.approx(0.1) and value.high == pytest.approx(0.1)


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


def test_a_summary_has_rates_beside_means() -> None:
    frame = simulated(np.random.default_rng(4), speakers=3)
    frame["trials"] = '{"eer":[0.9,0.1,0.2]}'
    assert {name: value.n for name, value in summarise(frame, ["x"]).items()} == {"x": 18, "eer": 18}
    assert list(summarise(frame.assign(trials=""), ["x"])) == ["x"]
