"""Naturalness: loudness does not count, length is handled as stated, and what can't be heard gets no number.

What damages real speech lowers it: tests/test_metric_sanity.py.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import distillmos
import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt

from benchmark.audio import SAMPLE_RATE, Audio
from benchmark.errors import CannotScore
from benchmark.metrics.naturalness import HOP, Naturalness, _network
from tests.metric_helpers import sample, say, unusable_audio

METRIC = Naturalness()
WINDOW = 122_880
"""Samples that the network hears at a time."""


def value(audio: Audio) -> float:
    return METRIC.score(sample(audio))["naturalness"]


@pytest.fixture(scope="module")
def speech() -> Audio:
    return say("aiuesaeusaiuesaeus")[0]


def test_loudness_does_not_count(speech: Audio) -> None:
    assert value(speech * np.float32(0.25)) == pytest.approx(value(speech), abs=1e-3)


def test_the_same_speech_has_the_same_value_to_the_last_bit(speech: Audio) -> None:
    assert value(speech) == value(speech)


def test_short_speech_is_filled_with_silence_and_long_speech_is_heard_in_windows(speech: Audio) -> None:
    filled = np.concatenate([speech, np.zeros(WINDOW - len(speech), np.float32)])
    assert value(speech) == pytest.approx(value(filled), abs=1e-5)
    low = sosfilt(butter(4, 1000, fs=SAMPLE_RATE, output="sos"), np.tile(speech, 4)).astype(np.float32)
    long = np.concatenate([np.tile(speech, 4), low])[: WINDOW + 20_000]
    starts = (0, 10_000, 20_000)
    assert value(long) == pytest.approx(np.mean([value(long[start : start + WINDOW]) for start in starts]), abs=1e-4)


@pytest.mark.parametrize("samples", [8_000, 32_001, 70_000, 117_900, WINDOW - 1, WINDOW, WINDOW + 40_000])
def test_leaving_out_the_added_silence_changes_no_bit(samples: int) -> None:
    with redirect_stdout(io.StringIO()):
        network = distillmos.ConvTransformerSQAModel().eval()
    noise = np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32)
    noise[4_000:20_000] = 0  # a pause is not the end
    heard: list[int] = []
    hook = _network().cnn.convolutions.register_forward_pre_hook(lambda _, given: heard.append(given[0].shape[1]))
    with torch.inference_mode():
        assert value(noise) == float(network(torch.from_numpy(noise)[None]))
    hook.remove()
    assert heard[-1] < samples + 20 * HOP if samples < WINDOW - 20 * HOP else heard[-1] == WINDOW


@pytest.mark.parametrize("name", unusable_audio())
def test_what_holds_no_speech_gets_no_number(name: str) -> None:
    with pytest.raises(CannotScore):
        value(unusable_audio()[name])
