"""``episodes.csv`` and ``costs.csv``: what a run measured, written so that a killed run continues where it stopped.

``episodes.csv`` holds everything that the same command with the same seed must reproduce byte for byte: one row per
speaker x episode x shots x steps x query utterance. ``costs.csv`` holds what no two runs share: seconds and memory.

Rows arrive in *blocks*, one block per (speaker, episode, shots). Each row ends with its block's size, so a reader
knows a whole block from one that ``kill -9`` cut short.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
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

Block = tuple[str, int, int]
"""(speaker, episode, shots): what is finished, or not, as a whole."""


@dataclass(frozen=True)
class EpisodeRow:
    """One query utterance, spoken by a model adapted on ``shots`` utterances for ``steps`` steps.

    Attributes:
        speaker: whose voice.
        episode: its index among the speaker's episodes, from 0.
        shots: support utterances.
        steps: adaptation steps.
        utterance: the query's id.
        metrics: one value per metric column; NaN where it can't be scored.
        failures: for each column that is NaN, why; a reason that holds for all of them may stand under "all".
        trials: of speaker verification, by the name of the equal error rate (:meth:`benchmark.metric.Metric.trials`).
        flops: floating-point operations spent on adapting (0 at 0 steps).
        stored_parameters: numbers to keep for this speaker beside the shared model.
    """

    speaker: str
    episode: int
    shots: int
    steps: int
    utterance: str
    metrics: Mapping[str, float]
    failures: Mapping[str, str] = field(default_factory=dict)
    trials: Mapping[str, Sequence[float]] = field(default_factory=dict)
    flops: int = 0
    stored_parameters: int = 0

    @property
    def block(self) -> Block:
        """The block that this row belongs to."""
        return self.speaker, self.episode, self.shots


@dataclass(frozen=True)
class CostRow:
    """What adapting took on this machine; NaN where it was not measured.

    Attributes:
        speaker, episode, shots, steps: as in :class:`EpisodeRow`.
        seconds_to_adapt: wall time from the support set to the adapted model.
        peak_memory_bytes: most memory in use at once while adapting, beyond what was in use before (:mod:`benchmark.meter`).
        real_time_factor: seconds of computing per second of speech synthesised.
    """

    speaker: str
    episode: int
    shots: int
    steps: int
    seconds_to_adapt: float = math.nan
    peak_memory_bytes: float = math.nan
    real_time_factor: float = math.nan

    @property
    def block(self) -> Block:
        """The block that this row belongs to."""
        return self.speaker, self.episode, self.shots


class EpisodeLog:
    """Appends finished blocks to a run folder's two files; opening one drops what a killed run left half-written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> log = EpisodeLog(folder, ["mcd"])
        >>> log.append([EpisodeRow("p225", 0, 5, 20, "p225_003", {"mcd": 6.5})])
        >>> EpisodeLog(folder, ["mcd"]).done
        {('p225', 0, 5)}

    Args:
        folder: the run folder; made if absent.
        metric_columns: the metrics' columns, in the order they are to be written.

    Attributes:
        done: the blocks that are finished.

    Raises:
        BenchmarkError: the folder can't be written to, or ``episodes.csv`` there has other columns or is damaged
            elsewhere than at its end.
    """

    def __init__(self, folder: Path, metric_columns: Sequence[str]) -> None:
        self.path, self.costs_path = folder / EPISODES_FILE, folder / COSTS_FILE
        self.metric_columns = tuple(metric_columns)
        self.done: set[Block] = set()
        header = [*KEY_COLUMNS, *self.metric_columns, *TAIL_COLUMNS]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open_episodes(header)
            self._open_costs([*KEY_COLUMNS[:4], *COST_COLUMNS])
        except OSError as error:
            raise _not_written(folder, error) from error

    def append(self, rows: Sequence[EpisodeRow], costs: Sequence[CostRow] = ()) -> None:
        """Write a block and its costs, and return when they are on the disk.

        Args:
            rows: every row of one (speaker, episode, shots), in the order they are to be read.
            costs: of the same block.

        Raises:
            ValueError: the rows are not one block, or the block is already there, or a metric is missing.
            BenchmarkError: the disk is full or the folder has become unwritable.
        """
        blocks = {row.block for row in rows} | {cost.block for cost in costs}
        if not rows or len(blocks) != 1:
            raise ValueError(f"append() takes the rows of one (speaker, episode, shots), got {sorted(blocks)}")
        block = blocks.pop()
        if block in self.done:
            raise ValueError(f"the block {block} is already in {self.path}")
        if len({(row.steps, row.utterance) for row in rows}) != len(rows):
            raise ValueError(f"the block {block} has two rows for the same steps and utterance")
        text = _csv([self._cells(row, len(rows)) for row in rows])
        costs_text = _csv(
            [[c.speaker, c.episode, c.shots, c.steps, *(_number(getattr(c, name)) for name in COST_COLUMNS)] for c in costs]
        )
        try:
            # Costs first: costs without their episodes are dropped on opening, episodes without costs would stay so.
            _append(self.costs_path, costs_text)
            _append(self.path, text)
        except OSError as error:
            raise _not_written(self.path.parent, error) from error
        self.done.add(block)

    def _cells(self, row: EpisodeRow, block_rows: int) -> list[object]:
        if set(row.metrics) != set(self.metric_columns):
            raise ValueError(f"a row has the metrics {sorted(row.metrics)}, its file {sorted(self.metric_columns)}")
        failures = {name: " ".join(reason.split()) for name, reason in row.failures.items()}
        for name, value in row.metrics.items():
            if math.isinf(value):
                failures.setdefault(name, "the score is infinite")
            elif math.isnan(value) and "all" not in failures:
                failures.setdefault(name, "no reason given")
        trials = {name: [round(score, 5) for score in scores] for name, scores in row.trials.items()}
        return [
            *row.block, row.steps, row.utterance, *(_number(row.metrics[name]) for name in self.metric_columns),
            json.dumps(trials, sort_keys=True, separators=(",", ":")) if trials else "",
            json.dumps(failures, sort_keys=True, ensure_ascii=False) if failures else "",
            int(row.flops), int(row.stored_parameters), block_rows,
        ]  # fmt: skip

    def _open_episodes(self, header: list[str]) -> None:
        first = _csv([header])
        if not self.path.is_file() or len(self.path.read_bytes()) < len(first):
            self.path.write_bytes(first)
            return
        found, records, end = _scan(self.path)
        if found != header:
            raise BenchmarkError(
                f"{self.path} was written with other columns ({_difference(header, found)}); delete the run folder to start again."
            )
        self.done = {_block(record) for record in records}
        os.truncate(self.path, end)

    def _open_costs(self, header: list[str]) -> None:
        """Keep the costs of finished blocks; those of a block that was not finished will be measured again."""
        kept: list[list[str]] = []
        if self.costs_path.is_file():
            kept = [r for r, _ in _records(self.costs_path) if len(r) == len(header) and r != header]
            kept = [record for record in kept if (record[0], int(record[1]), int(record[2])) in self.done]
        text = _csv([header, *kept])
        if not self.costs_path.is_file() or self.costs_path.read_bytes() != text:
            temporary = self.costs_path.with_suffix(".tmp")
            temporary.write_bytes(text)
            temporary.replace(self.costs_path)


def read_episodes(path: Path) -> pandas.DataFrame:
    """Read a finished ``episodes.csv``.

    Args:
        path: the file.

    Returns:
        A frame with the columns ``speaker`` (str), ``episode``, ``shots``, ``steps`` (int), ``utterance`` (str), the
        metrics (float, NaN where not scored), ``trials``, ``failures`` (JSON text or ""), ``flops``, ``stored_parameters`` (int).

    Raises:
        BenchmarkError: it is missing, cut short, lacks a column, or a cell is not what its column holds.
    """
    import pandas

    try:
        header, records, end = _scan(path)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise BenchmarkError(f"There is no {path}; run the benchmark again to make it.") from error
    except OSError as error:
        raise BenchmarkError(f"Could not read {path}: {error.strerror or error}.") from error
    if end != size:
        raise BenchmarkError(f"{path} is cut short: its last episode is incomplete; run the same command again to finish it.")
    metrics = metric_columns(header)
    frame = pandas.DataFrame(records, columns=header).drop(columns="block_rows")
    for column in ("episode", "shots", "steps", "flops", "stored_parameters", *metrics):
        kind = float if column in metrics else int
        values = []
        for line, cell in enumerate(frame[column], start=2):
            try:
                values.append(math.nan if kind is float and cell == "" else kind(cell))
            except ValueError as error:
                raise BenchmarkError(
                    f"{path}, row {line}: {column} is {cell!r}, which is not a number; the file was changed by hand: run again."
                ) from error
        frame[column] = pandas.array(values, dtype="float64" if kind is float else "int64")
    if frame.duplicated(list(KEY_COLUMNS)).any():
        raise BenchmarkError(f"{path} has two rows for the same speaker, episode, shots, steps and utterance; run again.")
    return frame


def read_costs(path: Path) -> pandas.DataFrame:
    """Read ``costs.csv``: ``speaker, episode, shots, steps`` and the columns of :class:`CostRow`, NaN where unmeasured.

    Raises:
        BenchmarkError: it is missing or unreadable.
    """
    import pandas

    try:
        frame = pandas.read_csv(path, dtype={"speaker": str}, keep_default_na=False, na_values={c: [""] for c in COST_COLUMNS})
        integers = {"episode": "int64", "shots": "int64", "steps": "int64"}
        return frame.astype({**integers, **dict.fromkeys(COST_COLUMNS, "float64")})
    except FileNotFoundError as error:
        raise BenchmarkError(f"There is no {path}; run the benchmark again to make it.") from error
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(f"{path} can't be read ({error}); run the benchmark again to make it.") from error


def metric_columns(header: Sequence[str]) -> list[str]:
    """The metrics' columns among those of ``episodes.csv`` (or of its frame)."""
    return [name for name in header if name not in KEY_COLUMNS and name not in TAIL_COLUMNS and name != "seed"]


def _scan(path: Path) -> tuple[list[str], list[list[str]], int]:
    """Header, records of whole blocks, and the byte where the last whole block ends.

    Raises:
        BenchmarkError: no header, or a block that is incomplete though others follow.
    """
    stream = _records(path)
    header, end = next(stream, ([], 0))
    missing = [name for name in (*KEY_COLUMNS, *TAIL_COLUMNS) if name not in header]
    if missing:
        raise BenchmarkError(f"{path} lacks the column {missing[0]!r}; it is no list of episodes: run the benchmark again.")
    if tuple(header[: len(KEY_COLUMNS)]) != KEY_COLUMNS or tuple(header[-len(TAIL_COLUMNS) :]) != TAIL_COLUMNS:
        raise BenchmarkError(f"{path} has its columns in another order; it was changed by hand: run the benchmark again.")
    records: list[list[str]] = []
    block: list[list[str]] = []
    for line, (record, offset) in enumerate(stream, start=2):
        damaged = f"{path}, row {line}, does not fit the rows before it; the file was changed by hand: run the benchmark again."
        if len(record) != len(header):
            raise BenchmarkError(damaged)
        try:
            key, size = _block(record), int(record[-1])
        except ValueError as error:
            raise BenchmarkError(damaged) from error
        if block and (key != _block(block[0]) or record[-1] != block[0][-1]):
            raise BenchmarkError(damaged)
        block.append(record)
        if len(block) == size:
            records += block
            block, end = [], offset
    return header, records, end


def _block(record: Sequence[str]) -> Block:
    return record[0], int(record[1]), int(record[2])


def _records(path: Path) -> Iterator[tuple[list[str], int]]:
    """CSV records and the byte after each; a last one without its line end is dropped."""
    offset = 0

    def lines() -> Iterator[str]:
        nonlocal offset
        with path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield line.decode("utf-8", "surrogateescape")

    reader = csv.reader(lines(), strict=True)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if offset == path.stat().st_size or "unexpected end" in str(error):
                return  # a quoted cell was cut inside
            raise BenchmarkError(f"{path} is damaged ({error}); delete it and run again.") from error
        yield record, offset


def _csv(records: Sequence[Sequence[object]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerows(records)
    return stream.getvalue().encode("utf-8", "surrogateescape")


def _number(value: float) -> str:
    """The shortest text that reads back as the same float; empty where there is no finite value."""
    return repr(float(value)) if math.isfinite(value) else ""


def _append(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as stream:
        view = memoryview(data)
        while view:
            view = view[stream.write(view) :]
        os.fsync(stream.fileno())


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    missing, extra = [c for c in expected if c not in found], [c for c in found if c not in expected]
    return "; ".join(
        [f"it lacks {', '.join(missing)}"] * bool(missing) + [f"it has {', '.join(extra)}"] * bool(extra)
    ) or "in another order"


def _not_written(folder: Path, error: OSError) -> BenchmarkError:
    return BenchmarkError(
        f"Could not write to {folder}: {error.strerror or error}; choose an output folder that is writable and has space."
    )
