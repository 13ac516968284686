"""Worker processes with one thread each, which end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from benchmark.errors import BenchmarkError


@contextmanager
def pool(count: int, ready: Callable[[], object] | None = None) -> Iterator[Executor]:
    """A pool of worker processes; on any error, including Ctrl-C, they end at once, even in the middle of a job.

    Args:
        count: number of processes.
        ready: called in each process before its first job (to import ``--plugin`` files, say); must be picklable.

    Raises:
        BenchmarkError: a process died.
    """
    others = set(multiprocessing.active_children())
    try:
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start, (ready,)) as executor:
            try:
                yield executor
            except BaseException:
                # Running jobs could take minutes, and nobody needs their results.
                executor.shutdown(wait=False, cancel_futures=True)
                for child in set(multiprocessing.active_children()) - others:
                    child.terminate()
                raise
    except BrokenProcessPool as error:
        raise BenchmarkError(
            "A worker process died (killed, or out of memory); run the same command again, perhaps with fewer --workers: it resumes "
            "where it stopped."
        ) from error


def _start(ready: Callable[[], object] | None) -> None:
    threading.Thread(target=_follow, daemon=True).start()
    # Ctrl-C reaches all processes of a terminal; the parent process handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    one_thread()
    if ready is not None:
        ready()


def one_thread() -> None:
    """Let this process compute with one thread, so that numbers don't depend on the number of processes."""
    torch.set_num_threads(1)
    # NumPy's linear algebra has its own threads.
    threadpool_limits(1)


def _follow() -> None:
    """End this process when its parent ends, even by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def default_workers() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
