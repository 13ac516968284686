"""What processes that Lightning spawns for a training tell the one that waits for them: steps, and why they stopped."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from benchmark.errors import BenchmarkError

SET_BY_LIGHTNING = ("MASTER_ADDR", "MASTER_PORT")
PATIENCE = 10.0
"""Seconds for a process to end after it was told to."""


@contextmanager
def relayed(hear: Callable[[Any], object]) -> Iterator[Callable[[Any], object]]:
    """A function for spawned processes, with which they have ``hear`` called here, in a thread.

    Raises:
        BenchmarkError: a process sent one, or was killed.
    """
    others, before = set(multiprocessing.active_children()), {name: os.environ.get(name) for name in SET_BY_LIGHTNING}
    receiver, sender = multiprocessing.Pipe(duplex=False)
    errors: list[BaseException] = []
    thread = threading.Thread(target=_listen, args=(receiver, hear, errors), daemon=True)
    thread.start()
    stopped: Exception | None = None
    try:
        yield sender.send
    except (ProcessRaisedException, ProcessExitedException) as error:
        stopped = error
    finally:
        _end(set(multiprocessing.active_children()) - others)
        # Not the end of the pipe: what else was started meanwhile may hold it open.
        sender.send(None)
        thread.join(PATIENCE)
        # A port that the next training would find taken.
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
    if errors:
        raise errors[0] from stopped
    if isinstance(stopped, ProcessExitedException):
        raise BenchmarkError(
            "A training process died (killed, or out of memory); run the same command again: it resumes where it stopped."
        ) from stopped
    if stopped:
        raise stopped


def _end(processes: Iterable[BaseProcess]) -> None:
    """After Ctrl-C they may still be at work, or wait for each other, and would be waited for."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        process.kill()


def _listen(receiver: Any, hear: Callable[[Any], object], errors: list[BaseException]) -> None:
    try:
        while (message := receiver.recv()) is not None:
            if isinstance(message, BaseException):
                errors.append(message)
            else:
                hear(message)
    except Exception as error:
        errors.append(error)
        receiver.close()  # so that who tells more fails, too
