"""Reading ``episodes.csv`` and ``costs.csv``, which :mod:`benchmark.results.episode_log` writes.

``episodes.csv`` holds everything that the same command with the same seed must reproduce byte for byte: one row per
speaker x episode x shots x steps x query utterance. ``costs.csv`` holds what no two runs share: seconds and memory.

Rows stand in *blocks*, one block per (speaker, episode, shots). Each row ends with its block's size, so a reader
knows a whole block from one that ``kill -9`` cut short.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import BenchmarkError

if TYPE_CHECKING:
    import pandas

EPISODES_FILE, COSTS_FILE = "episodes.csv", "costs.csv"
KEY_COLUMNS = ("speaker", "episode", "shots", "steps", "utterance")
TAIL_COLUMNS = ("trials", "failures", "flops", "stored_parameters", "block_rows")
COST_COLUMNS = ("seconds_to_adapt", "peak_memory_bytes", "real_time_factor")
COST_HEADER = (*KEY_COLUMNS[:4], *COST_COLUMNS)
REPAIR = "the run's command, given again, repairs it (if it is a copy, restore it)"
"""How sentences about damage end."""

Block = tuple[str, int, int]
"""(speaker, episode, shots): the unit that is finished as a whole or not at all."""


@dataclass
class Scan:
    """What a file holds before its end or its first damage.

    Attributes:
        header: names of the columns; empty if not even the header is whole.
        records: the rows of whole blocks.
        done: those blocks.
        end: the byte where the last whole block ends.
        damage: the first bad row and what is wrong with it; empty if none is bad, though the last block may be cut short.
    """

    header: list[str] = field(default_factory=list)
    records: list[list[str]] = field(default_factory=list)
    done: list[Block] = field(default_factory=list)
    end: int = 0
    damage: str = ""


def scan(path: Path, blocks: Sequence[Block] = ()) -> Scan:
    """Read an ``episodes.csv`` as far as it can be trusted.

    Args:
        path: the file.
        blocks: the blocks that belong in it, in this order; empty: any.

    Raises:
        OSError: it can't be read.
    """
    found = Scan()
    block: list[list[str]] = []
    for number, (line, offset) in enumerate(_lines(path), 1):
        try:
            record = _parsed(line)
            if not found.header:
                found.header, found.end = _checked_header(record), offset
                continue
            key, size = _checked(record, found.header, block)
            if not block and key in found.done:
                raise ValueError("repeats an episode")
            if not block and blocks and (len(found.done) == len(blocks) or key != blocks[len(found.done)]):
                raise ValueError("is of an episode that does not belong there")
        except ValueError as error:
            found.damage = f"row {number} {error}"
            return found
        block.append(record)
        if len(block) == size:
            found.records += block
            found.done.append(key)
            found.end, block = offset, []
    return found


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Lines and the byte after each; drops a last line without its end, as ``kill -9`` leaves it."""
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                offset += len(line)
                yield line, offset


def _parsed(line: bytes) -> list[str]:
    """A line's cells; the writer ensures that none holds a line break."""
    try:
        return next(csv.reader([line.decode("utf-8", "surrogateescape")], strict=True))
    except csv.Error as error:
        raise ValueError(f"is not CSV ({error})") from error


def _checked_header(record: list[str]) -> list[str]:
    for name in (*KEY_COLUMNS, *TAIL_COLUMNS):
        if name not in record:
            raise ValueError(f"lacks the column {name!r}")
    if tuple(record[: len(KEY_COLUMNS)]) != KEY_COLUMNS or tuple(record[-len(TAIL_COLUMNS) :]) != TAIL_COLUMNS:
        raise ValueError("has its columns in another order")
    return record


def _checked(record: list[str], header: list[str], block: list[list[str]]) -> tuple[Block, int]:
    """The record's block and that block's size, if the record may follow the rows of ``block``."""
    if len(record) != len(header):
        raise ValueError(f"has {len(record)} cells, not {len(header)}")
    for name, cell in zip(header, record, strict=True):
        try:
            if name in ("trials", "failures"):
                if cell and not isinstance(json.loads(cell), dict):
                    raise ValueError
            elif name not in ("speaker", "utterance"):
                int(cell) if name in KEY_COLUMNS or name in TAIL_COLUMNS else float(cell or math.nan)
        except ValueError as error:
            kind = "JSON" if name in ("trials", "failures") else "a number"
            raise ValueError(f"has {cell[:40]!r} as {name}, which is not {kind}") from error
    key, size = block_of(record), int(record[-1])
    if size < 1 or (block and (key != block_of(block[0]) or record[-1] != block[0][-1])):
        raise ValueError("does not fit the rows before it")
    if any(record[3:5] == other[3:5] for other in block):
        raise ValueError("repeats a row's steps and utterance")
    return key, size


def block_of(record: Sequence[str]) -> Block:
    """The block of a record of either file."""
    return record[0], int(record[1]), int(record[2])


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

    try:
        found = scan(path)
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if found.damage:
        raise BenchmarkError(f"{path} is damaged: {found.damage}; {REPAIR}.")
    if found.end != size or not found.header:
        raise BenchmarkError(f"{path} is cut short: its last episode is incomplete; {REPAIR}.")
    frame = pandas.DataFrame(found.records, columns=found.header).drop(columns="block_rows")
    return _with_numbers(frame, ("episode", "shots", "steps", "flops", "stored_parameters"), metric_columns(found.header))


def adapted(episodes: pandas.DataFrame) -> pandas.DataFrame:
    """The rows of an ``episodes.csv`` without failed adaptations, whose costs were not measured."""
    return episodes.loc[["all" not in json.loads(cell or "{}") for cell in episodes["failures"]]]


def _with_numbers(frame: pandas.DataFrame, integers: Sequence[str], floats: Sequence[str]) -> pandas.DataFrame:
    """The frame, with text in these columns read as numbers; NaN for empty text."""
    import pandas

    for column in integers:
        frame[column] = pandas.array([int(cell) for cell in frame[column]], dtype="int64")
    for column in floats:
        frame[column] = pandas.array([float(cell or math.nan) for cell in frame[column]], dtype="float64")
    return frame


def scan_costs(path: Path) -> tuple[list[list[str]], bool]:
    """The readable records of a ``costs.csv``, and whether they are all of it.

    Raises:
        OSError: it can't be read.
    """
    records, end, whole = [], 0, True
    for number, (line, offset) in enumerate(_lines(path)):
        end = offset
        try:
            record = _parsed(line)
            if len(record) != len(COST_HEADER) or (number == 0 and tuple(record) != COST_HEADER):
                raise ValueError("not a row of costs")
            if number:
                block_of(record), int(record[3]), [float(cell or math.nan) for cell in record[4:]]
                records.append(record)
        except ValueError:
            whole = False
    return records, whole and 0 < end == path.stat().st_size


def read_costs(path: Path) -> pandas.DataFrame:
    """Read ``costs.csv``: ``speaker, episode, shots, steps`` and the columns of :class:`CostRow`, NaN where unmeasured.

    Raises:
        BenchmarkError: it is missing or damaged.
    """
    import pandas

    try:
        records, whole = scan_costs(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not whole:
        raise BenchmarkError(f"{path} is damaged; {REPAIR}.")
    frame = pandas.DataFrame(records, columns=[*COST_HEADER])
    return _with_numbers(frame, COST_HEADER[1:4], COST_COLUMNS)


def metric_columns(header: Sequence[str]) -> list[str]:
    """The metrics' columns among those of ``episodes.csv`` (or of its frame)."""
    return [name for name in header if name not in KEY_COLUMNS and name not in TAIL_COLUMNS and name != "seed"]


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
