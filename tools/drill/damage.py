"""Damage: each file that runs, caches, tunings and leaderboards leave, damaged in each way, then read by each command that reads it.

A case is well if the damage is found (one sentence, exit status not 0), mended (the file and all others come out again), or harmless
(all others come out the same). What a run's own command leaves damaged in the run's folder is never harmless.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from unittest.mock import patch

from tools.drill.harm import HARMS
from tools.drill.inside import Answer, call
from tools.drill.outcome import FAILED, Outcome
from tools.drill.scene import SENTENCES, Scene

DRILL = "damage"
FOUND, MENDED, HARMLESS = "found", "mended", "harmless"
SECONDS = 60.0
STOPS = {"prepared": "corpus.json", "pretrained": "pretrained/*.pt", "vocoder": "vocoders/*.pt", "scored": "result.json"}
"""Runs that were cut off: just before such a file was there."""
READERS = {
    "boards/*": ("verify", "add"),
    "cache/*": ("new run", "say"),
    "runs/*/checkpoints/*": ("run", "say"),
    "runs/*/audio/*": ("run", "report"),
    "runs/*/*": ("run", "report", "compare", "add"),
    "runs/*": ("run", "verify runs"),
    "tuned/*": ("run",),
    "tuning/*": ("tune",),
}
"""Commands that read a file, by its place; the first that fits counts."""
KINDS = {r"folder\w*-": "", r"-[0-9a-f]{8,}(?=[-./])": "", r"-s0(?=[./])": "", r"\d{5}\.": "",
         r"/[0-9a-f]{24}\.": "/", r"pass-\d+": "pass", r"(gina|hugo)_.*\.wav": "*.wav",
         r"runs/(data-)?(reptile|mean_speaker)[^/]*/": "runs/RUN/"}  # fmt: skip
"""What of a place is no kind of file, and what stands for it."""
STDOUT = ("compare",)
"""Commands whose result is what they print."""


@dataclass(frozen=True)
class State:
    """Something that commands left, which may be damaged.

    Attributes:
        name: "finished", or the stage at which the run was cut off.
        root: of the scene.
    """

    name: str
    root: Path


class Drill:
    """A place where damage is done.

    Args:
        scene: built; damaged and restored again and again. What restores it lies beside it, in ``kept``.
        stops: stages, of ``STOPS``, at which a run was cut off, beside the finished one.
    """

    def __init__(self, scene: Scene, stops: Sequence[str]) -> None:
        self.work, self.kept = scene, scene.root.with_name("kept")
        shutil.rmtree(self.kept, ignore_errors=True)
        self._keep("finished")
        for stop in stops:
            self.restore()
            for left in ("boards", "tuning", "runs", "cache"):
                shutil.rmtree(self.work.root / left)
            with _cut_off(STOPS[stop]), self.work.here():
                answer = call(self.work.run("reptile"), 600)
            if answer.status != 130:
                raise RuntimeError(f"the run was not cut off at {stop}: {answer.err}")
            self._keep(stop)
        self.states = ["finished", *stops]
        self._expected: dict[tuple[str, str, str], tuple[dict[str, str], str]] = {}

    def cases(self) -> Iterator[tuple[str, str, str, str]]:
        """State, file, harm and reader of every case."""
        for state in self.states:
            for path in sorted((self.kept / state).rglob("*")):
                name = path.relative_to(self.kept / state).as_posix()
                if not path.is_file() or path.name.endswith((".lock", ".holder")) or name.startswith(("data/", "voice/")):
                    continue
                readers = next(found for pattern, found in READERS.items() if fnmatch(name, pattern)) if state == "finished" else ("run",)
                if self._algorithm(name) != "reptile":  # the floor adapts to no recordings
                    readers = tuple(reader for reader in readers if reader != "say")
                for harm in HARMS:
                    yield from ((state, name, harm, reader) for reader in readers)

    def sample(self, count: int, draw: random.Random) -> list[tuple[str, str, str, str]]:
        """As many cases, of every kind of file and harm as far as they go."""
        left: dict[tuple[str, str, str], list[tuple[str, str, str, str]]] = {}
        for case in self.cases():
            left.setdefault((case[0], kind_of(case[1]), case[2]), []).append(case)
        groups = [draw.sample(group, len(group)) for group in left.values()]
        draw.shuffle(groups)
        rounds = (group[number] for number in range(max(map(len, groups))) for group in groups if number < len(group))
        return [case for case, _ in zip(rounds, range(count), strict=False)]

    def outcome(self, state: str, name: str, harm: str, reader: str, draw: random.Random) -> Outcome | None:
        """Do one case; None if the file can't be damaged so."""
        content = HARMS[harm](self.kept / state / name, draw)
        if content is None or content == (self.kept / state / name).read_bytes():
            return None
        expected, printed = self._undamaged(state, reader, self._algorithm(name))
        self.restore(state)
        target = self.work.root / name
        target.write_bytes(content)
        answer = self._read(reader, self._algorithm(name))
        verdict, why = self._judge(answer, name, content, expected, printed if reader in STDOUT else None)
        its_own = reader == "run" and name.startswith("runs/")
        if its_own and verdict == HARMLESS and _means_other(self.work.root / name, self.kept / state / name):
            verdict, why = FAILED, "the run's own command leaves it damaged"
        case = f"{reader} with {harm} in {name}" + f" of a run cut off: {state}" * (state != "finished")
        return Outcome(DRILL, kind_of(name), verdict, case, why)

    def _judge(self, answer: Answer, name: str, damaged: bytes, expected: dict[str, str], printed: str | None) -> tuple[str, str]:
        if list(self.work.root.rglob("code-was-run")):
            return FAILED, "code in the file was run"
        if answer.status:
            fault = answer.fault((self.work.root,))
            return (FAILED, fault) if fault else (FOUND, "")
        if "Traceback" in answer.err:
            return FAILED, f"a traceback: {answer.err[-400:]}"
        found = self.work.bytes()
        target = self.work.root / name
        same = not target.is_file() or target.read_bytes() == damaged
        wrong = [each for each in sorted({*expected, *found}) if expected.get(each) != found.get(each) and not (same and each == name)]
        if wrong and f"It is kept as {target}.old; a new table is begun." in answer.err:
            return FOUND, ""
        if wrong:
            return FAILED, f"other bytes in {', '.join(wrong)}; it said {answer.err.strip()[-200:]!r}"
        if printed is not None and answer.out != printed:
            return FAILED, f"it printed other numbers: {answer.out[:300]}"
        return (HARMLESS if same else MENDED), ""

    def _algorithm(self, name: str) -> str:
        """The algorithm of the run that a file belongs to; reptile, which trains, for those of no run."""
        return next((algorithm for algorithm, folder in self.work.folders.items() if folder.name in Path(name).parts), "reptile")

    def _undamaged(self, state: str, reader: str, algorithm: str) -> tuple[dict[str, str], str]:
        """What comes out, and is printed, if nothing is damaged."""
        if (state, reader, algorithm) not in self._expected:
            self.restore(state)
            answer = self._read(reader, algorithm)
            if answer.status:
                raise RuntimeError(f"{reader} fails on undamaged files: {answer.err}")
            self._expected[state, reader, algorithm] = self.work.bytes(), answer.out
        return self._expected[state, reader, algorithm]

    def _read(self, reader: str, algorithm: str) -> Answer:
        """Run a command that reads files, of this algorithm's run where it takes one."""
        work, own = self.work, self.work.folders[algorithm]
        reptile, floor = work.folders["reptile"], work.folders["mean_speaker"]
        if reader == "new run":
            shutil.rmtree(own)
        commands: dict[str, list[object]] = {
            "run": [*work.run(algorithm)], "new run": [*work.run(algorithm)], "tune": [*work.tune()],
            "report": ["report", reptile, floor, "--cache", work.cache, "--html", work.root / "report.html",
                       "--workers", "1"],
            "compare": ["compare", reptile, floor, "--metrics", "stoi", "--steps", "0"],
            "verify": ["leaderboard", "verify", work.boards / "mine.csv"],
            "verify runs": ["leaderboard", "verify", work.runs / "folder_data.csv"],
            "add": ["leaderboard", "add", own, "--preliminary", "--table", work.boards / "mine.csv"],
            "say": ["say", SENTENCES[0], "--run", own, "--voice", work.voice, "-o", work.root / "said.wav",
                    "--cache", work.cache],
        }  # fmt: skip
        with work.here():
            return call(commands[reader], SECONDS)

    def _keep(self, state: str) -> None:
        shutil.copytree(self.work.root, self.kept / state)

    def restore(self, state: str = "finished") -> None:
        """Let everything be as it was left."""
        shutil.rmtree(self.work.root, ignore_errors=True)
        shutil.copytree(self.kept / state, self.work.root)


def drill(scene: Scene, seed: int, count: int, stops: Sequence[str] = tuple(STOPS)) -> Iterator[Outcome]:
    """Damage so many files.

    Args:
        scene: built; afterwards it is as before.
        seed: of the draws.
        count: of cases.
        stops: see :class:`Drill`.
    """
    draw, place = random.Random(seed), Drill(scene, stops)
    done = 0
    for case in place.sample(10 * count, draw):
        if done < count and (outcome := place.outcome(*case, random.Random(f"{seed} {case}"))):
            done += 1
            yield outcome
    place.restore()


def kind_of(name: str) -> str:
    """What kind of file a place is: the same for all seeds, hashes, speakers and runs."""
    for pattern, instead in KINDS.items():
        name = re.sub(pattern, instead, name)
    return name


def _means_other(damaged: Path, intact: Path) -> bool:
    """Whether a file is there and says something else than it did; JSON may be laid out in another way."""
    if not damaged.is_file() or damaged.read_bytes() == intact.read_bytes():
        return False
    with suppress(ValueError, RecursionError):
        return damaged.suffix != ".json" or bool(json.loads(damaged.read_bytes()) != json.loads(intact.read_bytes()))
    return True


class _cut_off:
    """Inside, a process is interrupted when it is about to put a file that fits the pattern into its place."""

    def __init__(self, pattern: str) -> None:
        replace = Path.replace

        def stop(path: Path, target: str | Path) -> Path:
            if fnmatch(str(target), f"*/{pattern}"):
                raise KeyboardInterrupt
            return replace(path, target)

        self._patch = patch.object(Path, "replace", stop)

    def __enter__(self) -> None:
        self._patch.start()

    def __exit__(self, *_: object) -> None:
        self._patch.stop()
