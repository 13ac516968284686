"""The Python API: what ``import benchmark`` offers, which is what the command line does.

Errors are those of the command line: :class:`benchmark.errors.UsageError` for a wrong argument, its base
:class:`benchmark.errors.BenchmarkError` for all else, each with one sentence that says what to do.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from benchmark.cli import Parser
from benchmark.commands import compare as compare_command
from benchmark.commands import run as run_command
from benchmark.commands import say as say_command
from benchmark.errors import UsageError

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
    from benchmark.results.leaderboard import add_own
    from benchmark.running.hardware import Hardware
    from benchmark.running.run import run_seeds
    from benchmark.settings import tuned_values
    from benchmark.settings.config import flat

    chosen = {**({"preset": "smoke"} if fast_dev_run else {}), **flat(settings or {}), "algo": algorithm, "dataset": dataset}
    args = _read(
        run_command.add_arguments, seeds=seeds, output=output, data_root=data_root, cache=cache, workers=workers, engine=engine,
        overwrite=overwrite, plugin=plugins,
    )  # fmt: skip
    parsed = tuned_values.parse([f"--{name}={_word(value)}" for name, value in chosen.items()], args.plugin)
    places = replace(
        run_command.places(args, hardware or Hardware()), logs=tuple(_several(logs)), callbacks=tuple(callbacks),
        pretrain_roots={name: Path(root) for name, root in (pretrain_roots or {}).items()},
    )  # fmt: skip
    places.require()
    folders = run_seeds(parsed, args.seeds, places, args.overwrite, fast_dev_run)
    if not places.hardware.rank:
        add_own([folders], args.output)
    return folders


class _Arguments(Parser):
    """Words its errors as Python has it."""

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message, without the dashes."""
        named = re.sub(r"^argument (?:-\w/)?--([\w-]+): ", lambda found: f"{found[1].replace('-', '_')} ", message)
        raise UsageError(f"{named.rstrip('.')}.")


def _read(declare: Callable[[argparse.ArgumentParser], None], *positional: Place, **given: Any) -> argparse.Namespace:
    """Arguments as the command reads them, so that both refuse the same values.

    Args:
        declare: the command's options.
        positional: arguments without a name.
        given: the others; None and empty collections are not passed.

    Raises:
        UsageError: one is wrong.
    """
    parser = _Arguments()
    declare(parser)
    parser.add_argument("--plugin", action="append", default=[])
    words = [f"--plugin={each}" for each in _several(given.pop("plugin", ()))]
    for name, value in given.items():
        if isinstance(value, str) and not value:
            raise UsageError(f"{name} has no value: '' is none.")
        if value is not None and value not in ((), []):
            words.append(f"--{name.replace('_', '-')}={_word(value)}")
    return parser.parse_args([*words, *(["--", *map(str, positional)] if positional else [])])


def _several(values: Any) -> list[Any]:
    """One or several, as a list: a text is one."""
    return [values] if isinstance(values, str | Path) else list(values)


def _word(value: Any) -> str:
    """A value as the command line has it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def compare(
    *runs: Place, metrics: str | Sequence[str] = (), shots: int | None = None, steps: int | Literal["curve"] | None = None,
    table: Place | None = None, output: Place = "runs", plugins: Sequence[Place] = (),
) -> Compared:  # fmt: skip
    """Compare runs of two or more algorithms on the same sentences: paired differences, corrected tests; ``python -m benchmark compare``.

    >>> found = compare("finetune", "wrong_speaker", table="espeak", metrics=["mcd"])
    >>> found.frame().columns[:4].tolist()
    ['dataset', 'first', 'second', 'metric']

    Args:
        runs: run folders, or algorithms that have rows in a leaderboard; ``reptile:d37ca7c2`` for another configuration
            than the most tuned one.
        metrics: a column of a metric or a cost, or several; none for the one that ranks.
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
    return compare_command.comparison(_read(
        compare_command.add_arguments, *runs, metrics=metrics, shots=shots, steps=steps, table=table, output=output, plugin=plugins
    ))  # fmt: skip


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
    budget: float | str | None = None, language: str = "", plugins: Sequence[Place] = (),
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
        budget: seconds of wall time for them, or "500ms", "2min", in which fewer may fit; None for no limit.
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

    args = _read(
        say_command.add_adaptation, voice=recordings, model=model, run=run, cache=cache, steps=steps, budget=budget,
        language=language or None, plugin=plugins,
    )  # fmt: skip
    reads = say.reader(args.language, "language")
    heard, left_out = read(args.voice)
    model_used = trained_model("synthesis", args.model, args.folder, args.cache, args.plugin)
    adapted = say.adapt(model_used, heard, args.steps, args.budget, reads)
    return replace(adapted, left_out=[*left_out, *adapted.left_out])
