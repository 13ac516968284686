"""The main job end to end on the embedded voices, cut down to seconds; resumption; the README's plugin."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.cli import main
from benchmark.errors import BenchmarkError
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import write_atomic
from tests.cli_helpers import full_disk, refused, scoring_here

ROOT = Path(__file__).resolve().parent.parent
COMMON = ["--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "stoi"]
here = pytest.mark.usefixtures("in_this_process")


def run(algorithm: str, cache: Path, output: Path, *more: str) -> Path:
    assert main(["run", "--algo", algorithm, *COMMON, "--cache", str(cache), "--output", str(output), *more]) == 0
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    return folder


def test_run_writes_results_speech_and_a_leaderboard(
    cache: Path, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = ["--metrics", "mcd,stoi"]
    with scoring_here():
        folder = run("reptile", cache, tmp_path / "here", *metrics)
    printed = capsys.readouterr().out
    assert "reptile" in printed and "synthetic" in printed and str(folder / "audio") in printed
    result = json.loads((folder / "result.json").read_text())
    assert result["limited"] and result["synthetic"] and result["manifest_hash"] and result["training"]["flops"] > 0
    assert {(point["shots"], point["steps"]) for point in result["curve"]} == {(5, 0), (5, 2)}
    with (folder / "episodes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 and all(float(row["mcd"]) > 0 for row in rows)
    wave, rate = soundfile.read(next((folder / "audio").glob("*.wav")))
    assert rate == 16_000 and len(wave) > 8000
    with (folder.parent / "espeak.csv").open() as stream:
        assert {row["status"].removesuffix("+uncommitted") for row in csv.DictReader(stream)} == {"trial"}  # the code may have changed

    # As after kill -9 while the last block was being written: the same command ends with the same bytes.
    whole = (folder / "episodes.csv").read_bytes()
    (folder / "episodes.csv").write_bytes(whole[:-20])
    (folder / "result.json").unlink()
    with scoring_here():
        run("reptile", cache, folder.parent, *metrics)
    assert (folder / "episodes.csv").read_bytes() == whole

    # And from nothing, elsewhere, pretraining included, with two worker processes instead of none.
    again = run("reptile", own_cache, tmp_path / "again", *metrics, "--workers", "2")
    assert again.name == folder.name and (again / "episodes.csv").read_bytes() == whole
    never = ["--cache", str(cache), "--output", str(folder.parent), "--overwrite", "never"]
    assert main(["run", "--algo", "reptile", *COMMON, *metrics, *never]) == 1


@here
def test_a_complete_run_that_is_damaged_is_repaired_by_the_same_command(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("mean_speaker", cache, tmp_path)
    whole, result = ((folder / name).read_bytes() for name in ("episodes.csv", "result.json"))
    for damaged in (whole[:-20], whole + whole[-300:]):
        (folder / "episodes.csv").write_bytes(damaged)
        run("mean_speaker", cache, tmp_path)
        assert "already complete" not in capsys.readouterr().out
        assert (folder / "episodes.csv").read_bytes() == whole
        run("mean_speaker", cache, tmp_path)
        assert "already complete" in capsys.readouterr().out
    spoken = sorted((folder / "audio").glob("*.wav"))[0]
    sound = spoken.read_bytes()
    for damaged in (sound[:-8] + bytes(8), sound[:100]):
        spoken.write_bytes(damaged)
        assert "audio/" in refused(["report", folder], 1, capsys)
        run("mean_speaker", cache, tmp_path)
        assert spoken.read_bytes() == sound and (folder / "episodes.csv").read_bytes() == whole
    sums = spoken.with_name("SHA256SUMS")
    noted = sums.read_bytes()
    for damaged in (noted[:-1], b"", b"\xff" + noted):
        sums.write_bytes(damaged)
        run("mean_speaker", cache, tmp_path)
        assert sums.read_bytes() == noted
    # So is speech that was damaged while the run was interrupted. What others put beside it is left alone.
    capsys.readouterr()
    (folder / "result.json").unlink()
    spoken.write_bytes(sound[:-8] + bytes(8))
    spoken.with_name("anna_5shot_0000steps.wav").write_bytes(b"mine")
    os.mkfifo(spoken.with_name("take_0shot_0000steps.wav"))
    run("mean_speaker", cache, tmp_path)
    assert spoken.read_bytes() == sound and (folder / "episodes.csv").read_bytes() == whole
    assert json.loads((folder / "result.json").read_text())["speech"] == json.loads(result)["speech"]
    run("mean_speaker", cache, tmp_path)
    assert "already complete" in capsys.readouterr().out and spoken.with_name("anna_5shot_0000steps.wav").read_bytes() == b"mine"
    (folder / "result.json").write_bytes(result[:100])
    run("mean_speaker", cache, tmp_path)
    assert json.loads((folder / "result.json").read_text())["curve"] and (folder / "episodes.csv").read_bytes() == whole


@here
def test_a_run_begun_on_other_features_starts_over(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("reptile", cache, tmp_path)
    whole = (folder / "episodes.csv").read_bytes()
    (folder / "result.json").unlink()
    (folder / "episodes.csv").write_bytes(whole[:-20])
    (folder / "checkpoints" / "training.ckpt").write_bytes(b"learned from what another processor rounded")
    (folder / "features.txt").write_text("another processor's")
    capsys.readouterr()
    run("reptile", cache, tmp_path)
    told = capsys.readouterr().err
    assert f"{folder} was begun on features that another machine computed; it starts over." in told and "damaged" not in told
    assert (folder / "episodes.csv").read_bytes() == whole


WITHOUT_LOGS = """
import sys
from benchmark.cli import main
if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.exit(status or sorted({"wandb", "tensorboard"} & sys.modules.keys()) or 0)
"""


def test_runs_at_once_share_one_pretraining_and_the_same_command_is_done_once(
    own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two commands at once, and one of them once more while they are at work. What only live logs need is not imported."""
    places = ["--cache", str(own_cache), "--output", str(tmp_path)]
    together = [
        subprocess.Popen(
            [sys.executable, "-c", WITHOUT_LOGS, "run", "--algo", algorithm, *COMMON, *places],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for algorithm in ("finetune", "mean_speaker")
    ]  # fmt: skip
    while not list(own_cache.glob("pretrained/*")) and any(process.poll() is None for process in together):
        time.sleep(0.05)
    assert main(["run", "--algo", "finetune", *COMMON, *places]) == 0
    here = capsys.readouterr()
    said = [process.communicate() for process in together]
    assert [process.returncode for process in together] == [0, 0], said
    said.append((here.out, here.err))
    assert sum("already complete" in out for out, _ in said) == 1
    assert sum("Pretraining: done" in error for _, error in said) == 1
    (folder,) = tmp_path.glob("espeak-finetune-*")
    with (folder / "episodes.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 4


def test_ctrl_c_is_one_sentence_and_status_130(cache: Path, tmp_path: Path) -> None:
    command = ["run", "--algo", "maml", *COMMON, "--meta.tflops", "50", "--cache", str(cache), "--output", str(tmp_path), "--workers", "2"]
    command.remove("--fast-dev-run")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *command, "--pretrain.steps", "4"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not list(tmp_path.glob("*/checkpoints/training.ckpt")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and error.endswith("Interrupted; run the same command again to resume.\n"), error
    assert "Traceback" not in error


def test_a_refused_setting_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    for algorithm in ("finetune", "anil"):
        refused = ["run", "--algo", algorithm, "--algo.groups", "decodr", *COMMON, "--cache", str(cache), "--output", str(tmp_path)]
        assert main(refused) == 2
    assert not list(tmp_path.iterdir())


@here
def test_topline_scores_itself_as_perfect_without_any_model(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.running.run.pretrained", None)
    folder = run("ground_truth", cache, tmp_path, "--metrics", "mcd,stoi,mel_error")
    (point,) = json.loads((folder / "result.json").read_text())["curve"]
    assert (point["shots"], point["steps"]) == (0, 0)
    assert point["metrics"]["mcd"]["mean"] == pytest.approx(0, abs=1e-6)
    assert point["metrics"]["mel_error"]["mean"] == 0
    assert point["metrics"]["stoi"]["mean"] == pytest.approx(1, abs=1e-6)


@here
def test_an_inner_loop_that_overflows_is_a_failed_episode_and_the_run_goes_on(cache: Path, tmp_path: Path) -> None:
    folder = run("finetune", cache, tmp_path, "--algo.learning_rate", "1e30")
    before, after = json.loads((folder / "result.json").read_text())["curve"]
    assert (before["steps"], before["metrics"]["stoi"]["n"], before["metrics"]["stoi"]["n_failed"]) == (0, 2, 0)
    assert (after["steps"], after["metrics"]["stoi"]["n"], after["metrics"]["stoi"]["n_failed"]) == (2, 0, 2)
    assert after["metrics"]["stoi"]["mean"] is None
    assert "adaptation failed: the loss in fine-tuning is not finite" in (folder / "episodes.csv").read_text()
    assert before["cost"]["flops_to_adapt"] == 0 and after["cost"]["flops_to_adapt"] is after["cost"]["stored_parameters"] is None
    assert main(["leaderboard", "verify", str(tmp_path / "espeak.csv")]) == 0
    assert main(["report", str(folder), "--cache", str(cache), "--workers", "1", "--html", str(tmp_path / "page.html")]) == 0


def test_meta_training_that_diverges_is_one_sentence(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--cache", cache, "--output", tmp_path]
    error = refused(["run", "--algo", "maml", "--algo.inner_lr", "1e30", *COMMON, *places], 1, capsys)
    # How far the inner loop gets before a number overflows depends on the processor.
    where = "the loss in the inner loop is|loss or gradients are"
    assert re.match(f"error: Training diverged at step 0: ({where}) not finite; lower the learning rate", error), error
    assert not list(tmp_path.glob("*/result.json"))

    # One step goes well; what it learned is kept, and the same command says the same again.
    for _ in range(2):
        later = [*COMMON, "--meta.tflops", "1", "--meta.learning_rate", "1e12", *places]
        later.remove("--fast-dev-run")
        error = refused(["run", "--algo", "maml", *later, "--pretrain.steps", "4"], 1, capsys)
        found = re.search(r"Training diverged at step 1: .*; lower the learning rate.* the last good checkpoint is kept in (.*)\.$", error)
        assert found is not None, error
        state = checkpoint.load(Path(found.group(1)))
        assert state is not None and state["progress"]["step"] == 1


def test_the_readmes_plugin_fits_and_runs(cache: Path, tmp_path: Path) -> None:
    source = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    path = tmp_path / "decoder_only.py"
    path.write_text(source.group(1))
    assert len(source.group(1).splitlines()) <= 32
    assert main(["check", str(path)]) == 0
    folder = run("decoder_only", cache, tmp_path / "runs", "--plugin", str(path))
    assert json.loads((folder / "result.json").read_text())["algorithm"] == "decoder_only"


@here
def test_an_algorithm_that_embeds_speech_has_its_embedding_space_measured(cache: Path, tmp_path: Path) -> None:
    folder = run("metric", cache, tmp_path)
    assert 0 <= json.loads((folder / "result.json").read_text())["facts"]["embedding_eer"] <= 1
    assert (folder / "embedding.png").stat().st_size > 1000 and (folder / "embedding.csv").is_file()


CHEAT = '''
"""Conditions on the encoder that also ranks."""
from benchmark.algorithm import AdaptedModel, Algorithm

class Cheat(Algorithm):
    """Cheats."""
    trains = False
    conditions_on = "ge2e"
    def adapt(self, support, steps):
        for step in steps:
            yield step, AdaptedModel(self.backbone)
    def adapted_parameters(self):
        return {}

PLUGIN = Cheat
'''
AS_CONFIGURED = """
    def __init__(self, backbone, config=None):
        super().__init__(backbone, config)
        self.conditions_on = "ge2e"
"""


@here
@pytest.mark.parametrize("declared", ['conditions_on = "ge2e"', AS_CONFIGURED], ids=["class", "instance"])
def test_an_encoder_that_conditions_may_not_rank(
    declared: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cheat.py"
    path.write_text(CHEAT.replace('conditions_on = "ge2e"', declared))
    places = ["--cache", str(cache), "--output", str(tmp_path / "runs"), "--plugin", str(path)]
    said = refused(["run", "--algo", "cheat", *COMMON, *places, "--metrics", "mcd,speaker_similarity"], 2, capsys)
    assert "cheat conditions on the encoder ge2e, and speaker_similarity ranks with the same one" in said
    run("cheat", cache, tmp_path / "runs", "--plugin", str(path))


@here
def test_leaderboard_refuses_quick_trials(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("mean_speaker", cache, tmp_path)
    capsys.readouterr()
    assert main(["leaderboard", "add", str(folder), "--preliminary"]) == 1
    assert "is a quick trial (--fast-dev-run)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--algo", "reptil"], "no algorithm called 'reptil'; did you mean 'reptile'?"),
        (["--algo", "reptile", "--dataset", "espeek"], "no dataset called 'espeek'; did you mean 'espeak'?"),
        (["--algo", "reptile", "--metrics", "mcd,pesk"], "no metric called 'pesk'; did you mean 'pesq'?"),
        (["--algo", "reptile", "--preset", "smal"], "no preset called 'smal'; did you mean 'small'?"),
        (["--algo", "reptile", "--algo.inner_rl", "1"], "no setting '--algo.inner_rl' of reptile; did you mean '--algo.inner_lr'?"),
        (["--algo", "reptile", "--wokers", "1"], "no setting '--wokers'; did you mean '--workers'?"),
        (["--algo", "reptile", "--config"], "--config needs a value"),
        (["--algo", "reptile", "--algo.inner_lr", "-1"], "inner_lr must be above 0"),
        (["--algo", "reptile", "--algo.inner_lr", "much"], "--algo.inner_lr must be a number, not 'much'"),
        (["--algo", "reptile", "--shots", "0"], "shots must be at least 1"),
        (["--algo", "reptile", "--shots", "11"], "shots must be at most 10"),
        (["--algo", "reptile", "--steps", "-5"], "steps must be at least 0"),
        (["--algo", "reptile", "--seeds", "0"], "--seeds"),
        (["--algo", "reptile", "--data-root", "."], "Dataset espeak takes no --data-root: It is rendered on the fly."),
        (["--algo", "finetune", "--algo.groups", "tail", "--fast-dev-run"], "no group 'tail'"),
        (["--algo", "anil", "--algo.groups", "tail"], "no group 'tail' to adapt; it has embedding"),  # before any pretraining
        (["--algo", "anil", "--algo.groups", "[]"], "algo.groups must hold at least 1 value"),
        (["--algo", "finetune", "--algo.lora_rank", "500"], "lora_rank 500 is larger than every layer: the largest, "),
        (["--algo", "reptile", "--meta.support", "30"], "fewer than the 33 utterances that a task's support of 30"),  # likewise
        (["--algo", "maml", "--algo.inner_steps", "-1"], "inner_steps must be at least 1, not -1"),
        (["--algo", "meta_sgd", "--algo.inner_lr", "0"], "inner_lr must be above 0"),
        (["--algo", "imaml", "--algo.optimizer", "sgd", "--algo.inner_lr", "200"], "proximal_weight must be below 2 / inner_lr = 0.01"),
        (["--algo", "imaml", "--algo.damping", "-1"], "damping must be at least 0, not -1"),
        (["--algo", "maml_plus_plus", "--algo.annealing_steps", "-1"], "annealing_steps must be at least 0"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], sentence: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--dataset", "espeak", "--preset", "smoke", "--cache", str(cache), "--output", str(tmp_path), "--workers", "1"]
    assert sentence in refused(["run", *places, *arguments], 2, capsys)
    assert not list(tmp_path.iterdir())


def test_unwritable_output_is_one_sentence(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    places = ["--cache", cache, "--output", tmp_path / "file"]
    assert "Argument --output: must be a folder" in refused(["run", "--algo", "mean_speaker", *COMMON, *places], 2, capsys)


@here
def test_damaged_weights_are_rebuilt_from_the_training_without_training_again(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("reptile", cache, tmp_path)
    path, before = folder / "checkpoints" / "algorithm.pt", {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:500] + bytes([whole[500] ^ 1]) + whole[501:], b"another program's"):
        path.write_bytes(damaged)
        capsys.readouterr()
        run("reptile", cache, tmp_path)
        assert "algorithm.pt is damaged and will be rebuilt" in capsys.readouterr().err
        assert path.read_bytes() == whole
    training = path.with_name("training.ckpt")
    training.write_bytes(training.read_bytes()[:-9])
    run("reptile", cache, tmp_path)
    assert "training.ckpt is damaged and was deleted; the run's weights and results are whole." in capsys.readouterr().err
    assert not training.exists() and path.read_bytes() == whole
    assert {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()} == before


def test_a_library_that_does_not_say_why_it_failed_is_asked_by_a_write_of_our_own(tmp_path: Path) -> None:
    speech = np.zeros(20_000, np.float32)
    with full_disk(1000), pytest.raises(BenchmarkError, match=r"a.wav: File too large; choose a folder that is writable and has space"):
        write_atomic(tmp_path / "a.wav", lambda path: soundfile.write(path, speech, 16_000))
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_is_one_sentence(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--cache", cache, "--output", tmp_path]
    refused(["run", "--algo", "maml", "--algo.inner_lr", "1e30", *COMMON, *places], 1, capsys)  # the pretraining is there by then
    with full_disk(1_000_000):  # a voice's library fits
        said = refused(["run", "--algo", "maml", *COMMON, *places], 1, capsys)
    assert said.endswith("training.ckpt: File too large; choose a folder that is writable and has space.")
    assert not list(tmp_path.rglob("*/.tmp-*")), "nothing is left half-written"
