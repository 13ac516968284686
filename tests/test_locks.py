"""One process at a time; the next one says that it waits, and a killed one leaves nothing locked."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmark.plumbing import locks
from benchmark.plumbing.locks import locked

HOLD = "import sys, time; from pathlib import Path; from benchmark.plumbing.locks import locked\n"
HOLD += "with locked(Path(sys.argv[1]), ''): print('held', flush=True); time.sleep(60)"


def test_the_second_waits_saying_so_until_the_first_is_killed(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    lock = tmp_path / "folder" / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True, cwd=repository)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    got = threading.Event()

    def second() -> None:
        with locked(lock, "Waiting for the other."):
            got.set()

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.5)
    assert not got.is_set()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    thread.join(10)
    assert got.is_set() and capsys.readouterr().err == "Waiting for the other.\n"
    with locked(lock, "not said"):
        pass
    assert capsys.readouterr().err == ""


def test_finished_work_can_be_read_where_no_lock_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / ".lock", ""):
        pass
    with pytest.raises(ValueError, match="own"), locked(tmp_path / "file" / ".lock", ""):
        raise ValueError("own")
