"""Leaderboards as text to read, for papers and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.plugins.registry import Plugins
from benchmark.results import latex
from benchmark.results.columns import ARROWS, KnownColumns, known, shown
from benchmark.results.costs import COSTS, brief
from benchmark.results.leaderboard_against import with_difference
from benchmark.results.leaderboard_file import metrics_in, read
from benchmark.results.leaderboard_names import configurations, names
from benchmark.results.leaderboard_rules import SETTING, marks_of, problem_of, role_of
from benchmark.results.leaderboard_selection import ordered, selected

STYLES = {"table": "simple", "md": "github", "latex": "", "csv": ""}
"""Formats, and tabulate's names for those that it writes."""
UNFIT = {
    "preliminary": "fewer than three seeds", "limited": "not all test speakers",
    "trial": "a quick trial (--fast-dev-run), which shows that everything works, and whose numbers mean nothing",
    "uncommitted": "made from changed or unknown code, or with a plugin from elsewhere",
}  # fmt: skip
"""Why rows must not be cited, by status."""


def show(
    path: Path, shots: int | None = None, steps: int | None = None, style: str = "table", run_ids: Collection[str] | None = None,
    metrics: Sequence[str] = (), sort: str = "", plugins: Plugins = (), beside: Collection[str] = (), where: Sequence[str] = (),
    against: str = "",
) -> str:  # fmt: skip
    """A leaderboard as text: means ± half the width of their intervals, then notes that a reader needs.

    Args:
        path: the CSV file.
        shots, steps: only rows with these numbers. Algorithms without a support set (0 shots) or adaptation steps (0 steps only)
            have one value for all, and are always shown.
        style: one of ``STYLES``.
        run_ids: only rows made from these runs.
        metrics: columns of metrics and costs to show; empty: the headline columns, which fit a terminal's width; "all": all of metrics.
        sort: column to sort by, ascending, or descending with a "-" before it; citable rows stay first.
        plugins: ``--plugin`` files, for the meanings of their metrics' columns.
        beside: metric plugins whose columns are all shown beside the headline.
        where: conditions on columns, "seconds_to_adapt<=5"; only rows that meet all of them.
        against: a method; a column more tells the paired difference to it, in the first of ``metrics`` or the column that ranks.

    Raises:
        BenchmarkError: there is no readable table.
        UsageError: the table has no such metric or column, or no row with these shots and steps, or that meets the conditions.
    """
    every = read(path)
    rows = selected(path, every, shots, steps, run_ids, where)
    if sort:
        rows = ordered(path, rows, sort)
    available, asked = metrics_in(rows), bool(metrics)
    for metric in metrics:
        if rows and metric not in (*available, *COSTS, "all"):
            raise UsageError(f"{path} has no metric {metric!r}; it has {', '.join(available)}, or say all; costs are {', '.join(COSTS)}.")
    if "all" in metrics:
        metrics = [*available, *(metric for metric in metrics if metric in COSTS)]
    elif not metrics:
        tried = [metric for metric in available if any(row[metric] or row[f"{metric}_failed"] not in ("", "0") for row in rows)]
        metrics = shown(tried, known(plugins), beside)
    if against and rows:
        ranks = problem_of(rows[0]).objective
        by = next((metric for metric in metrics if metric in available and asked), ranks)
        rows, column = with_difference(path, rows, every, against, by)
        metrics = [*metrics, column]
    if style == "csv":
        return _csv(rows, metrics)
    header = ["algorithm", "shots", "steps", "seeds", *metrics, "failed"]
    table = [
        [name, row["shots"], row["steps"], row["seeds"], *(interval(row, metric) for metric in metrics), failed_in(row, available)]
        for name, row in zip(names(rows), rows, strict=True)
    ]
    found = known(plugins).of({pair.partition("=")[0] for row in rows for pair in row["metric_versions"].split()})
    header = [f"{name} {ARROWS[False if name in COSTS else found.higher_is_better(name)]}".strip() for name in header]
    notes = _legend(rows, metrics, found)
    if against and rows:
        notes.insert(0, f"{metrics[-1]}: paired difference at the same shots and steps and under the seeds that both have.")
    if style == "latex":
        from benchmark.results.bold import best_cells

        bold, note = best_cells(path, rows, metrics, found, plugins)
        places = {(row, header.index(name)) for row, metric in bold for name in header if name.split()[0] == metric}
        return latex.table(header, table, f"Few-Shot TTS Benchmark, {path.stem}. {note}", path.stem, notes, places)
    from tabulate import tabulate

    sides = ["left"] + ["right"] * (len(header) - 1)
    text = tabulate(table, header, tablefmt=STYLES[style], disable_numparse=True, colalign=sides if table else None)
    return "\n".join([text, "", *notes])


def _csv(rows: Sequence[dict[str, str]], metrics: Sequence[str]) -> str:
    """Numbers in columns, for spreadsheets: of a metric its value and both ends of its interval, of a cost its value."""
    first = ("algorithm", "options", "status", "shots", "steps", "seeds", "speakers")
    columns = [*first, *(f"{name}{end}" for name in metrics for end in ([""] if name in COSTS else ["", "_lo", "_hi"]))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*columns, "failed"])
    writer.writerows([*(row[name] for name in columns), failed_in(row, metrics_in(rows))] for row in rows)
    return buffer.getvalue().rstrip("\n")


def _legend(rows: Sequence[dict[str, str]], metrics: Sequence[str], found: KnownColumns) -> list[str]:
    """Notes that a reader of the table needs."""
    lines, scored = ["↑: higher is better, ↓: lower."], [metric for metric in metrics if metric not in COSTS]
    if any(row[f"{metric}_lo"] for row in rows for metric in scored):
        lines.insert(0, "±: half the width of the 95 % interval, which may be asymmetric (bounds: the CSV file).")
    elif scored:
        lines.insert(0, "No intervals: they need at least two speakers.")
    if any(failed_in(row, metrics_in(rows)) for row in rows):
        lines.append("failed: the most utterances that any one metric could not score.")
    if those := ", ".join(metric for metric in metrics if found.off_on_real_speech(metric)):
        lines.append(f"{those}: recordings don't score perfectly either; read it against the row of ground_truth.")
    lines += [f"{cost}: {COSTS[cost].meaning}, in {COSTS[cost].unit}." for cost in metrics if cost in COSTS]
    lines += _roles(rows)
    lines += [f"{status}: {reason}; not to be cited." for status, reason in UNFIT.items() if any(status in marks_of(row) for row in rows)]
    for name in SETTING:
        kinds: dict[str, dict[str, None]] = {}
        for row in rows:
            kinds.setdefault(row[name], {})[row["algorithm"]] = None
        if len(kinds) > 1:
            each = "; ".join(f"{kind}: {', '.join(those)}" for kind, those in kinds.items())
            lines.append(f"Rows differ in {name}, so don't rank them together ({each}).")
    if any(row["synthetic"] == "true" for row in rows):
        lines.append("synthetic voices: not to be cited as speech.")
    lines += configurations(rows)
    return [*lines, "Columns and metrics are defined in leaderboards/README.md."]


def _roles(rows: Sequence[dict[str, str]]) -> list[str]:
    """A line that names the toplines and floors, if there are any."""
    from benchmark.plugins import fit

    found: dict[str, dict[str, None]] = {}
    for row in rows:
        found.setdefault(role_of(row), {})[row["algorithm"]] = None
    named = [f"{role}s: {', '.join(found[role])}" for role in fit.ROLES if role in found]
    return [f"For scale, {'; '.join(named)}."] if named else []


def failed_in(row: dict[str, str], metrics: Sequence[str]) -> str:
    """The most utterances that any one metric could not score."""
    return str(max((int(row[f"{metric}_failed"] or 0) for metric in metrics), default=0) or "")


def interval(row: dict[str, str], metric: str) -> str:
    """A value ± half the width of its interval; a cost, which has none, with three digits."""
    if not row[metric]:
        return "-"
    if metric in COSTS:
        return brief(float(row[metric]))
    if not row[f"{metric}_lo"]:
        return f"{float(row[metric]):.3f}"
    return f"{float(row[metric]):.3f} ± {(float(row[f'{metric}_hi']) - float(row[f'{metric}_lo'])) / 2:.3f}"
