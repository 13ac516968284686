"""``import benchmark`` does what the command line does, and costs nothing until it is used."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

import benchmark
from benchmark import api
from benchmark.cli import main
from benchmark.data.synthesised import is_marked
from benchmark.errors import UsageError
from benchmark.plumbing import checkpoint
from benchmark.results.result import read_result
from benchmark.running.finished import open_run
from benchmark.running.training import Training
from tests.cli_helpers import scoring_here
from tests.dataset_helpers import SENTENCES, speech

ROOT = Path(__file__).resolve().parent.parent
SETTINGS: dict[str, Any] = {"metrics": ["mcd"], "algo": {"inner_lr": 0.02}, "shots": (5,)}


class Watcher(pl.Callback):
    """Counts the steps that it sees, and keeps the losses."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(module, Training)
        self.steps.append(module.step)


@pytest.fixture(scope="module")
def watched(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Watcher]]:
    """The folder of a tiny run, and a callback that has watched it."""
    watcher, threads = Watcher(), torch.get_num_threads()
    with scoring_here():
        (folder,) = benchmark.run(
            "reptile", "espeak", SETTINGS, output=tmp_path_factory.mktemp("api") / "runs", cache=cache, workers=1, callbacks=[watcher],
            fast_dev_run=True,
        )  # fmt: skip
    yield folder, watcher
    torch.set_num_threads(threads)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, benchmark; dir(benchmark); print({'torch', 'pandas', 'numpy', 'pytorch_lightning'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert {"run", "compare", "leaderboard", "voice"} <= set(dir(benchmark)) and benchmark.run is api.run
    with pytest.raises(AttributeError, match="has no attribute 'speak'"):
        benchmark.speak  # type: ignore[attr-defined]  # noqa: B018


def test_what_its_docstrings_show_happens() -> None:
    found = doctest.testmod(api)
    assert found.attempted >= 4 and found.failed == 0


def test_the_page_about_it_is_python_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """What only reads committed tables is run; the rest must at least be Python, and import what is there."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        compile(block, "docs/python.md", "exec")
        exec("\n".join(line for line in block.splitlines() if line.startswith(("import ", "from "))), {})
    names: dict[str, Any] = {}
    for block in blocks[:2]:
        exec(block, names)
    assert "gap_closed" in capsys.readouterr().out and set(names["adapts"]["shots"]) == {5}


def test_a_leaderboard_is_what_pandas_reads() -> None:
    board = benchmark.leaderboard("speechocean762")
    read = pd.read_csv(ROOT / "leaderboards" / "speechocean762.csv")
    assert len(board) == len(read) > 10
    for column in ("shots", "steps", "seeds"):
        assert board[column].tolist() == read[column].tolist() and board[column].dtype == "int64"
    for column in ("gap_closed", "mcd_lo", "seconds_to_adapt"):
        np.testing.assert_array_equal(board[column], read[column])
    assert board["mcd_failed"].sum() == read["mcd_failed"].sum() and set(board["status"]) == set(read["status"])
    with pytest.raises(UsageError, match="did you mean 'speechocean762'"):
        benchmark.leaderboard("speechocean")


def test_a_comparison_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    found = benchmark.compare("finetune", "reptile", table="espeak", metrics=["mcd"], shots=5)
    assert main(["compare", "finetune", "reptile", "--table", "espeak", "--metrics", "mcd", "--shots", "5", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert json.loads(found.text("json")) == told and found.frame()["difference"].tolist() == [line["difference"] for line in told["lines"]]
    assert found.sentences[0] in str(found)
    with pytest.raises(UsageError, match="can't be paired; compare"):
        benchmark.compare("finetune", "reptile", table="espeak", metrics=["eer"])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: benchmark.run("reptile", "espeak", overwrite="nope"), "overwrite invalid choice: 'nope'"),  # type: ignore[arg-type]
        (lambda: benchmark.run("reptile", "espeak", engine="nope"), "engine invalid choice: 'nope'"),  # type: ignore[arg-type]
        (lambda: benchmark.run("reptile", "espeak", logs="nope"), "There is no live log 'nope'; choose wandb, tensorboard or csv."),
        (lambda: benchmark.run("reptile", "espeak", seeds=0), "seeds must be a whole number, at least 1, not 0"),
        (lambda: benchmark.run("reptile", "espeak", workers=1.5), "workers must be a whole number"),  # type: ignore[arg-type]
        (lambda: benchmark.run("reptile", "espeak", plugins="none.py"), "none.py"),
        (lambda: benchmark.compare(), "RUN|ALGORITHM"),
        (lambda: benchmark.compare("finetune", "reptile", table="espeak", metrics="mdc"), "no metric 'mdc' in these runs; did you"),
        (lambda: benchmark.compare("finetune", "reptile", steps="all"), "steps must be a number or 'curve', not 'all'"),  # type: ignore[arg-type]
        (lambda: benchmark.compare("finetune", "reptile", table="espeak").text("xml"), "The format must be table, csv, json or latex, not"),
        (lambda: benchmark.voice("", steps=1), "voice has no value"),
        (lambda: benchmark.voice(None), "--voice"),  # type: ignore[arg-type]
        (lambda: benchmark.voice("here", steps=-1), "steps must be a whole number, at least 0, not -1."),
        (lambda: benchmark.voice("here", steps=1.5), "steps must be a whole number"),  # type: ignore[arg-type]
        (lambda: benchmark.voice("here", budget=float("nan")), "budget must be a time, such as 500ms, 5s or 2min, not nan."),
        (lambda: benchmark.voice("here", language="Klingon"), "language"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_at_once_in_a_sentence(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(UsageError) as told:
        call()
    assert sentence in str(told.value) and "\n" not in str(told.value)


def test_a_run_is_that_of_the_command(watched: tuple[Path, Watcher], cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = watched
    words = ["--algo", "reptile", "--dataset", "espeak", "--metrics", "mcd", "--algo.inner_lr", "0.02", "--shots", "5"]
    assert main(["run", *words, "--fast-dev-run", "--workers", "1", "--cache", str(cache), "--output", str(folder.parent)]) == 0
    assert f"{folder} is already complete." in capsys.readouterr().out
    board = benchmark.leaderboard(folder.parent / "espeak.csv")
    assert set(board["run_ids"]) == {folder.name} and board["mcd"].gt(0).all() and set(board["shots"]) == {5}


def test_callbacks_see_every_step_and_mark_the_run(
    watched: tuple[Path, Watcher], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, watcher = watched
    result = read_result(folder)
    assert watcher.steps == list(range(1, int(result["training"]["steps"]) + 1)) != []
    assert result["outside_plugins"] == ["callback Watcher"]
    assert main(["leaderboard", "add", str(folder), "--table", str(tmp_path / "espeak.csv"), "--preliminary"]) == 1
    common: dict[str, Any] = {"output": folder.parent, "cache": cache, "workers": 1, "fast_dev_run": True}
    capsys.readouterr()
    assert benchmark.run("reptile", "espeak", SETTINGS, callbacks=[Watcher()], **common) == [folder]
    assert "callbacks would see nothing" in capsys.readouterr().out
    for wrong, sentence in ((ModelCheckpoint(), "a run keeps its own checkpoint"), (print, "must be pytorch_lightning.Callback objects")):
        with pytest.raises(UsageError, match=sentence):
            benchmark.run("reptile", "espeak", SETTINGS, callbacks=[wrong], **common)  # type: ignore[list-item]


def test_lightning_loads_the_training_from_its_checkpoint(watched: tuple[Path, Watcher], cache: Path) -> None:
    folder, watcher = watched
    finished = open_run(folder, cache, ()).algorithm
    wanted = checkpoint.load(folder / "checkpoints" / "algorithm.pt")
    for parameter in finished.parameters():
        torch.nn.init.zeros_(parameter)
    training = Training.load_from_checkpoint(folder / "checkpoints" / "training.ckpt", learner=finished)
    assert (training.step, training.seed) == (watcher.steps[-1], 0) and training.budget.flops == 1e6
    assert wanted is not None and training.learner is finished
    for name, value in finished.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0)


def test_a_voice_speaks_as_the_command_does(watched: tuple[Path, Watcher], cache: Path, tmp_path: Path) -> None:
    folder, _ = watched
    recordings = tmp_path / "voice"
    recordings.mkdir()
    for number, text in enumerate(SENTENCES[:3]):
        soundfile.write(recordings / f"{number}.wav", speech(text, "f2", 16_000), 16_000)
        (recordings / f"{number}.txt").write_text(text)
    (recordings / "odd.wav").write_bytes(b"no sound")
    text = "Two boys read. One book is tall."
    words = ["--run", str(folder), "--cache", str(cache), "--voice", str(recordings), "-o", str(tmp_path / "said.wav")]
    assert main(["say", text, *words]) == 0
    said, rate = soundfile.read(tmp_path / "said.wav", dtype="float32")
    mine = benchmark.voice(recordings, run=folder, cache=cache)
    wave = mine(text)
    assert (mine.rate, wave.dtype, mine.recordings, [name for name, _ in mine.left_out]) == (rate, np.float32, 3, ["odd.wav"])
    np.testing.assert_allclose(wave, said, atol=2 / 32768)
    mine.write(text, tmp_path / "written.wav")
    assert is_marked(tmp_path / "written.wav")
    with pytest.raises(UsageError, match="was not written by 'say'"):
        mine.write(text, recordings / "0.wav")
    with pytest.raises(UsageError, match="The text to say is empty"):
        mine(" ")
    with pytest.raises(UsageError, match="no recording at"):
        benchmark.voice(tmp_path / "nowhere", run=folder, cache=cache)


def test_wrong_settings_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no setting '--algo\.inner_rl' of reptile; did you mean '--algo\.inner_lr'"):
        benchmark.run("reptile", "espeak", {"algo": {"inner_rl": 1}}, output=tmp_path)
    with pytest.raises(UsageError, match="--shots must be"):
        benchmark.run("reptile", "espeak", {"shots": ["five"]}, output=tmp_path)
