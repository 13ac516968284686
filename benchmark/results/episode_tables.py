"""Reading ``episodes.csv`` and ``costs.csv``, which :mod:`benchmark.results.episode_log` writes.

``episodes.csv`` holds everything that the same command with the same seed must reproduce byte for byte: one row per
speaker x episode x shots x steps x query utterance. ``costs.csv`` holds what no two runs share: seconds and memory.
Both grow block by block (:mod:`benchmark.results.blocks`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import digest_of_file
from benchmark.results import cells
from benchmark.results.blocks import BLOCK_COLUMNS, TAIL, Form, Scan, is_cut_short, scan

if TYPE_CHECKING:
    import pandas

EPISODES_FILE, COSTS_FILE = "episodes.csv", "costs.csv"
KEY_COLUMNS = (*BLOCK_COLUMNS, "steps", "utterance")
TAIL_COLUMNS = ("trials", "failures", "flops", "stored_parameters")
COST_COLUMNS = ("seconds_to_adapt", "peak_memory_bytes", "real_time_factor")
EPISODES = Form(KEY_COLUMNS, TAIL_COLUMNS, metrics=True, old=TAIL[:1])
COSTS = Form(KEY_COLUMNS[:4], COST_COLUMNS, metrics=False, old=())
REPAIR = "the run's command, given again, repairs it (if it is a copy, restore it)"
"""How sentences about damage end."""


class Contradiction(BenchmarkError):
    """A run's files are whole and disagree.

    Args:
        folder: of the run.
        name: of the file that is not the one that the result was made from.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(f"{folder / 'result.json'} and the {name} beside it disagree; {REPAIR}.")
        self.file = folder / name


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of a run's tables, by name."""
    return {name: digest_of_file(folder / name) for name in (EPISODES_FILE, COSTS_FILE)}


def check_files(folder: Path, result: Mapping[str, Any]) -> None:
    """Check a run's tables against the digests in its result; results of the old form have none.

    Raises:
        Contradiction: one was changed, or is another run's.
        BenchmarkError: one is missing.
    """
    for name, digest in (result.get("files") or {}).items():
        try:
            if digest_of_file(folder / name) != digest:
                raise Contradiction(folder, name)
        except OSError as error:
            raise _unreadable(folder / name, error) from error


def read_episodes(path: Path) -> pandas.DataFrame:
    """Read a finished ``episodes.csv``.

    Args:
        path: the file.

    Returns:
        A frame with the columns ``speaker`` (str), ``episode``, ``shots``, ``steps`` (int), ``utterance`` (str), the
        metrics (float, NaN where not scored), ``trials``, ``failures`` (JSON text or ""), ``flops``, ``stored_parameters`` (int).

    Raises:
        BenchmarkError: it is missing, cut short or damaged.
    """
    import pandas

    found = _whole(path, EPISODES)
    frame = pandas.DataFrame(found.records, columns=found.header)
    return _with_numbers(frame, ("episode", "shots", "steps", "flops", "stored_parameters"), metric_columns(found.header))


def _whole(path: Path, form: Form) -> Scan:
    try:
        found = scan(path, form)
        cut = is_cut_short(path, found)
    except OSError as error:
        raise _unreadable(path, error) from error
    if found.damage:
        raise BenchmarkError(f"{path} is damaged: {found.damage}; {REPAIR}.")
    if cut:
        raise BenchmarkError(f"{path} is cut short: its last episode is incomplete; {REPAIR}.")
    return found


def adapted(episodes: pandas.DataFrame) -> pandas.DataFrame:
    """The rows of an ``episodes.csv`` without failed adaptations, whose costs were not measured."""
    return episodes.loc[["all" not in json.loads(cell or "{}") for cell in episodes["failures"]]]


def _with_numbers(frame: pandas.DataFrame, integers: Sequence[str], floats: Sequence[str]) -> pandas.DataFrame:
    """The frame, with text in these columns read as numbers; NaN for empty text."""
    import pandas

    for column in integers:
        frame[column] = pandas.array([cells.whole(cell) for cell in frame[column]], dtype="int64")
    for column in floats:
        frame[column] = pandas.array([cells.number(cell) for cell in frame[column]], dtype="float64")
    return frame


def read_costs(path: Path) -> pandas.DataFrame:
    """Read ``costs.csv``: ``speaker, episode, shots, steps`` and the columns of :class:`CostRow`, NaN where unmeasured.

    Raises:
        BenchmarkError: it is missing, cut short or damaged.
    """
    import pandas

    found = _whole(path, COSTS)
    return _with_numbers(pandas.DataFrame(found.records, columns=found.header), COSTS.first[1:], COST_COLUMNS)


def metric_columns(header: Sequence[str]) -> list[str]:
    """The metrics' columns among those of ``episodes.csv`` (or of its frame)."""
    return [name for name in header if name not in (*KEY_COLUMNS, *TAIL_COLUMNS, "seed")]


def _unreadable(path: Path, error: OSError) -> BenchmarkError:
    if isinstance(error, FileNotFoundError):
        return BenchmarkError(f"There is no {path}; {REPAIR.replace('repairs', 'makes')}.")
    return BenchmarkError(f"Could not read {path}: {error.strerror or error}.")


def reasons(failures: str, columns: Collection[str]) -> dict[str, str]:
    """Why an utterance was not scored, by column ("all": in every one), from its cell of ``failures``; only of these columns."""
    return {name: str(reason) for name, reason in json.loads(failures or "{}").items() if name == "all" or name in columns}


def commonest_failure(episodes: pandas.DataFrame, columns: Collection[str]) -> str:
    """The commonest reason of failures in these columns, "" if there were none."""
    counts: Counter[str] = Counter()
    for cell in episodes["failures"]:
        counts.update(set(reasons(cell, columns).values()))
    return counts.most_common(1)[0][0] if counts else ""


def failures_in(run: Path) -> str:
    """Why a run's utterances were not scored, in a sentence; "" if all were."""
    episodes = read_episodes(run / EPISODES_FILE)
    lost = int((episodes["failures"] != "").sum())
    if not lost:
        return ""
    reason = commonest_failure(episodes, metric_columns(list(episodes.columns)))
    return f"Not scored in full: {lost} of {len(episodes)} utterances, most often: {reason}; {run / EPISODES_FILE} has all reasons."
