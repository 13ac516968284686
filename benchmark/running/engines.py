"""Where jobs run: in worker processes on this machine, or as tasks of a Ray cluster.

Ray starts a cluster of this machine's cores unless ``RAY_ADDRESS`` names one ("auto", "host:6379", "ray://host:10001"). The
machines of a cluster must see the command's folder, ``--output``, ``--cache`` and the ``--plugin`` files under the same paths,
as on a shared file system.
"""

from __future__ import annotations

import logging
import os
import pickle
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmark.errors import BenchmarkError, ExtraMissing
from benchmark.plugins import registry
from benchmark.plumbing import workers

RETRIES = 3
"""How often Ray repeats a job whose worker was killed; a job gives the same result each time."""
_entered = ""


def check(name: str) -> None:
    """Refuse an engine that is not installed, before anything is trained.

    Raises:
        ExtraMissing: it is not installed.
    """
    if name == "ray" and find_spec("ray") is None:
        raise ExtraMissing("--engine ray", "Ray", "ray")


def elsewhere(name: str) -> bool:
    """Whether jobs run on a cluster, whose machines may have other devices than this one."""
    return name == "ray" and os.environ.get("RAY_ADDRESS", "local") != "local"


@contextmanager
def engine(
    name: str, count: int, plugins: registry.Plugins = (), ready: Callable[[], object] | None = None, cpus: int = 1, gpus: float = 0
) -> Iterator[Executor]:
    """An executor whose ``map`` and ``submit`` work in other processes, one thread each.

    Args:
        name: "local" or "ray".
        count: processes on this machine; a cluster at ``RAY_ADDRESS`` has its own number.
        plugins: ``--plugin`` files.
        ready: called in each process before its first job; must be picklable.
        cpus: cores that a job needs, or all of a machine's if it has fewer; for Ray only.
        gpus: GPUs that a job needs, or the share of one; for Ray only.

    Raises:
        BenchmarkError: a process died (with Ray: at every try of a job), or there is no such cluster.
    """
    if name == "local":
        with workers.pool(count, partial(_get_ready, tuple(plugins), ready)) as pool:
            yield pool
        return
    check(name)
    import ray
    from ray.exceptions import RayError, RayTaskError

    connected = ray.is_initialized()
    if not connected:
        _connect(count)
    try:
        yield _Tasks(plugins, ready, cpus, gpus)
    except RayTaskError as error:
        # Raise the job's own error: Ray's message holds the worker's traceback.
        raise error.cause from error
    except RayError as error:
        raise BenchmarkError(
            f"A Ray worker died {RETRIES + 1} times at one job (killed, or out of memory); run the same command again: it resumes where "
            "it stopped."
        ) from error
    finally:
        if not connected:
            ray.shutdown()


def _get_ready(plugins: registry.Plugins, ready: Callable[[], object] | None) -> None:
    """In a worker: import the plugins, then call ``ready``."""
    registry.register(plugins)
    if ready is not None:
        ready()


def _connect(count: int) -> None:
    import ray

    # Ray would send usage statistics to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # If several jobs fail, we report the first; Ray would print the others' tracebacks.
    os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"
    address = os.environ.get("RAY_ADDRESS", "local")
    try:
        ray.init(
            address, num_cpus=count if address == "local" else None, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise BenchmarkError(
            f"No Ray cluster answers at {address} ({reason}); start it, or unset RAY_ADDRESS to use this machine."
        ) from error


class _Tasks(Executor):
    """Ray tasks behind the interface of a pool of processes."""

    def __init__(self, plugins: registry.Plugins, ready: Callable[[], object] | None, cpus: int, gpus: float) -> None:
        import ray

        most = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes())
        self.task = ray.remote(num_cpus=min(cpus, max(most, 1)), num_gpus=gpus, max_retries=RETRIES)(_do)
        settings = {name: value for name, value in os.environ.items() if name.startswith("BENCHMARK_")}
        self.token = uuid.uuid4().hex
        self.shared = ray.put((os.getcwd(), settings, tuple(map(str, plugins)), pickle.dumps(ready)))

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """See :meth:`Executor.submit`."""
        # Pickled here, because the worker must import the plugin files before it can unpickle their classes.
        return _Result(self.task.remote(self.token, [self.shared], pickle.dumps((function, args, options))))


class _Result(Future[Any]):
    """Waits through Ray, which lends a waiting job's cores to the jobs that it waits for."""

    def __init__(self, reference: Any) -> None:
        super().__init__()
        self.reference = reference

    def result(self, timeout: float | None = None) -> Any:
        """See :meth:`Future.result`."""
        import ray

        return ray.get(self.reference, timeout=timeout)


def _do(token: str, shared: list[Any], job: bytes) -> Any:
    """Do a job in a Ray worker, which may have worked for another engine before."""
    import ray

    global _entered
    if _entered != token:
        folder, settings, plugins, ready = ray.get(shared[0])
        try:
            os.chdir(folder)
        except OSError as error:
            raise BenchmarkError(f"A machine of the Ray cluster has no folder {folder}; let its machines share a file system.") from error
        os.environ.update(settings)
        registry.register(plugins)  # before ``ready`` is unpickled, which may hold instances of their classes
        if (prepare := pickle.loads(ready)) is not None:
            prepare()
        _entered = token
    workers.one_thread()
    function, args, options = pickle.loads(job)
    return function(*args, **options)
