"""Writing ``episodes.csv`` and ``costs.csv`` (:mod:`benchmark.results.episode_tables`), so that a killed run goes on where it stopped."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import write_atomic
from benchmark.plumbing.names import fault
from benchmark.plumbing.words import counted
from benchmark.results.blocks import TAIL, Block, Form, Scan, as_csv, block_of, scan, written
from benchmark.results.episode_tables import (
    COST_COLUMNS,
    COSTS,
    COSTS_FILE,
    EPISODES,
    EPISODES_FILE,
    KEY_COLUMNS,
    TAIL_COLUMNS,
)

DAMAGED = ".damaged"
"""How the names end of copies that are kept of files that were damaged."""


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

    A block is finished if its episodes and its costs are there. Opening a log drops a block that a killed run left half-written,
    and everything from damage on, in either file; a copy of a damaged file is kept. Files of the old form get checksums.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> log = EpisodeLog(folder, ["mcd"])
        >>> log.append([EpisodeRow("p225", 0, 5, 20, "p225_003", {"mcd": 6.5})], [CostRow("p225", 0, 5, 20, 1.5)])
        >>> EpisodeLog(folder, ["mcd"]).done
        {('p225', 0, 5)}

    Args:
        folder: the run folder; made if absent.
        metric_columns: the metrics' columns, in the order they are to be written.
        blocks: all blocks that will be written, in this order; others in the file are damage. Empty: not checked.
        distrusted: blocks to do again, with all after the first of them.

    Attributes:
        done: the blocks that are finished.

    Raises:
        BenchmarkError: the folder can't be read or written to.
    """

    def __init__(
        self, folder: Path, metric_columns: Sequence[str], blocks: Sequence[Block] = (), distrusted: Collection[Block] = ()
    ) -> None:
        self.path, self.costs_path = folder / EPISODES_FILE, folder / COSTS_FILE
        self.metric_columns = tuple(metric_columns)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            header = [*KEY_COLUMNS, *self.metric_columns, *TAIL_COLUMNS]
            episodes = _opened(self.path, EPISODES, header, blocks)
            costs = _opened(self.costs_path, COSTS, [*COSTS.first, *COSTS.last], ())
            finished = _finished(episodes, costs)
            if finished < len(episodes.done):
                lost = counted(len(episodes.done) - finished, "episode")
                print(f"{self.costs_path} lacks costs, so {lost} are done again from the first one on that lacks them.", file=sys.stderr)
            done = list(itertools.takewhile(lambda block: block not in distrusted, episodes.done[:finished]))
            self.done: set[Block] = set(done)
            _keep(self.path, episodes, header, done)
            _keep(self.costs_path, costs, [*COSTS.first, *COSTS.last], done)
        except OSError as error:
            raise _not_written(folder, error) from error

    def append(self, rows: Sequence[EpisodeRow], costs: Sequence[CostRow] = ()) -> None:
        """Write a block and its costs, and return when they are on the disk.

        Args:
            rows: every row of one (speaker, episode, shots), in the order they are to be read.
            costs: of the same block: a row for each number of steps whose adaptation did not fail.

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
        if reason := next(filter(None, (fault(name) for row in rows for name in (row.speaker, row.utterance))), ""):
            raise ValueError(f"a name in the block {block} {reason}")
        if len({(row.steps, row.utterance) for row in rows}) != len(rows):
            raise ValueError(f"the block {block} has two rows for the same steps and utterance")
        if {row.steps for row in rows if "all" not in row.failures} != {cost.steps for cost in costs}:
            raise ValueError(f"the block {block} has costs of other steps than it was adapted for")
        text = written([self._cells(row) for row in rows])
        costs_text = written([[*c.block, c.steps, *(_number(getattr(c, name)) for name in COST_COLUMNS)] for c in costs])
        try:
            # Costs first: opening drops costs without episodes, but would have episodes without costs done again.
            _append(self.costs_path, costs_text)
            _append(self.path, text)
        except OSError as error:
            raise _not_written(self.path.parent, error) from error
        self.done.add(block)

    def _cells(self, row: EpisodeRow) -> list[object]:
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
            int(row.flops), int(row.stored_parameters),
        ]  # fmt: skip


def _opened(path: Path, form: Form, header: list[str], blocks: Sequence[Block]) -> Scan:
    """What can be trusted in a file; if it is damaged, a copy is kept."""
    found = scan(path, form, blocks) if path.is_file() else Scan()
    if found.header and found.header != header:
        found = Scan(damage="row 1 names other columns")
    if found.damage:
        set_aside(path, found.damage)
    return found


def _finished(episodes: Scan, costs: Scan) -> int:
    """The number of leading blocks whose costs are there."""
    measured = {(block_of(record), record[3]) for record in costs.records}
    failures = episodes.header.index("failures") if episodes.header else 0
    lacking = {
        block_of(record) for record in episodes.records
        if "all" not in json.loads(record[failures] or "{}") and (block_of(record), record[3]) not in measured
    }  # fmt: skip
    return next((place for place, block in enumerate(episodes.done) if block in lacking), len(episodes.done))


def _keep(path: Path, found: Scan, header: list[str], done: Sequence[Block]) -> None:
    """Let a file hold these blocks alone, which are its first ones."""
    done = [block for block in done if block in set(found.done)]  # where adaptation failed there are no costs
    if found.header and found.tail == TAIL and found.done[: len(done)] == done:
        if path.stat().st_size > found.ends[len(done)]:
            os.truncate(path, found.ends[len(done)])
        return
    rows: dict[Block, list[list[str]]] = {block: [] for block in done}
    for record in found.records:
        if block_of(record) in rows:
            rows[block_of(record)].append(record)
    text = as_csv([[*header, *TAIL]]) + b"".join(map(written, rows.values()))
    write_atomic(path, lambda temporary: temporary.write_bytes(text))


def set_aside(path: Path, damage: str) -> None:
    """Copy a damaged file to ``*.damaged`` before it is repaired, and say so."""
    aside = path.with_name(path.name + DAMAGED)
    shutil.copyfile(path, aside)
    print(f"{path} is damaged ({damage}); a copy is kept as {aside.name}, and the lost part is done again.", file=sys.stderr)


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
