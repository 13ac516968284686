"""One process at a time; the next one says for whom it waits, and a killed one leaves nothing locked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from benchmark.errors import BenchmarkError
from benchmark.plumbing import locks
from benchmark.plumbing.locks import locked

HOLD = "import sys, time; from pathlib import Path; from benchmark.plumbing.locks import locked\n"
HOLD += "with locked(Path(sys.argv[1]), ''): print('held', flush=True); time.sleep(60)"


def test_the_second_waits_saying_for_whom_until_the_first_is_killed(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    monkeypatch.setattr(locks, "LONG", 0.2)
    lock = tmp_path / "folder" / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True, cwd=repository)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    got = threading.Event()

    def second() -> None:
        with locked(lock, "Waiting for the other."):
            got.set()

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(1)
    assert not got.is_set()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    thread.join(10)
    first, still = capsys.readouterr().err.splitlines()
    who = rf"It is process {process.pid} on \S+, since \d{{4}}-\d\d-\d\d \d\d:\d\d\."
    assert got.is_set() and re.fullmatch(rf"Waiting for the other\. {who}", first)
    assert re.search(rf"^Still waiting\. {who} .*\(ps -p shows whether it lives\), end it", still) and str(lock) in still
    with locked(lock, "not said"):
        pass
    assert capsys.readouterr().err == "" and [path.name for path in lock.parent.iterdir()] == [".lock"]


def test_finished_work_can_be_read_where_no_lock_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / ".lock", ""):
        pass
    with pytest.raises(ValueError, match="own"), locked(tmp_path / "file" / ".lock", ""):
        raise ValueError("own")


@pytest.mark.parametrize("held", [False, True])
def test_a_pipe_in_the_place_of_the_holder_keeps_nobody_waiting(held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    os.mkfifo(tmp_path / ".lock.holder")
    done = threading.Event()

    def hold() -> None:
        with locked(tmp_path / ".lock", "Waiting."):
            done.set()

    lock = FileLock(tmp_path / ".lock")
    if held:
        lock.acquire()
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    time.sleep(0.3)
    lock.release()
    assert done.wait(5)


def in_the_way(path: Path) -> None:
    path.mkdir()


def leads_in_a_circle(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("block", [in_the_way, leads_in_a_circle])
def test_a_lock_that_cannot_be_created_is_an_error_at_once(block: object, tmp_path: Path) -> None:
    assert callable(block)
    block(tmp_path / ".lock")
    with pytest.raises(BenchmarkError, match=r"The lock .* can't be created \(.*\); remove what is in its way"), locked(
        tmp_path / ".lock", ""
    ):
        raise AssertionError("it was not held")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that creates no files, Linux's /proc")
def test_a_file_system_that_creates_no_files_does_not_keep_anybody_waiting() -> None:
    started = time.monotonic()
    try:
        with locked(Path("/proc/.lock"), ""):
            pass
    except BenchmarkError as error:
        assert "can't be created" in str(error)
    assert time.monotonic() - started < 5
