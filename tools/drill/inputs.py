"""Bad inputs: every option and argument of every command, each with nonsense; folders of recordings that nobody can use.

The options come from the commands' own parsers, the settings from their schema. A case is well if it is refused with one sentence, in
bounded time and memory; or if the value makes sense after all and the command does its work, up to the training.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import random
import re
import resource
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmark.cli import Parser
from benchmark.settings.schema import RunSettings
from tools.drill import nonsense
from tools.drill.corpora import bad_corpora
from tools.drill.inside import call
from tools.drill.outcome import FAILED, Outcome
from tools.drill.scene import SENTENCES, Scene

DRILL = "inputs"
REFUSED, LEGAL = "refused", "legal"
SECONDS, MEGABYTES = 10.0, 600.0
"""What a case may take at most; memory only if it is refused."""
ROOM = 6 << 30
"""Bytes of address space beyond what is in use; who asks for more gets none."""
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?|\[\d+\]|null|true|\x1b", re.IGNORECASE | re.ASCII)
"""Numbers, lists and constants as YAML has them; the parser says which of them an option takes."""
TEXTS = ("", " ", "...", "\x00", "\x01\x02", "你好", "\udce9", "a" * 5000, "word " * 20_000, "<b>&amp;</b>", "a\nb", "�")
"""To be said."""
PLACES_TO_READ = {"data_root", "folder", "voice", "file", "pretrain_root"}
PLACES_TO_WRITE = {"cache", "output", "html", "write_manifest", "table"}
"""Options and arguments that are paths, by their name in the parser."""
FINE_TO_WRITE = {"a missing file", "a folder"}
"""Of the bad files, those that may be given as a place to write."""
SKIPPED = {"help", "debug", "download", "wandb", "tensorboard", "csv", "json", "fast_dev_run", "preliminary", "engine"}
"""Flags, and what would start a cluster or a download."""
UNUSED = {"compare": ("table",), "compare in a table": ("output",), "leaderboard verify": ("output",)}
"""Options that a command line has no use for."""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        command: whose it is, a row of the table.
        words: the command line.
        what: the nonsense in it, in words.
        sensible: whether it may be right for all that.
    """

    command: str
    words: tuple[str, ...]
    what: str
    sensible: bool


def drill(scene: Scene, seed: int, count: int) -> Iterator[Outcome]:
    """Give so many bad inputs.

    Args:
        scene: built. Bad files lie beside it, in ``inputs``.
        seed: of the choice.
        count: of cases.
    """
    root = scene.root.with_name("inputs")
    cases = [*_arguments(scene, root), *_settings(scene, root), *_files(scene, root), *_corpora(scene, root)]
    for case in _spread(cases, count, random.Random(seed)):
        with scene.here(), _bounded(), _stopped_at_training() as reached:
            answer = call(case.words, 3 * SECONDS)
        why, verdict = "", REFUSED
        if answer.seconds > SECONDS:
            why = f"it took {answer.seconds:.0f} s"
        elif reached or not answer.status:
            verdict = LEGAL
            why = "" if case.sensible else f"it was taken: {answer.out[-200:]}"
        elif answer.megabytes > MEGABYTES:
            why = f"it took {answer.megabytes:.0f} MB to refuse"
        else:
            why = answer.fault((root, scene.root, *root.parents))
        shown = " ".join(word if len(word) < 80 else f"{word[:40]}…({len(word)})" for word in case.words)
        yield Outcome(DRILL, case.command, FAILED if why else verdict, f"{case.what}: {shown!r}", why)


def _spread(cases: Sequence[Case], count: int, draw: random.Random) -> list[Case]:
    """As many cases, drawn, those of each command in turn."""
    groups: dict[str, list[Case]] = {}
    for case in draw.sample(cases, len(cases)):
        groups.setdefault(case.command, []).append(case)
    turns = max(map(len, groups.values()))
    return [group[turn] for turn in range(turns) for group in groups.values() if turn < len(group)][:count]


def _bases(scene: Scene, root: Path) -> dict[str, list[str]]:
    """A command line of each command that works."""
    reptile = str(scene.folders["reptile"])
    names = [scene.folders[algorithm].name for algorithm in ("reptile", "mean_speaker")]
    table, out = str(scene.boards / "mine.csv"), str(root / "out")
    run = [*scene.run("reptile")[1:-1], out]
    return {
        "run": ["run", *run], "sweep": ["sweep", *run], "vocoders": ["vocoders", *run[2:]],
        "tune": ["tune", *run[: run.index("--metrics")], *scene.places, "--output", out],
        "prepare": ["prepare", "--dataset", "folder", *scene.places],
        "check": ["check", "folder", "--data-root", str(scene.data)], "describe": ["describe", "reptile"], "list": ["list"],
        "report": ["report", *names, "--output", str(scene.runs), "--cache", str(scene.cache), "--html", f"{out}.html", "--workers", "1"],
        "compare": ["compare", *names, "--output", str(scene.runs), "--metrics", "stoi"],
        "compare in a table": ["compare", "reptile", "mean_speaker", "--table", table, "--metrics", "stoi"],
        "say": ["say", SENTENCES[0], "--run", reptile, "--voice", str(scene.voice), "-o", f"{out}.wav", "--cache", str(scene.cache)],
        "transcribe": ["transcribe", str(scene.voice), "--run", reptile, "--cache", str(scene.cache)],
        "leaderboard show": ["leaderboard", "show", table], "leaderboard cite": ["leaderboard", "cite", table, "reptile"],
        "leaderboard add": ["leaderboard", "add", reptile, "--preliminary", "--table", str(root / "other.csv")],
        "leaderboard verify": ["leaderboard", "verify", table], "leaderboard columns": ["leaderboard", "columns"],
    }  # fmt: skip


def _arguments(scene: Scene, root: Path) -> Iterator[Case]:
    """Nonsense for what the commands' parsers declare."""
    files = nonsense.bad_files(root / "files")
    for command, base in _bases(scene, root).items():
        positional = 0
        for action in _actions(base):
            if action.dest in UNUSED.get(command, ()):
                continue
            place = 0
            if not action.option_strings:
                positional += 1
                place = positional + (base[0] == "leaderboard")
            for what, value, sensible in _values(action, files):
                words = [*base[:place], value, *base[place + 1 :]] if place else [*base, f"{action.option_strings[-1]}={value}"]
                shown = f"{action.option_strings[-1] if action.option_strings else action.metavar or action.dest} {what}"
                yield Case(command, tuple(words), shown, sensible)
        yield Case(command, (*base, "--no_such_option=1"), "an unknown option", False)
        yield Case(command, (*base, "surplus\x1b[31m"), "a surplus word", False)


def _actions(base: Sequence[str]) -> list[argparse.Action]:
    parser: argparse.ArgumentParser = Parser()
    importlib.import_module(f"benchmark.commands.{base[0]}").add_arguments(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [each for each in action.choices[base[1]]._actions if each.dest not in SKIPPED]
    return [each for each in parser._actions if each.dest not in SKIPPED]


def _values(action: argparse.Action, files: Mapping[str, Path]) -> Iterator[tuple[str, str, bool]]:
    """Nonsense for an option, in words and in letters, and whether it may be right."""
    if action.dest in PLACES_TO_WRITE or action.dest in PLACES_TO_READ or action.dest == "runs":
        yield "nothing", "", False
        written = action.dest in PLACES_TO_WRITE
        for what, path in files.items():
            replaces = action.dest in ("html", "write_manifest") and os.path.isfile(path)
            yield what, str(path), written and (what in FINE_TO_WRITE or replaces)
    elif action.dest == "text":
        yield from ((ascii(text[:20]), text, text.startswith(("<b>", "a\n"))) for text in TEXTS if "\0" not in text)
    elif action.type is not None or action.dest in ("seeds", "steps", "shots", "trials"):
        yield from ((ascii(text[:20]), text, bool(NUMBER.fullmatch(text))) for text in nonsense.NUMBERS)
    else:
        default = "" if action.default == "" else None
        yield from ((ascii(text[:20]), text, text == default or text.strip() == default) for text in nonsense.NAMES)


def _settings(scene: Scene, root: Path) -> Iterator[Case]:
    """Nonsense for every setting, of plugins too."""
    bases = _bases(scene, root)
    chosen = {"algo": "reptile", "backbone": "fastspeech2", "vocoder": "vocos", "metrics.per": "per", "dataset": "folder"}
    from benchmark.plugins import registry

    fields = list(_fields(RunSettings, ""))
    for key, name in chosen.items():
        kind = {"algo": "algorithm", "metrics.per": "metric"}.get(key, key)
        fields += _fields(registry.load(kind, name).Config, f"{key}.")
    for number, (key, is_number) in enumerate(fields):
        for command in ("run", ("sweep", "tune", "vocoders", "run")[number % 4]):
            if command == "vocoders" and key.startswith(("algo", "vocoder", "metrics.per")):
                continue
            for text in nonsense.NUMBERS if is_number else nonsense.NAMES:
                sensible = bool(NUMBER.fullmatch(text)) if is_number else key.endswith("checkpoint") and not text.strip()
                yield Case(f"{command}, settings", (*bases[command], f"--{key}={text}"), f"{key} {text[:20]!a}", sensible)


def _fields(settings: Any, prefix: str) -> Iterator[tuple[str, bool]]:
    """Dotted names of settings, and whether they are numbers."""
    hints = typing.get_type_hints(settings)
    for each in dataclasses.fields(settings):
        kind = hints[each.name]
        if dataclasses.is_dataclass(kind) and "kind" not in each.metadata:
            yield from _fields(kind, f"{prefix}{each.name}.")
        else:
            yield f"{prefix}{each.name}", "kind" not in each.metadata and any(name in str(kind) for name in ("int", "float", "bool"))


def _files(scene: Scene, root: Path) -> Iterator[Case]:
    """Config and plugin files."""
    bases, files = _bases(scene, root), nonsense.bad_files(root / "configs")
    for command in ("run", "tune", "sweep", "prepare"):
        for what, path in files.items():
            yield Case(f"{command} --config", (*bases[command], "--config", str(path)), what, what == "an empty file")
    for what, path in {**nonsense.plugins(root / "plugins"), **files}.items():
        for command in ("describe", "check", "list", "run"):
            words = (command, str(path)) if command in ("describe", "check") else (*bases[command], "--plugin", str(path))
            if what in nonsense.RAISING:  # a plugin that is not chosen is not run
                words = tuple(path.stem if word == "reptile" else word for word in words)
            unread = ("list", "describe") if what in nonsense.RAISING else ("list",)  # neither runs a plugin
            yield Case(f"{command} of a plugin file", words, what, command in unread)


def _corpora(scene: Scene, root: Path) -> Iterator[Case]:
    """Folders of recordings."""
    for what, folder in bad_corpora(root / "corpora", sorted(scene.data.glob("*.wav"))):
        places = ("--data-root", str(folder), "--cache", str(root / "bad-cache"))
        yield Case("run on a corpus", (*scene.run("reptile"), *places), what, False)
        yield Case("check of a corpus", ("check", "folder", *places[:2]), what, what == "one speaker")  # whom others' models adapt to


@contextmanager
def _bounded() -> Iterator[None]:
    """Inside, this process gets no more than ``ROOM``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if Path("/proc/self/statm").exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM if used else soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _stopped_at_training() -> Iterator[list[bool]]:
    """Inside, nothing trains; the list that it gives is no longer empty once something was about to."""
    reached: list[bool] = []

    def stop(*_: object) -> None:
        reached.append(True)
        raise KeyboardInterrupt

    with patch("benchmark.running.training._train", stop):
        yield reached
