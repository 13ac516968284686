"""The Python API: what ``import benchmark`` offers, which is what the command line does.

Errors are those of the command line: :class:`benchmark.errors.UsageError` for a wrong argument, its base
:class:`benchmark.errors.BenchmarkError` for all else, each with one sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd
    from pytorch_lightning import Callback

    from benchmark.results.comparison_table import Compared
    from benchmark.running.hardware import Hardware
    from benchmark.running.say import Voice

Place = str | Path
"""A path."""


def run(
    algorithm: str, dataset: str, settings: Mapping[str, Any] | None = None, *, seeds: int = 1, output: Place = "runs",
    data_root: Place | None = None, pretrain_roots: Mapping[str, Place] | None = None, cache: Place | None = None,
    workers: int | None = None, plugins: Sequence[Place] = (), logs: Sequence[str] = (), callbacks: Sequence[Callback] = (),
    hardware: Hardware | None = None, engine: Literal["local", "ray"] = "local",
    overwrite: Literal["never", "missing", "always"] = "missing", fast_dev_run: bool = False,
) -> list[Path]:  # fmt: skip
    """Train an algorithm, adapt it to held-out speakers and score it; ``python -m benchmark run``.

    Finished stages are not repeated, and neither is a complete run. The rows join the table of your own runs, ``output/TABLE.csv``.

    Args:
        algorithm: its name, "reptile".
        dataset: its name, "espeak".
        settings: all others, called as on the command line, ``{"preset": "smoke", "shots": [5, 10], "algo.inner_lr": 0.1}``; groups may
            be nested, ``{"algo": {"inner_lr": 0.1}}``.
        seeds: number of runs, with consecutive seeds.
        output: folder of runs.
        data_root: folder of the corpus; None for ``$BENCHMARK_DATA/NAME``.
        pretrain_roots: folders of the datasets in ``pretrain.dataset``, by name.
        cache: folder that runs share; None for ``$BENCHMARK_CACHE`` or the user's cache.
        workers: processes; None for one per core. Above 1, a script needs ``if __name__ == "__main__":`` around this call.
        plugins: files of plugins.
        logs: live logs: "wandb", "tensorboard", "csv".
        callbacks: of Lightning, for the algorithm's own training. They are to watch, and not to change, the training: a run's identity does
            not know them, so its rows are marked ``uncommitted``.
        hardware: devices and precision; None for one GPU if there is one.
        engine: where evaluation's jobs run.
        overwrite: "never" refuses a run that has a result, "missing" does what is missing, "always" starts over.
        fast_dev_run: a quick trial, whose numbers mean nothing; preset smoke unless ``settings`` names one.

    Returns:
        the run folders, one for each seed.

    Raises:
        UsageError: a setting, plugin or combination is wrong.
        BenchmarkError: bad data, a diverging training, a folder that can't be written to.
    """
    from benchmark.plumbing.workers import default_workers
    from benchmark.results.leaderboard import add_own
    from benchmark.running.hardware import Hardware
    from benchmark.running.preparation import cache_folder
    from benchmark.running.run import Places, run_seeds
    from benchmark.settings import tuned_values
    from benchmark.settings.config import flat

    chosen = {**({"preset": "smoke"} if fast_dev_run else {}), **flat(settings or {}), "algo": algorithm, "dataset": dataset}
    words = [f"--{name}={_word(value)}" for name, value in chosen.items()]
    parsed = tuned_values.parse(words, list(map(str, plugins)))
    places = Places(
        Path(output), cache_folder(Path(cache) if cache else None), Path(data_root) if data_root else None, workers or default_workers(),
        tuple(map(Path, plugins)), tuple(logs), engine, hardware or Hardware(),
        {name: Path(root) for name, root in (pretrain_roots or {}).items()}, tuple(callbacks),
    )  # fmt: skip
    places.require()
    folders = run_seeds(parsed, seeds, places, overwrite, fast_dev_run)
    if not places.hardware.rank:
        add_own([folders], Path(output))
    return folders


def _word(value: Any) -> str:
    """A value as the command line has it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def compare(
    *runs: Place, metrics: Sequence[str] = (), shots: int | None = None, steps: int | Literal["curve"] | None = None,
    table: Place | None = None, output: Place = "runs", plugins: Sequence[Place] = (),
) -> Compared:  # fmt: skip
    """Compare runs of two or more algorithms on the same sentences: paired differences, corrected tests; ``python -m benchmark compare``.

    >>> found = compare("finetune", "wrong_speaker", table="espeak", metrics=["mcd"])
    >>> found.frame().columns[:4].tolist()
    ['dataset', 'first', 'second', 'metric']

    Args:
        runs: run folders, or algorithms that have rows in a leaderboard; ``reptile:d37ca7c2`` if one has several configurations.
        metrics: columns of metrics or costs; none for the one that ranks.
        shots: only at so many support sentences.
        steps: only at so many adaptation steps; "curve" for the area under the whole curve.
        table: leaderboard with the algorithms, by name or path; None to look for it.
        output: folder of runs.
        plugins: files of plugins.

    Returns:
        what was found: ``frame()`` is a table of pandas, ``sentences`` are verdicts and what to bear in mind, ``rankings`` the order
        of more than two, ``disagreements`` where columns that measure the same judge differently; ``print`` shows all of it, and
        ``text("latex")`` has it for a paper ("csv" and "json", too).

    Raises:
        UsageError: a run or a column is not found, or they can't be compared.
    """
    from benchmark.results.comparing import compared
    from benchmark.results.comparison import CURVE

    place = None if table is None else str(table)
    at = CURVE if steps == "curve" else steps
    return compared(list(map(str, runs)), metrics, shots, at, place, Path(output), list(map(str, plugins)))


def leaderboard(table: Place) -> pd.DataFrame:
    """A leaderboard as a table of pandas.

    >>> board = leaderboard("espeak")
    >>> board.loc[board["mcd"].idxmin(), "algorithm"]
    'ground_truth'

    Args:
        table: name of a committed one ("speechocean762", "espeak-recognition"), or the path of a CSV file, such as ``runs/espeak.csv``.

    Returns:
        a row for each algorithm, configuration, number of shots and of steps. ``leaderboards/README.md`` defines the columns; counts
        are whole numbers, scores and costs floats (NaN where there is none), all else text.

    Raises:
        UsageError: there is no such table.
        BenchmarkError: the file is no leaderboard.
    """
    from benchmark.results.leaderboard_file import frame
    from benchmark.results.leaderboard_places import table_files

    return frame(table_files(str(table))[0])


def voice(
    recordings: Place, *, model: Place | None = None, run: Place | None = None, cache: Place | None = None, steps: int | None = None,
    budget: float | None = None, language: str = "", plugins: Sequence[Place] = (),
) -> Voice:  # fmt: skip
    """Adapt a trained model to a voice, which then speaks; ``python -m benchmark say``.

    >>> import soundfile
    >>> mine = voice("my_voice", model="model.safetensors")  # doctest: +SKIP
    >>> soundfile.write("out.wav", mine("Good morning."), mine.rate)  # doctest: +SKIP

    Args:
        recordings: a folder of recordings, 1 to 20 sentences, transcripts beside them (hello.wav, hello.txt), or one recording.
        model: a file that ``export`` wrote; without it and ``run``, the model that is shipped.
        run: folder of a finished run, instead.
        cache: of ``run``, the one that it was made with; None for the usual one.
        steps: of adaptation; None for the most that the run was scored at.
        budget: seconds of wall time for them, in which fewer may fit; None for no limit.
        language: espeak-ng voice that reads the transcripts ("de"); "" for the model's own.
        plugins: files of plugins.

    Returns:
        the voice: called with a text, it returns the waveform, float32 in [-1, 1] at ``rate`` Hz; ``write(text, path)`` writes a file
        that is marked as synthesised. ``left_out`` tells which recordings could not be used, and why.

    Raises:
        UsageError: there are no usable recordings, or no such model; or transcripts are missing.
        BenchmarkError: the model is damaged, or adaptation failed.
    """
    from benchmark.data.recordings import read
    from benchmark.running import say
    from benchmark.running.finished import trained_model

    reads = say.reader(language, "language")
    heard, left_out = read(Path(recordings))
    model, run, cache = (Path(place) if place else None for place in (model, run, cache))
    adapted = say.adapt(trained_model("synthesis", model, run, cache, list(map(str, plugins))), heard, steps, budget, reads)
    return replace(adapted, left_out=[*left_out, *adapted.left_out])
