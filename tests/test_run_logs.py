"""Live logs: what an offline run wrote is read back, and no number depends on whether there are any."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.results.kept_speech import beside_in, speech_in
from benchmark.results.result import read_result
from benchmark.running import loggers as run_logs
from benchmark.running import run as runs
from benchmark.running.episodes import PROTOCOL_VERSION

COMMON = [
    "--algo", "reptile", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--workers", "1", "--metrics", "mcd",
]  # fmt: skip


@pytest.fixture(autouse=True)
def at_home(in_this_process: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """wandb leaves nothing in the home folder."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))


def records(path: Path) -> Iterator[Any]:
    """What a .wandb file holds: after 7 bytes, LevelDB's log format (blocks of 32 KiB; checksum, length, type, data)."""
    from wandb.proto import wandb_internal_pb2

    content = path.read_bytes()
    assert content[:4] == b":W&B"
    at, data = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(data)
            yield record
            data = b""


def items(some: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in some}


def run(output: Path, cache: Path, *more: str) -> Path:
    """A run whose pretraining is done anew by the next one, too."""
    assert main(["run", *COMMON, "--cache", str(cache), "--output", str(output), *more]) == 0
    shutil.rmtree(cache / "pretrained")
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    return folder


def test_logs_hold_curves_results_and_speech_and_change_no_number(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)  # offline without being told, and no account asked for
    plain = run(tmp_path / "plain", own_cache)
    assert {path.name for path in plain.iterdir()} & {"wandb", "tensorboard", "csv"} == set()
    monkeypatch.setattr(runs, "started_from", lambda: ("a commit", True))
    folder = run(tmp_path / "logged", own_cache, "--wandb", "--tensorboard", "--csv")
    assert folder.name == plain.name and (folder / "episodes.csv").read_bytes() == (plain / "episodes.csv").read_bytes()
    assert (folder / "checkpoints" / "algorithm.pt").read_bytes() == (plain / "checkpoints" / "algorithm.pt").read_bytes()
    assert "wandb sync" in capsys.readouterr().out

    result = json.loads((folder / "result.json").read_text())
    (written,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    found = list(records(written))
    (start,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (start.run_id, start.run_group, start.job_type) == (folder.name, "espeak reptile", "smoke")
    marks = {"synthetic", "limited", "trial", "uncommitted"}
    assert {f"protocol {PROTOCOL_VERSION}", "synthesis", "task speaker", "smoke", *marks} <= set(start.tags)
    config = items(start.config.update)
    assert (config["data_version"], config["git_commit"], config["uncommitted"]) == (result["data_version"], "a commit", True)
    assert config["algo.inner_lr"] == result["config"]["algo"]["inner_lr"] and config["shots"] == [5], "as sweeps name options"
    history = [items(record.history.item) for record in found if record.WhichOneof("record_type") == "history"]
    for stage, steps in (("pretraining", 4), ("training", int(result["training"]["steps"]))):
        losses = {row[f"{stage}/step"]: row[f"{stage}/loss"] for row in history if f"{stage}/loss" in row}
        assert sorted(losses) == list(range(1, steps + 1)) and all(loss > 0 for loss in losses.values())
    for stage in ("pretraining", "training"):
        losses = {row[f"{stage}/step"]: row[f"{stage}/validation_loss"] for row in history if f"{stage}/validation_loss" in row}
        assert 1 in losses and all(loss > 0 for loss in losses.values())
    assert not [key for row in history for key in row if " " in key]
    curve = {row["adaptation/step"]: row["adaptation/mcd_5shot"] for row in history if "adaptation/mcd_5shot" in row}
    assert curve == {point["steps"]: pytest.approx(point["metrics"]["mcd"]["mean"]) for point in result["curve"]}
    (tables,) = (row for row in history if "results/path" in row)

    files = written.parent / "files"
    assert len(json.loads((files / tables["results/path"]).read_text())["data"]) == len(result["curve"])
    speaker = min(path.stem.split("_")[0] for path in (folder / "audio").glob("*.wav"))
    beside = beside_in(folder, result, speaker)
    heard = [f"recording: {beside['recording'][1]}", "copy", f"support: {beside['support'][1]}"]
    assert tables[f"speech/{speaker}/captions"] == [*heard, "5-shot, 0 steps", "5-shot, 2 steps"]
    assert all(len(text) > 10 for _, text in (beside["recording"], beside["support"]))
    sounds = list((files / "media" / "audio").rglob("*.wav"))
    assert {path.read_bytes() for path in sounds} == {path.read_bytes() for path in (folder / "audio").glob("*.wav")}
    pictures = list((files / "media" / "images").rglob("*.png"))
    assert len(pictures) == len(sounds) and {Image.open(path).size[1] for path in pictures} == {4 * 80}
    (model,) = (record.artifact for record in found if record.artifact.type == "model")
    assert model.name == folder.name
    places = {entry.path: Path(entry.local_path) for entry in model.manifest.contents}
    assert places == {"algorithm.pt": folder / "checkpoints" / "algorithm.pt"} | {n: folder / n for n in ("config.yaml", "result.json")}

    (table_file,) = (folder / "csv").rglob("metrics.csv")
    with table_file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(bool(row["training/loss"]) for row in rows) == result["training"]["steps"]
    assert [float(row["adaptation/mcd_5shot"]) for row in rows if row["adaptation/mcd_5shot"]] == pytest.approx(list(curve.values()))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (place,) = (folder / "tensorboard").iterdir()
    events = EventAccumulator(str(place)).Reload()
    assert [event.step for event in events.Scalars("pretraining/loss")] == [1, 2, 3, 4]
    assert [event.value for event in events.Scalars("adaptation/mcd_5shot")] == pytest.approx([curve[0], curve[2]], rel=1e-5)


def test_recognition_logs_transcripts_in_a_group_of_its_own(cache: Path, tmp_path: Path) -> None:
    words = ["--backbone", "crnn_ctc", "--backbone.channels", "2", "--backbone.hidden", "8", "--metrics", "cer"]
    words += ["--wandb", "--cache", str(cache), "--output", str(tmp_path)]
    assert main(["run", *COMMON, *words]) == 0
    (folder,) = tmp_path.glob("espeak-recognition-reptile-*")
    (written,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    found = list(records(written))
    (start,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert start.run_group == "espeak-recognition reptile" and {"recognition", "task speaker"} <= set(start.tags)
    (path,) = (row["transcripts/path"] for record in found if record.WhichOneof("record_type") == "history"
               if "transcripts/path" in (row := items(record.history.item)))  # fmt: skip
    table = json.loads((written.parent / "files" / path).read_text())
    heard = {tuple(row[:3]): row[4] for row in table["data"]}
    assert heard == {place: text.read_text().strip() for place, text in speech_in(folder, read_result(folder), "txt").items()}
    assert all(len(row[3]) > 10 for row in table["data"]) and len({place[0] for place in heard}) == 2


def test_a_failed_run_closes_its_logs_and_the_next_one_has_its_own(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    def fails(*_: Any) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(runs, "trained", fails)
    monkeypatch.setattr(runs, "started_from", lambda: ("a commit", False))
    assert main(["run", *COMMON, "--cache", str(cache), "--output", str(tmp_path), "--wandb", "--seeds", "2"]) == 1
    assert "disk on fire" in capsys.readouterr().err and wandb.run is None
    (written,) = tmp_path.glob("*/wandb/offline-run-*/*.wandb")

    def exits() -> list[int]:
        return [record.exit.exit_code for record in records(written) if record.WhichOneof("record_type") == "exit"]

    # wandb's own process writes the end; on a busy machine it comes to that a moment later.
    deadline = time.monotonic() + 30
    while not exits() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert exits() == [1]
    (start,) = (record.run for record in records(written) if record.WhichOneof("record_type") == "run")
    assert "limited" in start.tags and "uncommitted" not in start.tags


@pytest.mark.parametrize("kind", ["wandb", "tensorboard"])
def test_missing_library_is_one_sentence_before_any_work(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(run_logs, "find_spec", lambda name: None if name == kind else find(name))
    assert main(["run", *COMMON, f"--{kind}", "--output", str(tmp_path / "runs"), "--cache", str(tmp_path)]) == 1
    assert f"pip install -e '.[{kind}]'" in capsys.readouterr().err and not (tmp_path / "runs").exists()
