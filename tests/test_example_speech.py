"""A gallery: a table's page with a few examples of speech, from what lies beside the table and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import main
from benchmark.results import example_speech, leaderboard
from benchmark.results.kept_speech import beside_file, speech_file
from tests.cli_helpers import refused
from tests.report_helpers import make_run

SPEAKERS = ("anna", "bert", "carl")


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Runs of a method with two seeds, of one without adaptation, and of a topline."""
    common: dict[str, Any] = {"speakers": SPEAKERS, "beside": True, "dataset": "espeak"}
    found = [make_run(tmp_path / "runs", "maml", seed, **common) for seed in (0, 1)]
    return [*found, *(make_run(tmp_path / "runs", name, shots=(0,), **common) for name in ("no_adaptation", "ground_truth"))]


@pytest.fixture
def table(tmp_path: Path, runs: list[Path]) -> Path:
    """Their table, with their results beside it, as committed ones are."""
    path = tmp_path / "boards" / "espeak.csv"
    for group in (runs[:2], runs[2:3], runs[3:]):
        leaderboard.add(group, path, preliminary=True, local=True)
        for run in group:
            kept = path.parent / leaderboard.RUNS / run.name
            shutil.copytree(run, kept, ignore=lambda folder, names: [name for name in names if name == "audio"])
    return path


def test_a_gallery_is_made_of_what_lies_beside_the_table(
    runs: list[Path], table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = ["leaderboard", "speech", str(table), "--speakers", "2", "--output", str(runs[0].parent)]
    assert main(speech) == 0
    assert "14 files, 0.2 MB, beside" in capsys.readouterr().out
    kept = table.parent / "runs"
    assert {path.relative_to(kept).as_posix() for path in kept.rglob("*.wav")} == {
        f"{runs[0].name}/audio/{name}" for who in ("anna", "bert")
        for name in (speech_file(who, 5, 20), *(beside_file(who, kind) for kind in ("recording", "copy", "support")))
    } | {f"{runs[2].name}/audio/{speech_file(who, 0, 0)}" for who in ("anna", "bert")}  # fmt: skip
    about = (kept / "espeak-speech.md").read_text()
    assert "licence CC0-1.0" in about and "`*_recording.wav`" in about and "espeak-ng" in about
    shutil.rmtree(runs[0].parent)

    page = tmp_path / "gallery.html"
    assert main(["report", "--table", str(table), "--html", str(page), "--cache", str(tmp_path)]) == 0
    text = page.read_text()
    # Of two speakers: recording, copy and a support sentence; the floor and the method.
    assert text.count("<audio") == 2 * (3 + 1 + 1) and text.count("<img") == 2 * (3 + 1)
    assert "What bert said." in text and "Heard before." in text and "licence CC0-1.0" in text
    assert "carl" not in text.partition('-audio"')[2].partition('-speakers"')[0], "the third speaker is not heard"


def test_what_is_not_the_runs_own_or_too_large_is_refused(
    runs: list[Path], table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = ["leaderboard", "speech", table, "--output", runs[0].parent]
    monkeypatch.setattr(example_speech, "MOST", 1000)
    assert "takes 0.2 MB, and 0 may lie beside a table: take fewer" in refused(speech, 2, capsys)
    (tmp_path / "empty").mkdir()
    assert "say where with --output" in refused([*speech[:-1], tmp_path / "empty"], 2, capsys)
    sound = runs[0] / "audio" / speech_file("anna", 5, 20)
    sound.write_bytes(sound.read_bytes()[:-2] + b"xx")
    assert sound.name in refused(speech, 1, capsys)
    shutil.rmtree(table.parent / "runs" / runs[0].name)
    assert "does not keep" in refused(speech, 2, capsys) and not list((table.parent / "runs").rglob("*.wav"))
