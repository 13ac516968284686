"""What processes that Lightning spawns for a training tell the one that waits for them: steps, and why they stopped."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from benchmark.errors import BenchmarkError

SET_BY_LIGHTNING = ("MASTER_ADDR", "MASTER_PORT")


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
    try:
        yield sender.send
    except ProcessRaisedException as error:
        if not errors:
            raise
        raise errors[0] from error
    except ProcessExitedException as error:
        raise BenchmarkError(
            "A training process died (killed, or out of memory); give the same command again: it goes on where it stopped."
        ) from error
    finally:
        # After Ctrl-C they may still be at work, and would be waited for.
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        sender.close()
        thread.join()
        # A port that the next training would find taken.
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
    if errors:
        raise errors[0]


def _listen(receiver: Any, hear: Callable[[Any], object], errors: list[BaseException]) -> None:
    try:
        while True:
            message = receiver.recv()
            if isinstance(message, BaseException):
                errors.append(message)
            else:
                hear(message)
    except EOFError:
        return
    except Exception as error:
        errors.append(error)
        receiver.close()  # so that who tells more fails, too


class Errors(pl.Callback):
    """Tells why a spawned process stops, for all that Lightning hands on is a traceback."""

    def __init__(self, tell: Callable[[Any], object]) -> None:
        self.tell = tell

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Tell what is meant for users."""
        if isinstance(exception, BenchmarkError):
            self.tell(exception)
