"""Messages from the training processes that Lightning spawns to the process that waits for them: steps and errors."""

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
"""Seconds that a process gets to end after it was told to."""


@contextmanager
def relayed(hear: Callable[[Any], object]) -> Iterator[Callable[[Any], object]]:
    """Yield a function for spawned processes; what they pass to it reaches ``hear`` in a thread of this process.

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
        # Closing the pipe would not do: other processes started meanwhile may hold it open.
        sender.send(None)
        thread.join(PATIENCE)
        # The next training would find the old port taken.
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
    """End processes that are still working, or waiting for each other, after Ctrl-C; Python would wait for them at exit."""
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
        receiver.close()  # so that processes that send more fail, too
