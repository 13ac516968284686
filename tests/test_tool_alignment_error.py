"""The command that measures the aligner: its arithmetic, its promise on speech with known boundaries, its refusals."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.aligner import Aligner
from benchmark.dataset import SPLITS, Segment
from benchmark.plugins import registry
from tools.alignment_error import load, main, measure, plot


def timing(*words: tuple[float, ...]) -> list[list[Segment]]:
    """Words given by their boundaries in milliseconds."""
    return [[Segment("a", start / 1000, end / 1000) for start, end in pairwise(word)] for word in words]


def test_errors_and_pauses_are_counted_as_defined() -> None:
    true = timing((50, 100, 200), (200, 300), (500, 600), (750, 800))
    found = timing((60, 95, 200), (205, 330), (500, 600), (620, 815))
    report = measure([(true, found)])
    # Starts of five phones; ends of the words before pauses, and of the last.
    np.testing.assert_allclose(np.sort(report.errors_ms), np.sort([10, -5, 5, 30, 0, 0, -130, 15]), atol=1e-9)
    assert (report.pauses, report.pauses_found) == (2, 1)
    assert (report.joins, report.joins_kept) == (1, 1)
    assert report.lines()[0].startswith("boundaries 8: median 7.5 ms")


def test_perfect_alignments_have_no_error() -> None:
    true = timing((50, 100, 200), (400, 500))
    report = measure([(true, true)] * 3)
    assert np.all(report.errors_ms == 0)
    assert report.pauses_found == report.pauses == 3


def test_the_aligner_keeps_its_promise_on_speech_with_known_boundaries(tmp_path: Path) -> None:
    plugin = registry.load("dataset", "espeak")
    dataset = plugin(None, plugin.Config(sentences=12))
    people = [(split, speaker) for split in SPLITS for speaker in dataset.speakers(split)[:10]]
    samples = [sample for person in people for sample in load(person, dataset)[0]]
    aligner = Aligner.fit([sample.item for sample in samples if sample.split == "train"])
    unheard = [sample for sample in samples if sample.split != "train"]
    found = [aligner.align(sample.item) for sample in unheard]
    report = measure([(sample.truth, timing) for sample, timing in zip(unheard, found, strict=True) if sample.truth])
    assert len(report.errors_ms) > 1000
    assert np.median(np.abs(report.errors_ms)) <= 25
    # Half the boundaries being near would hide utterances gone astray.
    assert np.mean(np.abs(report.errors_ms) <= 50) > 0.85
    pytest.importorskip("matplotlib")
    plot(tmp_path / "plots" / "one.png", unheard[0], found[0])
    assert (tmp_path / "plots" / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--dataset", "espaek"], 2, "did you mean 'espeak'"),
        (["--dataset", "espeak", "--workers", "0"], 2, "at least 1"),
        (["--dataset", "speechocean762", "--data-root", "nowhere"], 2, "nowhere does not hold speechocean762"),
        ([], 2, "--dataset"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    arguments: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and sentence in error
