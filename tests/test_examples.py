"""Every file in ``examples/`` keeps its contract and runs end to end, cut down to seconds."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import soundfile
import torch

from benchmark.cli import main
from benchmark.data.espeak import VoiceSettings, speak
from benchmark.errors import UsageError
from benchmark.plugins import registry
from tests.cli_helpers import refused, scoring_here

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
here = pytest.mark.usefixtures("in_this_process")
PLUGINS = sorted(path for path in EXAMPLES.glob("*.py") if path.stem not in ("python_api", "make_recordings"))
TINY = ["--preset", "smoke", "--fast-dev-run", "--workers", "1"]
READS = ["--backbone", "autoregressive_backbone", "--backbone.hidden", "64", "--plugin", str(EXAMPLES / "autoregressive_backbone.py")]
LISTENS = [
    "--backbone", "recogniser", "--backbone.hidden", "16", "--plugin", str(EXAMPLES / "recogniser.py"), "--metrics", "cer",
]  # fmt: skip


def module(name: str) -> ModuleType:
    """An example, imported as a plugin file is."""
    info = registry.from_file(EXAMPLES / f"{name}.py")
    registry.load_info(info)
    return sys.modules[info.module]


def run(cache: Path, output: Path, *words: str, dataset: str = "espeak") -> Path:
    assert main(["run", "--dataset", dataset, *TINY, "--cache", str(cache), "--output", str(output), *words]) == 0
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "episodes.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_an_example_keeps_its_contract(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(path)]) == 0, capsys.readouterr().out


def test_there_is_an_example_of_each_kind_and_its_docstring_says_how_to_run_it() -> None:
    assert {registry.from_file(path).kind for path in PLUGINS} == set(registry.KINDS)
    for path in PLUGINS:
        said = path.read_text(encoding="utf-8").split('"""')[1].replace("\\\\\n", " ")
        commands = [shlex.split(line) for line in said.splitlines() if line.strip().startswith("python -m benchmark")]
        words = {command[3] for command in commands}
        assert {"check", "run"} <= words, path
        for name in re.findall(r"examples/\w+\.py", said):
            assert (EXAMPLES.parent / name).is_file(), (path, name)


@here
@pytest.mark.parametrize("algorithm", ["finetune", "reptile"])
def test_a_backbone_without_durations_is_scored_but_for_what_needs_them(
    algorithm: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--dataset", "espeak", "--preset", "smoke", "--workers", "1", "--cache", str(cache), "--output", str(tmp_path)]
    small = {"pretrain.steps": 100, "pretrain.batch_size": 8, "pretrain.learning_rate": 0.01, "meta.tflops": 0.0001, "meta.tasks": 1}
    small |= {"evaluation.speakers": 2, "evaluation.queries": 1, "threads": 1}
    words += [word for name, value in small.items() for word in (f"--{name}", str(value))]
    assert main([*words, "--algo", algorithm, "--steps", "0,1", "--metrics", "mcd,pesq,stoi", *READS]) == 0
    said = capsys.readouterr().out
    assert "autoregressive_backbone has no durations, so pesq and stoi, which need aligned speech, are left out." in said
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    found = rows(folder)
    assert len(found) == 4 and "pesq" not in found[0]
    # It has learned to stop, and where it has not, that is what the row says.
    assert any(float(row["mcd"] or "nan") > 0 for row in found)
    assert all(row["mcd"] or "does not stop" in row["failures"] for row in found)


def test_an_algorithm_that_needs_a_speaker_vector_is_refused_on_a_backbone_without(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(["run", "--dataset", "espeak", *TINY, "--cache", cache, "--output", tmp_path, "--algo", "style", *READS], 2, capsys)
    assert "style needs a speaker vector, which autoregressive_backbone does not have" in said


@pytest.mark.parametrize("algorithm", ["reptile", "finetune", "maml"])
def test_a_recogniser_learns_under_the_same_algorithms(algorithm: str, cache: Path, tmp_path: Path) -> None:
    # One is scored in a worker process, which reads the files of backbone and metric itself.
    with nullcontext() if algorithm == "finetune" else scoring_here():
        folder = run(cache, tmp_path, "--algo", algorithm, *LISTENS)
    assert json.loads((folder / "result.json").read_text())["problem"] == "recognition"
    assert all(float(row["cer"]) > 0 for row in rows(folder)) and len(rows(folder)) == 4


def test_toplines_that_speak_are_refused_on_a_recogniser(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--dataset", "espeak", *TINY, "--cache", cache, "--output", tmp_path, "--algo", "ground_truth", *LISTENS]
    assert "ground_truth needs a backbone that makes speech, which recogniser does not have" in refused(words, 2, capsys)


@here
def test_a_vocoder_that_trains_is_trained_once_and_goes_on_where_it_was_cut_off(
    own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--vocoder", "trained_vocoder", "--vocoder.hidden", "16", "--plugin", str(EXAMPLES / "trained_vocoder.py"),
             "--metrics", "mcd", "--vocoder_training.steps", "6", "--vocoder_training.batch_size", "2"]  # fmt: skip
    vocoder = module("trained_vocoder").TrainedVocoder
    step = vocoder.training_step
    taken: list[Any] = []

    def cut_off(self: Any, segments: Any) -> dict[str, float]:
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(1)
        logs: dict[str, float] = step(self, segments)
        return logs

    monkeypatch.setattr("benchmark.running.training.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(vocoder, "training_step", cut_off)
    common = ["run", "--dataset", "espeak", *TINY, "--cache", str(own_cache), "--output", str(tmp_path / "runs"), *words]
    assert main([*common, "--algo", "copy_synthesis"]) == 130
    monkeypatch.setattr(vocoder, "training_step", step)
    assert not list((own_cache / "vocoders").glob("*.pt"))

    capsys.readouterr()
    folder = run(own_cache, tmp_path / "runs", "--algo", "copy_synthesis", *words)
    assert "Training the vocoder trained_vocoder: done" in capsys.readouterr().err
    assert all(float(row["mcd"]) > 0 for row in rows(folder))
    (trained,) = (own_cache / "vocoders").glob("*.pt")
    assert not list((own_cache / "vocoders").glob("*.training"))
    before = trained.stat().st_mtime_ns
    run(own_cache, tmp_path / "other", "--algo", "mean_speaker", *words)
    assert "Training the vocoder" not in capsys.readouterr().err and trained.stat().st_mtime_ns == before

    mine = tmp_path / "mine.pt"
    trained.rename(mine)
    loaded = run(own_cache, tmp_path / "third", "--algo", "copy_synthesis", *words, "--vocoder.checkpoint", str(mine))
    assert "Training the vocoder" not in capsys.readouterr().err and loaded.name != folder.name
    assert (loaded / "episodes.csv").read_bytes() == (folder / "episodes.csv").read_bytes()


def test_a_vocoder_learns_to_invert_mels() -> None:
    from benchmark.mel import log_mel
    from benchmark.vocoder import Segments

    example = module("trained_vocoder")
    torch.manual_seed(0)
    vocoder = example.TrainedVocoder(example.TrainedVocoder.Config(hidden=32))
    samples, _, _ = speak("A bowl of cherries stood beside the lamp.", VoiceSettings("en-us"))
    audio = torch.from_numpy(samples[: 60 * 256])
    segments = Segments(log_mel(audio, vocoder.mel)[None], audio[None])
    optimizer = torch.optim.Adam(vocoder.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(vocoder.training_step(segments)["loss"])
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]
    assert len(vocoder.decode(segments.mels[0])) == len(audio)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that somebody could have recorded: six voices, 15 sentences each, no sentence read twice."""
    espeak = importlib.import_module("benchmark.datasets.espeak")
    root, sentences = tmp_path_factory.mktemp("recorded"), [*espeak.TRAIN_SENTENCES, *espeak.HELD_OUT_SENTENCES]
    for speaker, voice in {"ann": "f2", "bob": "m3", "cid": "m7", "dot": "f4", "eve": "f5", "fay": "f1"}.items():
        (root / speaker).mkdir()
        for number in range(15):
            sentence = sentences.pop()
            samples, rate, _ = speak(sentence, VoiceSettings(f"en-us+{voice}", rate=220))
            soundfile.write(root / speaker / f"{number:02d}.wav", samples, rate)
            (root / speaker / f"{number:02d}.txt").write_text(sentence, encoding="utf-8")
    return root


def test_a_folder_of_recordings_is_split_by_speaker_and_seed(recorded: Path, tmp_path: Path) -> None:
    dataset = module("dataset_folder").DatasetFolder
    splits = {split: dataset(recorded).speakers(split) for split in ("train", "validation", "test")}
    assert sorted(name for names in splits.values() for name in names) == ["ann", "bob", "cid", "dot", "eve", "fay"]
    assert all(len(names) == 2 for names in splits.values())
    assert splits == {split: dataset(recorded).speakers(split) for split in splits}
    seeds = [tuple(dataset(recorded, dataset.Config(seed=seed)).speakers("test")) for seed in range(10)]
    assert len(set(seeds)) > 1
    utterance = dataset(recorded).utterances("ann")[0]
    assert (utterance.id, utterance.text) == ("ann_00", (recorded / "ann" / "00.txt").read_text())
    (tmp_path / "ann").mkdir()
    with pytest.raises(UsageError, match=r"expected SPEAKER/NAME\.wav and SPEAKER/NAME\.txt, of at least six speakers; found: ann"):
        dataset(tmp_path)


@here
def test_a_run_on_a_folder_of_recordings(recorded: Path, tmp_path: Path) -> None:
    folder = run(
        tmp_path / "cache", tmp_path / "runs", "--algo", "decoder_only", "--metrics", "mcd", "--data-root", str(recorded),
        "--plugin", str(EXAMPLES / "dataset_folder.py"), "--plugin", str(EXAMPLES / "decoder_only.py"), dataset="dataset_folder",
    )  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    assert (result["dataset"], result["algorithm"]) == ("dataset_folder", "decoder_only")
    assert len(rows(folder)) == 4 and all(float(row["mcd"]) > 0 for row in rows(folder))


@here
def test_a_metric_learns_what_it_needs_once(own_cache: Path, tmp_path: Path) -> None:
    words = ["--plugin", str(EXAMPLES / "loudness_metric.py"), "--metrics", "loudness_metric"]
    folder = run(own_cache, tmp_path / "real", "--algo", "ground_truth", *words)
    assert all(0 < float(row["loudness_strangeness"]) < 0.5 for row in rows(folder)), "real speech is what it learned"
    (model,) = (own_cache / "metrics").glob("espeak-*/loudness_metric-*/loudness-1.json")
    before = model.stat().st_mtime_ns
    run(own_cache, tmp_path / "mean", "--algo", "mean_speaker", *words)
    assert model.stat().st_mtime_ns == before
    # Edited, it learns again, though its version stays.
    edited = tmp_path / "edited" / "loudness_metric.py"
    edited.parent.mkdir()
    code = (EXAMPLES / "loudness_metric.py").read_text(encoding="utf-8")
    edited.write_text(code.replace("COMPONENTS = 6", "COMPONENTS = 2"), encoding="utf-8")
    run(own_cache, tmp_path / "again", "--algo", "mean_speaker", "--plugin", str(edited), *words[2:])
    assert len(list((own_cache / "metrics").glob("espeak-*/loudness_metric-*/loudness-1.json"))) == 2


@here
def test_the_python_api_does_what_its_script_shows(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("python_api", EXAMPLES / "python_api.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    cache.mkdir(exist_ok=True)
    (tmp_path / "cache").symlink_to(cache)
    threads = torch.get_num_threads()
    try:
        script.main(tmp_path, fast=True)
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert "first: style" in said and "second: finetune" in said and "on 3 recordings" in said
    assert re.search(r"trained [1-9]\d* steps", said)
    wave, rate = soundfile.read(tmp_path / "said.wav")
    assert rate == 16_000 and len(wave) > 1000
