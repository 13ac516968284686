"""What the drills work on: a small corpus of one's own, what every command leaves of it, and the bytes that must come out again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import soundfile
import torch

from benchmark.data.espeak import VoiceSettings, speak
from benchmark.plumbing import checkpoint
from benchmark.results.leaderboard_file import COSTS
from tools.drill.inside import call, no_workers

SENTENCES = (
    "A tall boy painted the garden gate", "She sees a red kite over the sea", "Tell me where the dog is hiding",
    "They bought seven eggs and a pie",
)  # fmt: skip
SPEAKERS = {"anna": "train", "carl": "train", "dora": "validation", "emil": "validation", "gina": "test", "hugo": "test"}
SMALL = [
    "--dataset", "folder", "--preset", "smoke", "--workers", "1", "--shots", "1", "--steps", "0,1", "--pretrain.steps", "2",
    "--pretrain.batch_size", "2", "--meta.tflops", "1e-6", "--meta.tasks", "1", "--meta.support", "1", "--meta.query", "1",
    "--evaluation.queries", "1", "--backbone.hidden", "16", "--accelerator", "cpu", "--threads", "1",
]  # fmt: skip
SCORED = [
    "--metrics", "stoi,speaker_similarity,per", "--metrics.per.epochs", "1", "--metrics.per.channels", "16", "--metrics.per.hidden", "8",
    "--vocoder.checkpoint", "", "--vocoder.blocks", "1", "--vocoder.width", "16", "--vocoder_training.steps", "2",
    "--vocoder_training.batch_size", "2", "--vocoder_training.frames", "8",
]  # fmt: skip
VARYING = ("seconds", "seconds_last_invocation", "cost", "files", "digest", *COSTS)
"""Parts of a result and columns of tables that no two runs share, or that follow from those."""
PASSING = re.compile(r"\.(lock|holder|damaged|journal|old)$|(^|/)costs\.csv$|/\.tmp-")
"""Files that hold no result: locks, seconds, copies of what was damaged or replaced, and Optuna's journal, whose trials a table has."""


class Scene:
    """A folder with everything that commands leave.

    Args:
        root: the folder; empty or absent.

    Attributes:
        root, data, voice, cache, runs, tuning, tuned, boards: where things lie.
        folders: of the runs, by algorithm; once they are built.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.voice, self.cache, self.runs = root / "data", root / "voice", root / "cache", root / "runs"
        self.tuning, self.tuned, self.boards = root / "tuning", root / "tuned", root / "boards"
        self.folders: dict[str, Path] = {}

    @property
    def places(self) -> list[str]:
        """Options that name the corpus and the cache."""
        return ["--data-root", str(self.data), "--cache", str(self.cache)]

    def run(self, algorithm: str) -> list[str]:
        """The command of a run."""
        return ["run", "--algo", algorithm, *SMALL, *SCORED, *self.places, "--output", str(self.runs)]

    def tune(self) -> list[str]:
        """The command of a tuning."""
        return ["tune", "--algo", "reptile", *SMALL, *self.places, "--output", str(self.tuning), "--trials", "2"]

    def build(self) -> None:
        """Run everything once: two runs, a tuning, a leaderboard."""
        record(self.data)
        self.voice.mkdir()
        shutil.copy(self.data / "gina-0.wav", self.voice / "gina.wav")
        (self.voice / "gina.txt").write_text(SENTENCES[0])
        reptile, floor = self.run("reptile"), self.run("mean_speaker")
        add = ["leaderboard", "add", "--preliminary", "--table", str(self.boards / "mine.csv")]
        with self.here():
            for command in (self.tune(), reptile, floor):
                _done(command)
            for algorithm in ("mean_speaker", "reptile"):
                (self.folders[algorithm],) = self.runs.glob(f"*-{algorithm}-smoke-*/")
                _done([*add, str(self.folders[algorithm])])

    @contextmanager
    def here(self) -> Iterator[None]:
        """Commands start no processes, keep tuned values in the scene, and take the code for committed, whatever state it is in."""
        committed = ("0" * 40, False)
        with (
            no_workers(),
            patch("benchmark.settings.tuned_values.FOLDER", self.tuned),
            patch("benchmark.running.run.started_from", lambda: committed),
            patch("benchmark.results.result.git_state", lambda: committed),
            patch("benchmark.results.leaderboard_places.folder", lambda: self.boards),
            _inside(self.root),  # where commands write by default
        ):
            yield

    def bytes(self) -> dict[str, str]:
        """Digests of every file; see :func:`tree`."""
        return tree(self.root)


def tree(root: Path) -> dict[str, str]:
    """A digest of every file, by place: of its content, without what no two runs share."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: _digest(path) for name, path in sorted(found.items()) if not PASSING.search(name)}


@cache
def built(root: Path) -> Scene:
    """The scene in a folder, built when it is first asked for."""
    scene = Scene(root / "scene")
    scene.build()
    return scene


def record(root: Path) -> None:
    """Two training speakers and two for each other split, as recordings with a table."""
    root.mkdir(parents=True)
    rows = ["audio,text,speaker,split"]
    for number, (speaker, split) in enumerate(SPEAKERS.items()):
        for index in range(len(SENTENCES)):
            text = f"{SENTENCES[(number + index) % len(SENTENCES)]} and {number + 2} {index + 20}"
            samples, rate, _ = speak(text, VoiceSettings(f"en-us+{'fm'[number % 2]}{1 + number % 4}"))
            soundfile.write(root / f"{speaker}-{index}.wav", samples, rate)
            rows.append(f"{speaker}-{index}.wav,{text},{speaker},{split}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Inside, the folder is the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _done(command: Sequence[str]) -> None:
    answer = call(command, 600)
    if answer.status:
        raise RuntimeError(f"{' '.join(command)} ended with {answer.status}: {answer.err}")


def _digest(path: Path) -> str:
    content = path.read_bytes()
    reduced = _reduced(path, content)
    return hashlib.sha256(content if reduced is None else reduced.encode()).hexdigest()


def _reduced(path: Path, content: bytes) -> str | None:
    """What of a file must come out again; None for all of it."""
    try:
        if path.name == "result.json":
            return json.dumps(_without(json.loads(content)), sort_keys=True)
        if path.suffix in (".pt", ".ckpt", ".training"):
            return str(checkpoint.load(path, _tensors, quiet=True))
        if path.suffix == ".csv" and path.name != "episodes.csv":
            rows = [{name: cell for name, cell in row.items() if name not in VARYING} for row in _rows(content)]
            return json.dumps(rows)
    except (ValueError, RecursionError):  # a damaged file, or one nested too deeply
        pass
    return None


def _rows(content: bytes) -> Iterator[dict[str, Any]]:
    yield from csv.DictReader(io.StringIO(content.decode("utf-8")))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(each) for name, each in value.items() if name not in VARYING}
    return [_without(each) for each in value] if isinstance(value, list) else value


def _tensors(state: Any) -> list[str]:
    """Digests of a checkpoint's tensors, in order."""
    if isinstance(state, torch.Tensor):
        return [hashlib.sha256(state.detach().contiguous().numpy().tobytes()).hexdigest()[:16]]
    inside = state.values() if isinstance(state, Mapping) else state if isinstance(state, list | tuple) else ()
    return [digest for each in inside for digest in _tensors(each)]
