"""``check --data-root``: what it says of voices and recordings that are not where they should be."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.data import survey
from benchmark.data.enough import Need, Sizes
from benchmark.scoring.verification import Floats
from tests.dataset_helpers import SENTENCES, recorded, speech

Folder = importlib.import_module("benchmark.datasets.folder").Folder


def voice(centre: Floats, spread: float, count: int, seed: int) -> Floats:
    """Embeddings of a speaker's recordings around a centre."""
    found = centre + np.random.default_rng(seed).normal(0, spread / 16, (count, 256)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


@pytest.fixture
def centres() -> Floats:
    found = np.random.default_rng(0).normal(size=(6, 256)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def alike(voices: dict[str, Floats]) -> list[str]:
    return [line for line in survey._doubles(voices) if "two ids" in line]


def test_one_voice_under_two_ids_is_said_whether_its_recordings_are_steady_or_not(centres: Floats) -> None:
    """Recordings of the doubled voice differ more than everybody else's, so that its ids are less alike than speakers usually are."""
    steady = {f"s{number}": voice(centre, 0.1, 8, number) for number, centre in enumerate(centres[1:])}
    for spread in (0.1, 0.5, 0.9):
        for count in (8, 5):
            doubled = {"a": voice(centres[0], spread, 8, 11), "b": voice(centres[0], spread, count, 12)}
            (line,) = alike(steady | doubled)
            assert "a and b are as alike" in line
    assert alike(steady) == []


def test_the_same_recording_in_two_splits_is_said(tmp_path: Path) -> None:
    root = recorded(tmp_path / "corpus", {"train": {"anna": 2, "carl": 2}, "test": {"bob": 2}})
    dataset = Folder(root)
    sizes, need = [Sizes(1, 1)], Need("a task", "record more", 2)
    assert not any("two splits" in line for line in survey.survey("folder", dataset, sizes, need).lines)
    samples, rate = soundfile.read(root / "anna-1.wav", dtype="int16")
    soundfile.write(root / "bob-0.flac", samples, rate)  # the same sound in another container
    (root / "bob-0.wav").unlink()
    table = root / "metadata.csv"
    table.write_text(table.read_text().replace("bob-0.wav", "bob-0.flac"))
    lines = survey.survey("folder", Folder(root), sizes, need).lines
    assert "  the same recording is in two splits, 1 time: anna-1 of anna (train) and bob-0 of bob (test)" in lines


def test_a_real_voice_under_two_ids_is_said(tmp_path: Path) -> None:
    rows = ["audio,text,speaker"]
    for number, (name, variant) in enumerate([("anna", "f2"), ("anne", "f2"), ("bob", "m1"), ("carl", "m3")]):
        for index in range(3):
            text = SENTENCES[(3 * number + index) % len(SENTENCES)]
            soundfile.write(tmp_path / f"{name}-{index}.wav", speech(text, variant), 16_000)
            rows.append(f"{name}-{index}.wav,{text},{name}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    lines = survey.survey("folder", Folder(tmp_path), [Sizes(1, 1)], Need("a task", "record more", 2)).lines
    assert [line for line in lines if "two ids" in line and "anna and anne" in line], lines
    assert len([line for line in lines if "two ids" in line]) == 1


def test_a_refused_grid_skips_no_utterance(tmp_path: Path) -> None:
    root = recorded(tmp_path / "corpus", {"train": {"anna": 2}, "test": {"bob": 1}})
    (root / "textgrids").mkdir()
    (root / "textgrids" / "anna-0.TextGrid").write_text("hello")
    found = survey.survey("folder", Folder(root), [Sizes(1, 1)], Need("a task", "record more", 2))
    assert "  TextGrids refused, aligned without them, 1: not a TextGrid (anna-0)" in found.lines
    assert not any("skipped" in line for line in found.lines)
