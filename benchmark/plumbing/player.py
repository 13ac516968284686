"""Plays sound files with a program of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmark.errors import BenchmarkError, UsageError

PLAYERS = {"afplay": (), "paplay": (), "aplay": ("-q",), "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error")}
"""Programs that play a wav file (macOS; PulseAudio and PipeWire; ALSA; FFmpeg), the first one installed is taken, and their options."""


def player() -> list[str]:
    """The command that plays a file named after it.

    Raises:
        UsageError: no such program is installed.
    """
    for name, options in PLAYERS.items():
        if program := shutil.which(name):
            return [program, *options]
    raise UsageError(f"--play needs a program that plays sound, one of {', '.join(PLAYERS)}; install one, or leave out --play.")


def play(command: list[str], path: Path) -> None:
    """Play a file to its end.

    Raises:
        BenchmarkError: the program failed.
    """
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
        raise BenchmarkError(f"{path} is written, but {Path(command[0]).name} can't play it ({reason}); leave out --play.")
