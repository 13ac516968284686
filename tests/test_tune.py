"""Tuning end to end on the embedded voices, cut down to seconds; what it chooses, keeps, refuses, and hands to ``run``."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import math
import multiprocessing
import os
import random
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas
import pytest
import yaml

from benchmark import problems
from benchmark.cli import main
from benchmark.errors import BenchmarkError, TrainingDiverged, UsageError
from benchmark.plugins import registry
from benchmark.plumbing import locks
from benchmark.running import objective
from benchmark.running import run as runs
from benchmark.running import tuning as search
from benchmark.running.preparation import open_corpus
from benchmark.running.trials import Trial, Trials
from benchmark.settings import tuned_values as tuning
from benchmark.settings.schema import RunSettings
from tests.cli_helpers import refused

TINY = [
    "--dataset", "espeak", "--preset", "smoke", "--workers", "1", "--pretrain.steps", "4", "--pretrain.batch_size", "4", "--steps", "0,2",
    "--meta.tflops", "1e-6", "--meta.tasks", "1", "--evaluation.speakers", "2", "--evaluation.queries", "1",
]  # fmt: skip


@pytest.fixture
def places(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_this_process: None) -> list[str]:
    """Where to write."""
    monkeypatch.setattr(tuning, "FOLDER", tmp_path / "tuned")
    return ["--cache", str(cache), "--output", str(tmp_path / "tuning")]


def rows(tmp_path: Path, name: str = "finetune", of: str = "espeak-smoke") -> list[dict[str, str]]:
    with (tmp_path / "tuning" / of / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def stripped(table: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table]


def test_tune_end_to_end(places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[RunSettings] = []

    def run(settings: RunSettings, *args: Any, **more: Any) -> Path:
        seen.append(settings)
        return runs.run(settings, *args, **more)

    monkeypatch.setattr(search, "run", run)
    plugin = registry.load("algorithm", "finetune")
    # What training depends on is left out, so that all trials share one.
    monkeypatch.setattr(plugin, "search_space", {name: plugin.search_space[name] for name in ("learning_rate", "speaker_lr", "groups")})
    command = ["tune", "--algo", "finetune", *TINY, *places]
    assert main([*command, "--trials", "2"]) == 0
    printed = capsys.readouterr().out
    first, second = rows(tmp_path)
    assert json.loads(first["learning_rate"]) == 1e-3 and json.loads(first["groups"]) == ["all"]
    assert seen[0].algo.config == type(seen[0].algo.config)() != seen[1].algo.config
    gains = [[float(first[f"{name}@{step}"]) for name in ("gap_closed", "mel_explained")] for step in (0, 2)]
    means = [math.prod(pair) ** 0.5 if min(pair) > 0 else min(pair) for pair in gains]
    assert float(first["objective"]) == pytest.approx(sum(means) / 2, abs=1e-4)
    # Never the test speakers, nothing but similarity and mel error, one training for both.
    assert {(s.evaluation.split, s.shots, tuple(m.name for m in s.metrics)) for s in seen} == {
        ("validation", (5,), ("speaker_similarity", "mel_error"))
    }
    assert len(list((tmp_path / "tuning" / "espeak-smoke" / "trainings").glob("finetune-*.ckpt"))) == 1
    assert first["gap_closed@0"] == second["gap_closed@0"]

    # The chosen values are the better trial's, and both are shown.
    section = yaml.safe_load((tmp_path / "tuned" / "espeak-smoke.yaml").read_text())["finetune"]
    better = max((first, second), key=lambda row: float(row["objective"]))
    assert section["trials"] == 2 and section["values"] == {key: json.loads(better[key]) for key in section["values"]}
    assert set(section["values"]) == {"learning_rate", "speaker_lr", "groups"}
    assert "Trial 2 of 2" in printed and "Chosen: learning_rate=" in printed and str(tmp_path / "tuned") in printed

    # The same command does nothing more; a longer one goes on, and ends where an undisturbed one does.
    assert main([*command, "--trials", "2"]) == 0 and len(seen) == 2
    assert main([*command, "--trials", "3"]) == 0 and len(seen) == 3
    assert stripped(rows(tmp_path))[:2] == stripped([first, second])
    # A digit changed in the table is said and mended; a table of which only the end is lost is completed.
    table = tmp_path / "tuning" / "espeak-smoke" / "finetune.csv"
    written = table.read_text()
    for changed, said in ((written.replace("finetune-", "finetunE-", 1), True), (written[: written.rindex("\n3,") + 1], False)):
        table.write_text(changed)
        assert main([*command, "--trials", "3"]) == 0 and table.read_text() == written != changed
        assert ("finetune.csv was changed or damaged and is written again" in capsys.readouterr().err) == said
    assert main([*command, "--trials", "1"]) == 2
    assert main([*command, "--trials", "3", "--seed", "1"]) == 1
    assert "made from other code, data or settings" in capsys.readouterr().err


def test_run_takes_tuned_values_and_says_so(places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tuned").mkdir()
    file = tmp_path / "tuned" / "espeak-smoke.yaml"
    chosen = "{values: {learning_rate: 0.01, speaker_lr: 0.3}, trials: 4}"
    file.write_text(f"mean_speaker: {{values: {{}}, trials: 4}}\nfinetune: {chosen}\n")
    given = ["--algo", "finetune", *TINY, "--metrics", "stoi"]
    assert main(["run", *given, "--cache", places[1], "--output", str(tmp_path / "runs")]) == 0
    assert "Tuned on validation speakers, in 4 trials: learning_rate=0.01 speaker_lr=0.3.\n" in capsys.readouterr().out
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    result = json.loads((folder / "result.json").read_text())
    assert (result["config"]["algo"]["learning_rate"], result["config"]["algo"]["speaker_lr"]) == (0.01, 0.3)
    assert result["tuned"] == {"values": {"learning_rate": 0.01, "speaker_lr": 0.3}, "trials": 4}
    with (tmp_path / "runs" / "espeak.csv").open() as stream:
        row = next(csv.DictReader(stream))
    assert row["tuned"] == "learning_rate=0.01 speaker_lr=0.3 (4 trials)"

    # What the user gives stands above what was tuned, and the rest was not chosen to go with it.
    given += ["--algo.speaker_lr", "0.03"]
    assert main(["run", *given, "--cache", places[1], "--output", str(tmp_path / "others")]) == 0
    assert "Does not count as tuned, because you chose speaker_lr=0.03.\n" in capsys.readouterr().out
    with (tmp_path / "others" / "espeak.csv").open() as stream:
        row = next(csv.DictReader(stream))
    assert row["tuned"] == "" and "speaker_lr=0.03" in row["settings"] and "learning_rate=0.01" in row["settings"]


def test_tuned_values_lie_between_preset_and_config(places: list[str], tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "espeak-smoke.yaml").write_text("finetune: {values: {learning_rate: 0.01, optimizer: sgd}, trials: 4}\n")
    extra = tmp_path / "mine.yaml"
    extra.write_text("algo: {name: finetune, optimizer: adamw}\n")
    arguments = ["--dataset", "espeak", "--preset", "smoke", "--config", str(extra)]
    assert tuning.parse(arguments).algo.config.optimizer == "adamw"
    assert tuning.parse(arguments).algo.config.learning_rate == 0.01
    assert tuning.parse([*arguments, "--algo.learning_rate", "0.5"]).algo.config.learning_rate == 0.5
    # With one of them changed, the others were not chosen to go with it.
    assert tuning.tuned_values(tuning.parse(arguments)) is None
    assert tuning.changed_values(tuning.parse(arguments)) == {"optimizer": "adamw"}
    # Other algorithms, presets and datasets have their own.
    assert tuning.parse([*arguments, "--algo", "reptile"]).algo.config.inner_lr == 1e-3
    assert tuning.parse([*arguments, "--preset", "small"]).algo.config.learning_rate == 1e-3
    # Another task takes those by speaker until it has its own.
    by_style = tuning.parse([*arguments[:4], "--algo", "finetune", "--task", "style"])
    assert by_style.algo.config.learning_rate == 0.01 and (tuning.tuned_values(by_style) or {})["task"] == "speaker"
    assert tuning.tuned_file(by_style) == tmp_path / "tuned" / "espeak-style-smoke.yaml"
    tuning.write_tuned(by_style, {"values": {"learning_rate": 0.003}, "trials": 4})
    by_style = tuning.parse([*arguments[:4], "--algo", "finetune", "--task", "style"])
    assert by_style.algo.config.learning_rate == 0.003 and "task" not in (tuning.tuned_values(by_style) or {"task": ""})
    assert tuning.parse([*arguments[:4], "--algo", "finetune"]).algo.config.learning_rate == 0.01
    # A dataset without tuned values takes those of the corpus that it is pretrained on.
    own = ["--dataset", "folder", "--preset", "smoke", "--algo", "finetune", "--pretrain.dataset", "espeak"]
    theirs = tuning.parse(own)
    assert theirs.algo.config.learning_rate == 0.01
    assert tuning.tuned_values(theirs) == {
        "values": {"learning_rate": 0.01, "optimizer": "sgd"}, "trials": 4, "dataset": "espeak",
    }  # fmt: skip
    assert "dataset" not in (tuning.tuned_values(tuning.parse([*arguments[:4], "--algo", "finetune"])) or {"dataset": ""})
    assert tuning.parse([*own, "--backbone", "tacotron2"]).algo.config.learning_rate == 1e-3
    assert tuning.parse([*own, "--pretrain.dataset", "espeak,speechocean762"]).algo.config.learning_rate == 1e-3
    (tmp_path / "tuned" / "folder-smoke.yaml").write_text("finetune: {values: {learning_rate: 0.003}, trials: 4}\n")
    assert tuning.parse(own).algo.config.learning_rate == 0.003
    (tmp_path / "tuned" / "espeak-smoke.yaml").write_text("finetune: {values: {learning_rat: 0.01}, trials: 4}\n")
    with pytest.raises(UsageError, match=r"no setting 'algo.learning_rat' of finetune in .*espeak-smoke.yaml; did you mean"):
        tuning.parse(arguments)
    (tmp_path / "tuned" / "espeak-smoke.yaml").write_text("finetune: 3\n")
    with pytest.raises(UsageError, match="holds no 'values' and 'trials' for finetune"):
        tuning.parse(arguments)


@pytest.mark.parametrize("harm", ["edited", "cut short", "emptied"])
def test_tuned_values_that_were_changed_are_refused(harm: str, places: list[str], tmp_path: Path) -> None:
    arguments = ["--algo", "finetune", "--dataset", "espeak", "--preset", "smoke"]
    tuning.write_tuned(tuning.parse(arguments), {"values": {"learning_rate": 0.01}, "trials": 4})
    tuning.write_tuned(tuning.parse([*arguments, "--algo", "reptile"]), {"values": {"inner_lr": 0.1}, "trials": 4})
    file = tmp_path / "tuned" / "espeak-smoke.yaml"
    assert tuning.parse(arguments).algo.config.learning_rate == 0.01
    text = file.read_text()
    file.write_text({"edited": text.replace("0.01", "0.02"), "cut short": text[: text.index("reptile")], "emptied": ""}[harm])
    with pytest.raises(UsageError, match=r"espeak-smoke\.yaml was changed or damaged: .* restore it, or remove its line 'digest'"):
        tuning.parse(arguments)


def test_who_waits_to_write_tuned_values_says_for_whom(
    places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.01)
    path = tmp_path / "tuned" / "espeak-smoke.yaml"
    settings = tuning.parse(["--algo", "finetune", "--dataset", "espeak", "--preset", "smoke"])
    with ThreadPoolExecutor(1) as other, locks.locked(path.with_name(".espeak-smoke.yaml.lock"), ""):
        written = other.submit(tuning.write_tuned, settings, {"values": {"learning_rate": 0.1}, "trials": 1})
        said, end = "", time.monotonic() + 20
        while not said and time.monotonic() < end:
            time.sleep(0.01)
            said = capsys.readouterr().err
        assert f"Waiting for another process that writes {path}. It is process {os.getpid()}" in said and not path.is_file()
    assert written.result(20) == [] and path.is_file()


def test_tuned_values_of_another_search_space_are_refused(places: list[str], tmp_path: Path) -> None:
    """The algorithm changed since: what was chosen then says nothing of it now."""
    (tmp_path / "tuned").mkdir()
    file, arguments = tmp_path / "tuned" / "espeak-smoke.yaml", ["--dataset", "espeak", "--preset", "smoke", "--algo", "reptile"]
    file.write_text("reptile: {values: {inner_lr: 0.07}, trials: 4}\n")
    with pytest.raises(UsageError, match=r"holds inner_lr=0\.07 for reptile, which its search_space .* tune reptile again, or remove"):
        tuning.parse(arguments)
    assert tuning.parse([*arguments, "--algo.inner_lr", "0.02"]).algo.config.inner_lr == 0.02
    file.write_text("reptile: {values: {inner_lr: 0.07}, trials: 4, given: [inner_lr]}\n")
    assert tuning.parse(arguments).algo.config.inner_lr == 0.07
    # As people write them.
    file.write_text("reptile: {values: {inner_lr: 3e-4, groups: 'decoder,output'}, trials: 4}\n")
    assert tuning.parse(arguments).algo.config.groups == ("decoder", "output")


def test_tuning_anew_mends_what_is_stale_and_keeps_what_was_given(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tuned").mkdir()
    file, text = tmp_path / "tuned" / "espeak-smoke.yaml", "finetune: {{values: {{learning_rate: 0.07}}, trials: {}}}\n"
    given = ["--algo", "finetune", "--algo.learning-rate", "0.007"]
    file.write_text(text.format(4))
    assert main(["tune", *given, "--trials", "1", *TINY, *places]) == 0
    assert file.read_text() == text.format(4), "values of more trials are kept"
    assert f"Kept: the values of 4 trials in {file}." in capsys.readouterr().out
    file.write_text(text.format(1))
    assert main(["tune", *given, "--trials", "1", *TINY, *places]) == 0
    section = yaml.safe_load((tmp_path / "tuned" / "espeak-smoke.yaml").read_text())["finetune"]
    assert (section["values"]["learning_rate"], section["given"]) == (0.007, ["learning_rate"])
    assert tuning.parse(["--dataset", "espeak", "--preset", "smoke", "--algo", "finetune"]).algo.config.learning_rate == 0.007


def test_values_tuned_for_a_plugin_of_ones_own_stand_beside_it(places: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    plugin = tmp_path / "mine" / "shy.py"
    plugin.write_text("from benchmark.algorithms.reptile import Reptile\nclass Shy(Reptile): ...\nPLUGIN = Shy\n")
    arguments = ["--algo", "shy", "--dataset", "espeak", "--preset", "smoke"]
    settings = tuning.parse(arguments, plugins=[str(plugin)])
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "espeak-smoke.yaml").write_text("maml: {values: {}, trials: 4}\n")
    assert tuning.write_tuned(settings, {"values": {"inner_lr": 0.003}, "trials": 2}, [str(plugin)]) == ["maml"], "with more trials"
    own, all_ = (tmp_path / name / "espeak-smoke.yaml" for name in ("mine/tuned", "tuned"))
    assert "shy" in own.read_text() and "shy" not in all_.read_text()
    assert tuning.parse(arguments, plugins=[str(plugin)]).algo.config.inner_lr == 0.003


def test_a_diverged_trial_counts_and_the_search_goes_on(places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: Any, **more: Any) -> Path:
        if not (tmp_path / "tuning" / "espeak-smoke" / "maml.csv").exists():
            raise TrainingDiverged("Training diverged at step 3")
        return runs.run(*args, **more)

    monkeypatch.setattr(search, "run", run)
    assert main(["tune", "--algo", "maml", "--trials", "2", *TINY, *places]) == 0
    first, second = rows(tmp_path, "maml")
    assert first["note"] == "Training diverged at step 3" and first["objective"] == "" and second["objective"]
    section = yaml.safe_load((tmp_path / "tuned" / "espeak-smoke.yaml").read_text())["maml"]
    assert section["objective_as_given"] is None and section["values"]["inner_lr"] == json.loads(second["inner_lr"])


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--algo", "finetune", "--trials", "0"], 2, "Argument --trials: must be a whole number, at least 1, not 0"),
        (["--algo", "finetune", "--trials", "many"], 2, "must be a whole number, at least 1, not many"),
        (["--algo", "finetun"], 2, "did you mean 'finetune'?"),
        (["--algo", "mean_speaker"], 2, "mean_speaker has nothing to tune"),
        (["--algo", "finetune", "--trials", "1000"], 2, "has 64 combinations, fewer than 1000 trials"),
        (["--algo", "finetune", "--algo.groups", "tail", "--trials", "1"], 2, "no group 'tail'"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], status: int, sentence: str, places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", *TINY, *places, *arguments]) == status
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "optuna" else real(name, *more))
    assert main(["tune", "--algo", "finetune", *TINY]) == 1
    assert "needs Optuna" in capsys.readouterr().err


def test_a_table_that_cannot_be_continued_is_refused(places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "tuning" / "espeak-smoke" / "finetune.csv"
    table.parent.mkdir(parents=True)
    table.write_text("trial,learning_rate\n1,0.001\n")
    assert main(["tune", "--algo", "finetune", *TINY, *places]) == 1
    assert "has no finetune.journal beside it, from which tuning goes on" in capsys.readouterr().err
    assert table.read_text() == "trial,learning_rate\n1,0.001\n", "kept as history"
    table.unlink()
    table.with_suffix(".journal").write_text("{]\n{]\n")
    assert main(["tune", "--algo", "finetune", *TINY, *places]) == 1
    assert "finetune.journal is not a complete record of trials" in capsys.readouterr().err


def test_what_is_maximised_and_who_scores_it_follow_from_the_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tuning.parse(["--algo", "finetune", "--dataset", "espeak", "--preset", "smoke", "--metrics", "mcd,speaker_similarity"])
    speech, problem = problems.get("synthesis"), type("Odd", (), {"tuned_by": {"telepathy": "read"}})
    found = objective.scorers(settings, speech, ())
    assert list(found) == ["gap_closed", "mel_error"] and found["mel_error"].name == "mel_error", "found among all metrics"
    assert found["gap_closed"] == settings.metrics[1], "as the user configured it"
    attentive = tuning.parse(["--algo", "finetune", "--backbone", "tacotron2", "--dataset", "espeak", "--preset", "smoke"])
    assert list(objective.scorers(attentive, speech, ())) == ["gap_closed"], "it can't speak with the recording's durations"
    with pytest.raises(UsageError, match="No metric has the column telepathy, which tuning needs"):
        objective.scorers(settings, cast(Any, problem), ())


def test_neither_a_mumble_nor_an_average_voice_wins(cache: Path, tmp_path: Path) -> None:
    """Made-up voices on real recordings: one is like the target and says nothing, one speaks clearly in everybody's voice."""
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    speaker = corpus.speakers("validation")[0]
    names, metric = corpus.utterance_ids(speaker)[:3], registry.load("metric", "mel_error")()
    metric.prepare(SimpleNamespace(corpus=corpus))
    spectrum = np.concatenate([corpus[name].mel for name in names]).mean(0)

    def row(name: str, gap: float, mel: Any, steps: int) -> dict[str, Any]:
        sample = SimpleNamespace(mel=mel, reference_mel=corpus[name].mel)
        return {"speaker": speaker, "steps": steps, "utterance": name, "gap_closed": gap, **metric.score(sample)}

    def worth(gap: float, spoken: Callable[[Any], Any]) -> float:
        table = pandas.DataFrame([row(name, gap, spoken(corpus[name].mel), steps) for name in names for steps in (0, 5)])
        curves = [objective.curve(problems.get("synthesis"), table, column, corpus) for column in ("gap_closed", "mel_error")]
        assert curves[0] == pytest.approx({0: gap, 5: gap})
        return sum(objective.joined(curves).values()) / 2

    noise = np.random.default_rng(0)
    honest = worth(0.3, lambda mel: mel + 0.4 * np.array(corpus.statistics.mel_std) * noise.standard_normal(mel.shape))
    mumble = worth(1.0, lambda mel: np.broadcast_to(spectrum, mel.shape))
    average = worth(0.0, lambda mel: mel)
    assert mumble < 0 <= average < 0.1 < honest < worth(1.0, lambda mel: mel) == pytest.approx(1.0)
    # Nothing that never changes is worth anything, not even the recording's own best spectrum.
    assert worth(1.0, lambda mel: np.broadcast_to(np.median(mel, axis=0), mel.shape)) == pytest.approx(0.0, abs=1e-6)


def test_failing_does_not_pay(cache: Path) -> None:
    """It is worth less than a voice that is further off than a stranger's, so that options which fail there are not chosen for it."""
    corpus = open_corpus("espeak", None, None, cache, 1, ())
    speaker = corpus.speakers("validation")[0]
    names = corpus.utterance_ids(speaker)[:2]
    scores = {"gap_closed": [0.6, math.nan], "mel_error": [0.0, math.nan]}
    table = pandas.DataFrame({"speaker": speaker, "steps": 0, "utterance": names, **scores})
    for column, expected in (("gap_closed", -0.2), ("mel_error", 0.0)):
        assert objective.curve(problems.get("synthesis"), table, column, corpus) == pytest.approx({0: expected})
    assert objective.joined([{0: 0.3, 5: -0.2}, {0: 0.5, 5: 0.5}]) == pytest.approx({0: 0.15**0.5, 5: -0.2})
    failed = table.assign(gap_closed=math.nan)
    assert objective.curve(problems.get("synthesis"), failed, "gap_closed", corpus)[0] == -1.0 < -0.47


def test_a_recogniser_is_tuned_apart_and_without_groups_that_it_lacks(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tuned").mkdir()
    speech = tmp_path / "tuned" / "espeak-smoke.yaml"
    speech.write_text("finetune: {values: {learning_rate: 0.01}, trials: 4}\n")
    before = speech.read_bytes()
    small = ["--backbone", "crnn_ctc", "--backbone.hidden", "8", "--backbone.channels", "2"]
    command = ["tune", "--algo", "finetune", *TINY, *small, *places, "--trials"]
    assert "has 64 combinations, fewer than 65 trials" in refused([*command, "65"], 2, capsys)
    assert main([*command, "3"]) == 0, capsys.readouterr().err
    found = rows(tmp_path, of="espeak-recognition-smoke")
    assert {row["groups"] for row in found} == {'["all"]', '["norms"]'} and {"characters_right", "characters_right@2"} <= found[0].keys()
    assert speech.read_bytes() == before
    chosen = tuning.parse(["--algo", "finetune", "--dataset", "espeak", "--preset", "smoke", *small])
    assert tuning.tuned_file(chosen) == tmp_path / "tuned" / "espeak-recognition-smoke.yaml"
    assert (tuning.tuned_values(chosen) or {})["trials"] == 3
    assert "no group 'tail'" in refused([*command, "3", "--algo.groups", "tail"], 2, capsys)


CHOICES: dict[str, Sequence[Any]] = {
    "rate": (1e-4, 1e-3, 0.01, 0.1, 1.0), "groups": (("all",), ("decoder",), ("output",)), "fast": (False, True),
}  # fmt: skip


def score(values: dict[str, Any]) -> float:
    """Best, 1, at rate 1.0 with the decoder."""
    return math.log10(values["rate"]) / 4 + (values["groups"] == ("decoder",))


GIVEN = {"rate": 0.01, "groups": ("all",), "fast": False}


def study(folder: Path, seed: int = 0, choices: Mapping[str, Sequence[Any]] = CHOICES) -> Trials:
    return Trials(folder / "study.journal", f"setup {seed}", choices, GIVEN, seed)


def attempt(trials: Trials, most: int) -> bool:
    """Do the next trial; False if there are enough. The given values make the training diverge."""
    with trials.next(most) as proposal:
        if proposal is not None:
            values = proposal.values
            curve = {} if values == GIVEN else {0: score(values) - 1, 5: score(values) + 1}
            trials.tell(proposal, Trial(values, curve, 0, 1.0, "", ""))
    return proposal is not None


def sequence(folder: Path, most: int, seed: int = 0, choices: Mapping[str, Sequence[Any]] = CHOICES) -> list[Trial]:
    trials = study(folder, seed, choices)
    while attempt(trials, most):
        pass
    return trials.done()


def test_proposals_are_repeatable_and_never_the_same_twice(tmp_path: Path) -> None:
    done = sequence(tmp_path, 6)
    assert done[0].values == GIVEN and math.isnan(done[0].objective)
    assert done[1].objective == pytest.approx(score(done[1].values))
    assert sequence(tmp_path / "again", 6) == done != sequence(tmp_path, 6, seed=1)
    few = {"rate": (0.01, 0.1), "groups": (("all",), ("decoder",)), "fast": (False, True)}
    assert len({str(trial.values) for trial in sequence(tmp_path / "few", 8, choices=few)}) == 8, "all that there are"


@pytest.mark.parametrize(
    ("true", "false"),
    [('"curve":[[0,0.5]', '"curve":[[0,0.7]'), ('"values":[1.5]', '"values":[2.5]'), ('_value_internal":2.0', '_value_internal":1.0')],
)
def test_a_trial_that_was_changed_is_refused(true: str, false: str, tmp_path: Path) -> None:
    trials = study(tmp_path)
    with trials.next(1) as proposal:
        assert proposal is not None
        trials.tell(proposal, Trial(proposal.values, {0: 0.5, 5: 2.5}, 0, 1.0, "", ""))
    assert trials.done() == study(tmp_path).done()
    text = (tmp_path / "study.journal").read_text()
    assert text.count(true) == 1
    (tmp_path / "study.journal").write_text(text.replace(true, false))
    with pytest.raises(BenchmarkError, match=r"Trial 0 in \S+study.journal was changed or damaged, .*; restore the file, or move it"):
        study(tmp_path).done()


def test_any_digit_of_a_trial_that_was_changed_is_one_sentence_or_harmless(tmp_path: Path) -> None:
    done, path = sequence(tmp_path, 2), tmp_path / "study.journal"
    text = path.read_text()
    places = [match.start() for match in re.finditer("[0-9]", text)]
    refused = 0
    for place in [*places[::9], *(match.end() for match in re.finditer('_value_internal":', text))]:
        path.write_text(f"{text[:place]}{8 if text[place] != '8' else 9}{text[place + 1 :]}")
        try:
            assert all(trial in done for trial in study(tmp_path).done()), "one that is lost is done again"
        except BenchmarkError:
            refused += 1
    assert refused > 10
    for end in (-1, -40, len(text) // 2):
        path.write_text(text[:end])
        with pytest.raises(BenchmarkError, match=r"study.journal is not a complete record of trials \(.*cut off"):
            study(tmp_path)


def test_algorithms_with_the_same_choices_do_not_try_the_same(tmp_path: Path) -> None:
    given = ["--dataset", "espeak", "--preset", "smoke", "--algo"]
    seeds = [search.seed_of_draws(tuning.parse([*given, *words])) for words in (["maml"], ["maml_plus_plus"], ["maml", "--seed", "1"])]
    tried = [str([trial.values for trial in sequence(tmp_path / str(seed), 6, seed)]) for seed in seeds]
    assert len({*tried}) == 3


def test_proposals_find_more_than_chance_does(tmp_path: Path) -> None:
    every = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
    chance = random.Random(0)
    blind = [max(map(score, chance.sample(every[1:], 9))) for _ in range(1000)]
    found = [max(trial.objective for trial in sequence(tmp_path, 10, seed)[1:]) for seed in range(8)]
    assert sum(found) / len(found) > sum(blind) / len(blind) + 0.05


def test_a_trial_whose_process_is_killed_is_done_again_with_the_same_values(tmp_path: Path) -> None:
    undisturbed = sequence(tmp_path / "undisturbed", 6)
    trials = study(tmp_path)
    for _ in range(4):
        attempt(trials, 6)
        killed = multiprocessing.get_context("fork").Process(target=_begin, args=(tmp_path,))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL and trials.under_way == 1
    assert sequence(tmp_path, 6) == undisturbed
    assert not list(tmp_path.glob(".study.journal-*.lock"))


def _begin(folder: Path) -> None:
    with study(folder).next(9):
        os.kill(os.getpid(), signal.SIGKILL)


def test_processes_at_once_do_not_try_the_same(tmp_path: Path) -> None:
    one, other, third = (study(tmp_path) for _ in range(3))
    with one.next(4) as first, other.next(4) as second:
        assert first is not None and second is not None
        assert first.values == GIVEN != second.values and third.under_way == 2
        assert attempt(third, 4) and attempt(third, 4) and not attempt(third, 4), "the four are done or under way"
        other.tell(second, Trial(second.values, {0: 1.0}, 0, 1.0, "", ""))
        one.tell(first, Trial(first.values, {0: 0.5}, 0, 1.0, "", ""))
    done = third.done()
    assert done[0].values == GIVEN and len({str(trial.values) for trial in done}) == 4 and not third.under_way
