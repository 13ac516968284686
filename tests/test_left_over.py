"""What a killed process leaves, temporary files and copied libraries, the next one removes; what is in use stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from benchmark.plumbing.files import TEMPORARY, remove_left_over, write_text

WRITE = """
import sys, time
from pathlib import Path
from benchmark.plumbing.files import write_atomic
def slowly(path):
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
write_atomic(Path(sys.argv[1]) / "a.txt", slowly)
"""
SPEAK = """
import sys, time
from benchmark.data import phonemes
from benchmark.plumbing import scratch
phonemes.phonemise(["Hello."], "en-us")
print(scratch.folder(), flush=True)
if sys.argv[1:]:
    time.sleep(60)
"""


def started(script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | environment)


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def grow_old(path: Path) -> None:
    os.utime(path, (1, 1))


def test_temporary_files_of_killed_writers_are_removed_and_those_being_written_stay(tmp_path: Path) -> None:
    process = started(WRITE, str(tmp_path))
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    (temporary,) = tmp_path.glob(f"{TEMPORARY}*")
    grow_old(temporary)
    remove_left_over(tmp_path.glob(f"{TEMPORARY}*"))
    assert temporary.is_file(), "it is being written"
    killed(process)
    remove_left_over(tmp_path.glob(f"{TEMPORARY}*"))
    assert not list(tmp_path.iterdir())
    write_text(tmp_path / "a.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_libraries_that_killed_processes_copied_are_removed_by_the_next(tmp_path: Path) -> None:
    folders = []
    for _ in range(2):
        process = started(SPEAK, "wait", TMPDIR=str(tmp_path))
        assert process.stdout is not None
        folders.append((process, Path(process.stdout.readline().strip())))
    (dead, lost), (alive, used) = folders
    assert lost != used and list(lost.rglob("*.so*")), "phonemizer's copy lies there"
    killed(dead)
    grow_old(lost)
    grow_old(used)
    third = started(SPEAK, TMPDIR=str(tmp_path))
    own, error = third.communicate()
    assert error is None and third.returncode == 0
    assert not lost.exists() and used.is_dir() and not Path(own.strip()).exists(), "the third has ended"
    killed(alive)
    assert all(path.parent.name.startswith("few-shot-tts-benchmark-") for path in tmp_path.glob("*/*"))
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["few"]
