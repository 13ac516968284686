"""Writing ``episodes.csv`` and ``costs.csv`` (:mod:`benchmark.results.episode_tables`), so that a killed run goes on where it stopped."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import write_atomic
from benchmark.results.episode_tables import (
    COST_COLUMNS,
    COST_HEADER,
    COSTS_FILE,
    EPISODES_FILE,
    KEY_COLUMNS,
    TAIL_COLUMNS,
    Block,
    Scan,
    block_of,
    scan,
    scan_costs,
)


@dataclass(frozen=True)
class EpisodeRow:
    """One query utterance, spoken by a model adapted on ``shots`` utterances for ``steps`` steps.

    Attributes:
        speaker: the target.
        episode: its index among the speaker's episodes, from 0.
        shots: support utterances.
        steps: adaptation steps.
        utterance: the query's id.
        metrics: one value per metric column; NaN if it can't be scored.
        failures: the reason for each NaN column; a reason for all of them may stand under "all".
        trials: scores of speaker verification, by the name of the equal error rate (:meth:`benchmark.metric.Metric.trials`).
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
    """What adaptation and synthesis took on this machine; NaN if not measured.

    Attributes:
        speaker, episode, shots, steps: as in :class:`EpisodeRow`.
        seconds_to_adapt: wall time from the support set to the adapted model.
        peak_memory_bytes: most memory in use at once while adapting, beyond what was in use before (:mod:`benchmark.running.meter`).
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
    """Appends finished blocks to a run folder's two files.

    Opening a log drops a block that a killed run left half-written, and everything from damage on; a copy of a damaged file
    is kept.

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
        blocks: all blocks that will be written, in this order; others in the file are damage. Empty: not checked.

    Attributes:
        done: the blocks that are finished.

    Raises:
        BenchmarkError: the folder can't be read or written to.
    """

    def __init__(self, folder: Path, metric_columns: Sequence[str], blocks: Sequence[Block] = ()) -> None:
        self.path, self.costs_path = folder / EPISODES_FILE, folder / COSTS_FILE
        self.metric_columns = tuple(metric_columns)
        self.done: set[Block] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open_episodes([*KEY_COLUMNS, *self.metric_columns, *TAIL_COLUMNS], blocks)
            self._open_costs()
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
        if any("\n" in name for row in rows for name in (row.speaker, row.utterance)):
            raise ValueError(f"the block {block} has a line break in a name")
        if len({(row.steps, row.utterance) for row in rows}) != len(rows):
            raise ValueError(f"the block {block} has two rows for the same steps and utterance")
        text = _csv([self._cells(row, len(rows)) for row in rows])
        costs_text = _csv(
            [[c.speaker, c.episode, c.shots, c.steps, *(_number(getattr(c, name)) for name in COST_COLUMNS)] for c in costs]
        )
        try:
            # Costs first: opening drops costs without episodes, but episodes without costs would never get any.
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

    def _open_episodes(self, header: list[str], blocks: Sequence[Block]) -> None:
        found = scan(self.path, blocks) if self.path.is_file() else Scan()
        if found.header and found.header != header:
            found = Scan(damage="row 1 names other columns")
        if found.damage:
            set_aside(self.path, found.damage)
        if found.end:
            os.truncate(self.path, found.end)
        else:
            self.path.write_bytes(_csv([header]))
        self.done = set(found.done)

    def _open_costs(self) -> None:
        """Keep the costs of finished blocks; those of unfinished ones will be measured again."""
        found = scan_costs(self.costs_path)[0] if self.costs_path.is_file() else []
        text = _csv([COST_HEADER, *(record for record in found if block_of(record) in self.done)])
        if not self.costs_path.is_file() or self.costs_path.read_bytes() != text:
            write_atomic(self.costs_path, lambda path: path.write_bytes(text))


def set_aside(path: Path, damage: str) -> None:
    """Copy a damaged file to ``*.damaged`` before it is repaired, and say so."""
    aside = path.with_name(f"{path.name}.damaged")
    shutil.copyfile(path, aside)
    print(f"{path} is damaged ({damage}); a copy is kept as {aside.name}, and the lost part is done again.", file=sys.stderr)


def _csv(records: Sequence[Sequence[object]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerows(records)
    return stream.getvalue().encode("utf-8", "surrogateescape")


def _number(value: float) -> str:
    """The shortest text that reads back as the same float; empty if the value is not finite."""
    return repr(float(value)) if math.isfinite(value) else ""


def _append(path: Path, data: bytes) -> None:
    with path.open("ab", buffering=0) as stream:
        view = memoryview(data)
        while view:
            view = view[stream.write(view) :]
        os.fsync(stream.fileno())


def _not_written(folder: Path, error: OSError) -> BenchmarkError:
    return BenchmarkError(
        f"Could not write to {folder}: {error.strerror or error}; choose an output folder that is writable and has space."
    )
