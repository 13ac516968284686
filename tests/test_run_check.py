"""A complete run whose files were cut, changed or lost is not called complete, and readers' advice to run it again works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import read_sealed, write_sealed
from benchmark.results.leaderboard import add
from benchmark.results.result import read_result
from benchmark.running.resume import has_damaged_weights, is_sound
from tests.report_helpers import change_result, make_run, old_form


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
        (edit("episodes.csv", lambda text: "".join(text.splitlines(keepends=True)[:-2])), "episodes.csv is cut short"),
        (edit("episodes.csv", lambda text: text.replace("bert,0,5,", "bert,0,x,", 1)), "episodes.csv is damaged: row"),
        (lambda run: (run / "episodes.csv").unlink(), "There is no"),
        (lambda run: (run / "costs.csv").unlink(), "There is no"),
        (edit("episodes.csv", lambda text: text.replace("anna,0,1,0,u00,", "anna,0,1,0,u00,1")), "episodes.csv is damaged: row"),
        (edit("costs.csv", lambda text: text[:-3]), "costs.csv is cut short"),
        (edit("costs.csv", lambda text: text.replace("0.05", "0.04", 1)), "costs.csv is damaged: row"),
        (edit("result.json", lambda text: text.replace('"mean": 0.', '"mean": 1.', 1)), "its digest does not match"),
        (edit("result.json", lambda text: text.replace('"same": 0.9', '"same": 0.8')), "its digest does not match"),
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
    assert not (run / "result.json").exists() and (run / "result.json.damaged").is_file()


@pytest.mark.parametrize("name", ["episodes.csv", "costs.csv"])
def test_tables_that_are_whole_but_not_the_results_are_kept_aside(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_run(run.parent / "other", "reptile", gain=0.4, seconds=0.7, audio=False, shots=(1,))
    shutil.copyfile(other / name, run / name)
    changed = (run / name).read_bytes()
    assert not is_sound(run)
    assert "it disagrees with the result.json beside it" in capsys.readouterr().err
    assert not (run / name).exists() and (run / f"{name}.damaged").read_bytes() == changed


def test_an_old_result_whose_episodes_contradict_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = old_form(run)
    assert is_sound(run)
    result["curve"][0]["metrics"]["gap_closed"]["mean"] += 1
    (run / "result.json").write_text(json.dumps(result))
    assert not is_sound(run)
    assert "it disagrees with the result.json beside it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda result: result.update(seed=-1), "seed"),
        (lambda result: result.update(seed=2**40), "seed"),
        (lambda result: result.update(algorithm="=cmd|' /C calc'!A0"), "algorithm"),
        (lambda result: result.update(dataset="../../x"), "dataset"),
        (lambda result: result.update(left_out=["two\nlines"]), "left_out.0"),
        (lambda result: result.update(synthetic="no"), "synthetic"),
        (lambda result: result.update(facts=[1]), "facts"),
        (lambda result: result["facts"].update(same=10**300), "facts.same"),
        (lambda result: result["training"].update(flops=-1.0), "training.flops"),
        (lambda result: result["curve"][0].update(episodes=2.5), "curve.0.episodes"),
        (lambda result: result["curve"][0].update(shots=10**400), "curve.0.shots"),
        (lambda result: result["curve"][0]["metrics"]["mcd"].update(n_failed=-1), "curve.0.metrics.mcd.n_failed"),
        (lambda result: result["curve"][0]["metrics"]["mcd"].update(ci95=[1.0]), "curve.0.metrics.mcd.ci95"),
        (lambda result: result.update(tuned={"values": {"inner_lr": "a\nb"}, "trials": 3}), "tuned.values.inner_lr"),
        (lambda result: result["hardware"].update(system="\x1b[31mLinux"), "hardware.system"),
        (lambda result: result["config"]["algo"].update(inner_lr=10**30), "config.algo"),
        (lambda result: result["config"].update(steps=[{"a\nb": 1}]), "config.steps"),
        (lambda result: result.update(verdict="best of all"), "verdict"),
        (lambda result: result.pop("curve"), "curve"),
        (lambda result: result.pop("files"), "digest"),
        (lambda result: result.update(schema=1), "digest"),
    ],
)
def test_a_forged_field_is_named(change: Callable[[dict[str, Any]], object], field: str, run: Path) -> None:
    result = read_sealed(run / "result.json", "run result")
    change(result)
    write_sealed(run / "result.json", result)
    with pytest.raises(BenchmarkError, match=rf"result.json (lacks or garbles |can't be read \()'{field}"):
        read_result(run)


def test_an_old_result_is_said_to_be_old_by_whoever_reads_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = make_run(run.parent, "anil", shots=(1,), steps=(0, 5))
    old_form(run)
    said = f"Of the old form, without digests, so that nothing shows whether they were changed: {run.name}."
    html = run.parent / "report.html"
    for command in (["compare"], ["report", "--html", str(html), "--workers", "1"]):
        assert main([*command, str(run), str(new)]) == 0
    assert said in capsys.readouterr().out and said in html.read_text()
    add([run], run.parent / "mine.csv", local=True)
    assert f"Note: {said}" in capsys.readouterr().err
    add([new], run.parent / "new.csv", local=True)
    assert capsys.readouterr().err == "", "of results with digests there is nothing to say"


def test_a_new_result_stripped_of_its_digests_is_no_old_one(run: Path) -> None:
    version = read_result(run)["benchmark_version"]
    result = old_form(run)
    assert read_result(run)["schema"] == 1 and version
    (run / "result.json").write_text(json.dumps(result | {"benchmark_version": version}))
    with pytest.raises(BenchmarkError, match="lacks or garbles 'digest'"):
        read_result(run)


def test_a_run_goes_by_the_name_of_its_folder(run: Path) -> None:
    change_result(run, run_id="../../x")
    with pytest.raises(BenchmarkError, match="does not belong to this folder"):
        read_result(run)


@pytest.mark.parametrize("text", ['{"a": NaN}', 5000 * "[" + 5000 * "]", 50 * "[" + 50 * "]", f'{{"seed": {6000 * "1"}}}', "\x00", "[]"])
def test_what_is_no_result_is_one_sentence(text: str, run: Path) -> None:
    (run / "result.json").write_text(text)
    with pytest.raises(BenchmarkError, match=r"result\.json (can't be read|is not a complete result)"):
        read_result(run)


@pytest.mark.parametrize(("literal", "what"), [("NaN", "NaN, which is not JSON"), (6000 * "1", "an integer of 6000 digits")])
def test_a_number_that_is_none_is_named_with_its_field(literal: str, what: str, run: Path) -> None:
    text = (run / "result.json").read_text()
    (run / "result.json").write_text(text.replace('"n_failed": 0', f'"n_failed": {literal}', 1))
    told = rf"\('curve\.0\.metrics\.\w+\.n_failed' is {what}\); the run's command, given again, repairs it"
    with pytest.raises(BenchmarkError, match=told):
        read_result(run)


def test_damaged_weights_are_told_and_lost_ones_are_not_missed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not has_damaged_weights(run)
    path = run / "checkpoints" / "algorithm.pt"
    checkpoint.save(path, {"weight": torch.zeros(3)})
    assert not has_damaged_weights(run)
    path.write_bytes(path.read_bytes().replace(b"weight", b"height"))
    assert has_damaged_weights(run) and "algorithm.pt is damaged and will be rebuilt" in capsys.readouterr().err
