"""Kills: runs are killed outright at random moments, again and again; in the end their bytes are the undisturbed ones.

A moment is a stage and a part of the time that the stage takes undisturbed, so that short stages are hit too.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.plumbing.files import TEMPORARY
from tools.drill.outcome import FAILED, Outcome
from tools.drill.scene import tree

DRILL = "kills"
TINY = [
    "--dataset", "espeak", "--preset", "smoke", "--metrics", "stoi", "--workers", "1", "--shots", "2", "--steps", "0,2", "--pretrain.steps",
    "12", "--pretrain.batch_size", "4", "--meta.tflops", "0.03", "--evaluation.queries", "1", "--evaluation.speakers", "3",
    "--accelerator", "cpu",
]  # fmt: skip
VOCOS = ["--vocoder.checkpoint", "", "--vocoder.width", "32", "--vocoder.blocks", "1", "--vocoder_training.steps", "40",
         "--vocoder_training.batch_size", "4"]  # fmt: skip
RUNS = {"reptile": [], "maml": [], "memory": [], "copy_synthesis": VOCOS}
"""Options beside ``TINY``, by algorithm."""
STAGES = ("start", "preparation", "vocoder", "pretraining", "training", "evaluation", "report")
ENOUGH = 40
"""So many kills must hit every stage."""
MISSES = 20
"""So many more runs than kills are too many: no kill comes in time."""
LONGEST = 300.0
"""Seconds after which a run hangs."""
ORPHANS = 20.0
"""Seconds in which worker processes must end after the process that started them was killed."""
REPOSITORY = Path(__file__).resolve().parents[2]


class Run:
    """A run in a place of its own.

    Args:
        root: holds its output and, unless one is given, its cache.
        algorithm: of ``RUNS``.
        cache: to start from a copy of; None for an empty one.
    """

    def __init__(self, root: Path, algorithm: str, cache: Path | None) -> None:
        self.algorithm, self.output, self.cache, self.temporary = algorithm, root / "runs", root / "cache", root / "tmp"
        self.temporary.mkdir(parents=True)
        if cache is not None:
            shutil.copytree(cache, self.cache)
        self.command = ["run", "--algo", algorithm, *TINY, *RUNS[algorithm], "--cache", str(self.cache), "--output", str(self.output)]

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """The run in a process group of its own, which ends with the context."""
        words = [sys.executable, "-m", "benchmark", *self.command]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        process = subprocess.Popen(
            words, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            yield process
        finally:
            if _lives(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stderr:
                process.stderr.close()

    def files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file."""
        found = {}
        for place in (self.output, self.cache):
            for path in place.rglob("*"):
                try:
                    about = path.stat()
                except OSError:  # just removed
                    continue
                found[path.relative_to(place.parent).as_posix()] = about.st_size, about.st_mtime_ns
        return found

    def stage(self, before: Mapping[str, tuple[int, int]]) -> str:
        """How far a process has come that found the files of ``before``."""
        new = {name for name, about in self.files().items() if before.get(name) != about}
        for stage, sign in (
            ("report", lambda name: name.endswith("/result.json")),
            ("evaluation", lambda name: name.endswith("/episodes.csv")),
            ("training", lambda name: name.endswith("/training.ckpt")),
            ("training", lambda name: name.startswith("cache/pretrained/") and name.endswith(".pt")),
            ("pretraining", lambda name: name.startswith("cache/pretrained/")),
            ("pretraining", lambda name: name.startswith("cache/vocoders/") and name.endswith(".pt")),
            ("vocoder", lambda name: name.startswith("cache/vocoders/")),
            ("preparation", lambda name: name.startswith("cache/corpora/") and "/." not in name.removeprefix("cache/corpora")),
        ):  # fmt: skip
            if any(map(sign, new)):
                return stage
        return "start"

    def kept(self) -> dict[str, str]:
        """Digests of what a run keeps of its results."""
        return tree(self.output)

    def left_over(self) -> str:
        """What killed processes left behind; "" if nothing."""
        strays = [path for place in (self.output, self.cache) for path in place.rglob(f"{TEMPORARY}*")]
        strays += [path for path in self.temporary.glob("*/*") if path.is_dir()]
        if strays:
            return f"{len(strays)} temporary files and folders are left, {strays[0]} for example"
        for path in (path for place in (self.output, self.cache) for path in place.rglob("*.lock")):
            try:
                with FileLock(path).acquire(timeout=0):
                    pass
            except Timeout:
                return f"the lock {path} bars"
        return ""


class Pace:
    """How long an undisturbed run is in each stage, in seconds, and what it keeps."""

    def __init__(self, run: Run) -> None:
        self.seconds: dict[str, float] = {}
        before, last = run.files(), time.monotonic()
        with run.started() as process:
            while process.poll() is None:
                time.sleep(0.02)
                now, stage = time.monotonic(), run.stage(before)
                self.seconds[stage] = self.seconds.get(stage, 0.0) + now - last
                last = now
            _, error = process.communicate()
        if process.returncode:
            raise RuntimeError(f"an undisturbed run of {run.algorithm} ends with {process.returncode}: {error}")
        self.kept = run.kept()


def drill(root: Path, seed: int, count: int, algorithms: Sequence[str] = tuple(RUNS)) -> Iterator[Outcome]:
    """Kill so many times.

    Args:
        root: a folder to work in.
        seed: of the moments.
        count: of kills.
        algorithms: of ``RUNS``, in turn.
    """
    draw, killed, number = random.Random(seed), 0, 0
    first = Run(root / "undisturbed", algorithms[0], None)
    paces = {algorithms[0]: Pace(first)}
    preparation = paces[algorithms[0]].seconds.get("preparation", 0.0)
    warm = root / "warm"
    shutil.copytree(first.cache / "corpora", warm / "corpora")
    hit: set[str] = set()
    while killed < count:
        if number >= killed + MISSES:
            yield Outcome(DRILL, "all", FAILED, f"{number} runs", "too few kills hit a run before it ended")
            return
        algorithm, empty = algorithms[number % len(algorithms)], number % 5 == 4
        if algorithm not in paces:
            paces[algorithm] = Pace(Run(root / f"undisturbed-{algorithm}", algorithm, warm))
        run = Run(root / f"killed-{number}", algorithm, None if empty else warm)
        seconds = paces[algorithm].seconds | {"preparation": preparation if empty else 0.0}
        outcomes = list(_killed(run, paces[algorithm].kept, seconds, draw, count - killed, "empty cache" if empty else "warm cache"))
        yield from outcomes
        killed, number = killed + len(outcomes), number + 1
        hit |= {outcome.verdict.removeprefix("in ") for outcome in outcomes}
        if not outcomes or not outcomes[-1].why:
            shutil.rmtree(root / f"killed-{number - 1}")
    for stage in sorted({stage for pace in paces.values() for stage in pace.seconds} - hit):
        if count >= ENOUGH:
            yield Outcome(DRILL, f"stage {stage}", FAILED, "all kills", "none hit this stage")


def _killed(
    run: Run, undisturbed: Mapping[str, str], seconds: Mapping[str, float], draw: random.Random, most: int, where: str
) -> Iterator[Outcome]:
    """Kill a run a few times, let it end, and compare; an outcome for each kill."""
    stages = [stage for stage in STAGES if seconds.get(stage)]
    moments = sorted(draw.sample(range(len(stages)), min(draw.randint(3, 6), len(stages), most)))
    hits, why = [], ""
    for moment in (stages[place] for place in moments):
        hit, wrong = _kill(run, moment, draw.random() * seconds[moment], draw.random() < 0.5)
        hits += [hit] if hit else []
        why = why or wrong
    for path in (*run.output.rglob(f"{TEMPORARY}*"), *run.cache.rglob(f"{TEMPORARY}*"), *run.temporary.glob("*/*")):
        os.utime(path, (1, 1))  # what is brand-new may be in use
    with run.started() as process:
        try:
            _, error = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            error = "it hangs"
    if not why and process.returncode:
        why = f"the last run ends with {process.returncode}: {error.strip()[-300:]}"
    kept = run.kept()
    if not why and (wrong_files := [name for name in sorted({*kept, *undisturbed}) if kept.get(name) != undisturbed.get(name)]):
        why = f"other bytes in {', '.join(wrong_files[:4])}"
    why = why or run.left_over()
    for hit in hits:
        yield Outcome(DRILL, f"{run.algorithm}, {where}", FAILED if why else f"in {hit}", f"killed in {', '.join(hits)}", why)


def _kill(run: Run, moment: str, delay: float, alone: bool) -> tuple[str, str]:
    """Start, wait for the stage and then a little, and kill, with all its workers or alone; the stage that was hit, and what is wrong."""
    before, began = run.files(), time.monotonic()
    with run.started() as process:
        while process.poll() is None and STAGES.index(run.stage(before)) < STAGES.index(moment) and time.monotonic() - began < LONGEST:
            time.sleep(0.01)
        until = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        if process.poll() is not None:
            _, error = process.communicate()
            return "", f"it ended by itself with {process.returncode}: {error.strip()[-300:]}" if process.returncode else ""
        if alone:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + ORPHANS
        while _lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        return run.stage(before), "worker processes outlived the run" if _lives(process.pid) else ""


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
