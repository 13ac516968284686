"""A complete run whose files were cut, changed or lost is not called complete, and readers' advice to run it again works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.running.resume import is_sound
from tests.report_helpers import make_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path, "reptile", audio=False, failure="silent")


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text(change((run / name).read_text()))


def test_a_whole_run_is_sound(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_sound(run) and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (edit("episodes.csv", lambda text: text[:-30]), "episodes.csv is cut short"),
        (edit("episodes.csv", lambda text: "".join(text.splitlines(keepends=True)[:-3])), "episodes.csv lacks episodes"),
        (edit("episodes.csv", lambda text: text.replace("bert,0,5,", "bert,0,x,", 1)), "episodes.csv is damaged: row"),
        (lambda run: (run / "episodes.csv").unlink(), "There is no"),
        (lambda run: (run / "costs.csv").unlink(), "There is no"),
        (edit("costs.csv", lambda text: text[:-3]), "costs.csv is damaged"),
        (edit("result.json", lambda text: text[: len(text) // 2]), "result.json can't be read"),
        (edit("result.json", lambda text: text.replace('"n_failed"', '"n_fialed"')), "lacks or garbles"),
    ],
)
def test_damage_is_told_and_what_is_there_is_left_to_be_completed(
    damage: Callable[[Path], object], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    left = {path.name: path.read_bytes() for path in run.glob("*.csv")}
    assert not is_sound(run)
    error = capsys.readouterr().err
    assert error.startswith("Resuming a run that was complete: ") and said in error and error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in run.glob("*.csv")} == left


@pytest.mark.parametrize(
    "damage",
    [
        edit("episodes.csv", lambda text: text.replace("anna,0,1,0,u00,", "anna,0,1,0,u00,1")),
        edit("result.json", lambda text: text.replace('"mean": 0.', '"mean": 1.')),
    ],
    ids=["a score", "a mean"],
)
def test_episodes_that_contradict_the_result_are_kept_aside(
    damage: Callable[[Path], object], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    changed = (run / "episodes.csv").read_bytes()
    assert not is_sound(run)
    assert "it disagrees with the result.json beside it" in capsys.readouterr().err
    assert not (run / "episodes.csv").exists() and (run / "episodes.csv.damaged").read_bytes() == changed
