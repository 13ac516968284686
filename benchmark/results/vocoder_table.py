"""Vocoders compared: one row each, from its runs of copy synthesis."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.plugins.registry import Plugins
from benchmark.results.columns import ARROWS, known, shown
from benchmark.results.leaderboard import compute_rows
from benchmark.results.leaderboard_file import metrics_in
from benchmark.results.leaderboard_rules import conflict, refuse
from benchmark.results.leaderboard_table import UNFIT, failed_in, interval
from benchmark.results.result import read_result
from benchmark.settings.config import said

COSTS = ("real_time_factor", "parameters", "training_steps", "training_tflops", "training_seconds")
"""Cost columns of the CSV file; what nobody knows is empty."""
PROVENANCE = (
    "settings", "synthetic", "preset", "device", "precision", "data_version", "manifest_hash", "protocol_version", "metric_versions",
    "run_ids",
)  # fmt: skip


def rows_of(groups: Sequence[Sequence[Path]]) -> list[dict[str, str]]:
    """One row for each group of run folders, which differ only in the seed.

    Raises:
        BenchmarkError: the runs of a group can't be pooled, or those of two groups can't be compared; says which, and why.
    """
    read = [[read_result(folder) for folder in folders] for folders in groups]
    pooled = [_pooled(folders, results) for folders, results in zip(groups, read, strict=True)]
    for row in pooled[1:]:
        if why := conflict(row, pooled[0]):
            raise BenchmarkError(f"{row['run_ids']} can't be compared with {pooled[0]['run_ids']}: they differ in {why}.")
    rows = [_row(row, results) for row, results in zip(pooled, read, strict=True)]
    # Where nothing at all could be verified, there is no eer.
    every = dict.fromkeys((name for row in rows for name in row), "")
    return [every | row for row in rows]


def _pooled(folders: Sequence[Path], results: Sequence[dict[str, Any]]) -> dict[str, str]:
    refuse(folders, results, preliminary=True, local=True)
    (row,) = compute_rows(folders, results)
    return row


def _row(row: dict[str, str], results: Sequence[dict[str, Any]]) -> dict[str, str]:
    costs = [result.get("vocoder_cost") or {"parameters": None, "training": None} for result in results]
    training = [cost["training"] for cost in costs]
    options = {name: value for name, value in results[0]["config"]["vocoder"].items() if name != "name"}
    return {
        **{name: row[name] for name in ("vocoder", "status", "seeds", "speakers")},
        **{f"{name}{end}": row[f"{name}{end}"] for name in metrics_in([row]) for end in ("", "_lo", "_hi", "_failed")},
        "real_time_factor": row["real_time_factor"],
        "parameters": str(parameters) if (parameters := costs[0]["parameters"]) is not None else "",
        "training_steps": _mean(training, "steps", "{:g}"),
        "training_tflops": _mean(training, "flops", "{:.4g}", 1e-12),
        "training_seconds": _mean(training, "seconds", "{:.0f}"),
        **{name: row[name] for name in PROVENANCE},
        "settings": said(options),
    }  # fmt: skip


def _mean(training: Sequence[Mapping[str, float] | None], name: str, form: str, scale: float = 1.0) -> str:
    """The mean over seeds; "" if it is not known of all."""
    known_of = [spent[name] for spent in training if spent]
    return form.format(scale * sum(known_of) / len(known_of)) if len(known_of) == len(training) else ""


def to_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows, at least one, with all their columns."""
    buffer = io.StringIO()
    names = [name for name in rows[0] if name not in (*COSTS, *PROVENANCE)]
    writer = csv.DictWriter(buffer, [*names, *COSTS, *PROVENANCE], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def to_text(rows: Sequence[dict[str, str]], plugins: Plugins = ()) -> str:
    """The rows to read: headline metrics as means ± half the width of their intervals, costs, and notes.

    Args:
        rows: at least one.
        plugins: ``--plugin`` files, for the meanings of their metrics' columns.
    """
    from tabulate import tabulate

    found = known(plugins)
    metrics = shown(metrics_in(rows), found)
    header = [
        "vocoder", "seeds", *(f"{name} {ARROWS[found.higher_is_better(name)]}".strip() for name in metrics),
        "failed", "real-time factor", "parameters", "training TFLOP", "training minutes",
    ]  # fmt: skip
    table = [
        [
            row["vocoder"] + f" ({row['status']})" * (row["status"] != "ok"), row["seeds"], *(interval(row, name) for name in metrics),
            failed_in(row, metrics_in(rows)), row["real_time_factor"] or "-", f"{int(row['parameters']):,}" if row["parameters"] else "-",
            row["training_tflops"] or "-", f"{float(row['training_seconds']) / 60:.1f}" if row["training_seconds"] else "-",
        ]
        for row in rows
    ]  # fmt: skip
    notes = ["Copy synthesis: each vocoder inverts the mels of the test speakers' recordings. ±: half the width of the 95 % interval."]
    if any(failed_in(row, metrics_in(rows)) for row in rows):
        notes.append("failed: the most utterances that any one metric could not score.")
    if any("-" in line for line in table):
        notes.append("-: nothing could be scored, or nobody knows.")
    notes += [f"{status}: {reason}; not to be cited." for status, reason in UNFIT.items() if any(row["status"] == status for row in rows)]
    if any(row["synthetic"] == "true" for row in rows):
        notes.append("synthetic voices: not to be cited as speech.")
    text = tabulate(table, header, tablefmt="simple", disable_numparse=True, colalign=["left"] + ["right"] * (len(header) - 1))
    return "\n".join([text, "", *notes])
