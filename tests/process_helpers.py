"""What becomes of processes, looked up in Linux's /proc."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path


def status(process: int) -> dict[str, str]:
    """What Linux says of a process; nothing once it has ended, whether or not somebody has taken note."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return {} if found["State"].startswith(("Z", "X")) else found


def workers_of(parent: int) -> list[int]:
    """Worker processes; multiprocessing's own helper is not one."""
    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    children = [process for process in every if status(process).get("PPid") == str(parent)]
    return [process for process in children if b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()]


def ended(processes: Sequence[int], seconds: float = 20) -> bool:
    """Whether all of them end within so many seconds."""
    deadline = time.monotonic() + seconds
    while any(map(status, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(status, processes))
