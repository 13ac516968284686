"""Sweeps: every algorithm on every backbone and dataset, with every seed; a failed run does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.progress import progress
from benchmark.running.checks import check_fit, with_metrics
from benchmark.running.engines import elsewhere, engine
from benchmark.running.run import Places, run
from benchmark.settings.config import read_preset
from benchmark.settings.schema import RunSettings


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: its folder, or None and one sentence that says why it failed."""

    settings: RunSettings
    folder: Path | None
    error: str = ""


def name_of(settings: RunSettings) -> str:
    """A run's place in the grid, in words; the vocoder is named if it is not the preset's."""
    usual = read_preset(settings.preset).get("vocoder", RunSettings.vocoder.name)
    vocoder = f" with {settings.vocoder.name}" * (settings.vocoder.name != usual)
    return f"{settings.algo.name} on {settings.backbone.name}{vocoder}, {settings.dataset.name}, seed {settings.seed}"


def fitting(grid: Sequence[RunSettings], plugins: registry.Plugins) -> tuple[list[RunSettings], list[str]]:
    """The runs whose plugins fit together, with their metrics; and a sentence about everything left out.

    Raises:
        UsageError: no run's plugins fit together.
    """
    kept, said = [], []
    for settings in grid:
        try:
            filled, note = with_metrics(settings, plugins)
            check_fit(filled, plugins)
        except UsageError as error:
            said.append(f"Left out: {settings.algo.name} on {settings.backbone.name}, {settings.dataset.name}: {error}")
        else:
            kept.append(filled)
            said += [note] if note else []
    said = list(dict.fromkeys(said))
    if not kept:
        raise UsageError(f"No combination of the sweep fits together. {' '.join(said)}")
    return kept, said


def sweep(runs: Sequence[RunSettings], places: Places, overwrite: str = "missing") -> Iterator[Outcome]:
    """Do the runs: one after another on the local engine, each as a task on Ray, repeated if its worker is killed.

    Args:
        runs: whose plugins fit together.
        places: where; simultaneous runs may share all of it.
        overwrite: as for :func:`benchmark.running.run.run`.

    Yields:
        the outcome of each run, in the order given.
    """
    if places.engine == "local":
        for number, settings in enumerate(runs, 1):
            print(f"Run {number} of {len(runs)}: {name_of(settings)}", flush=True)
            yield _attempt(settings, places, overwrite)
        return
    on_gpu = places.hardware.device == "cuda" or (places.hardware.accelerator == "gpu" and elsewhere(places.engine))
    # A task that waits for its subtasks lends them its cores, but not its GPUs.
    inner = replace(places, engine="local" if on_gpu else "ray")
    cpus, gpus = max(settings.threads for settings in runs), places.hardware.devices if on_gpu else 0
    with engine("ray", places.workers, places.plugins, cpus=cpus, gpus=gpus) as tasks, progress("Runs", len(runs)) as show:
        waiting = [tasks.submit(_attempt, settings, inner, overwrite) for settings in runs]
        for number, (settings, task) in enumerate(zip(runs, waiting, strict=True), 1):
            try:
                outcome = task.result()
            except Exception as error:
                # The run's own errors come back as an outcome, so this is a failure of its worker.
                outcome = Outcome(settings, None, f"Ray gave up on it ({_first_line(error)}); run the same command again.")
            show(number)
            yield outcome


def _attempt(settings: RunSettings, places: Places, overwrite: str) -> Outcome:
    try:
        places.hardware.require()  # of the machine that it came to
        return Outcome(settings, run(settings, places, overwrite))
    except BenchmarkError as error:
        return Outcome(settings, None, " ".join(str(error).split()))
    except Exception as error:
        # A plugin's own error must not stop the runs of other plugins.
        return Outcome(settings, None, f"Unexpected {type(error).__name__}: {_first_line(error)} (`run` with --debug shows the traceback).")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
