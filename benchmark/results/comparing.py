"""A whole comparison: runs found, compared on the same queries, and told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from benchmark import problems
from benchmark.errors import UsageError
from benchmark.plugins.registry import Plugins, suggest
from benchmark.plumbing.words import listed
from benchmark.results import comparison, verdicts
from benchmark.results.columns import known
from benchmark.results.comparison_table import Compared
from benchmark.results.costs import COSTS, PER_RUN
from benchmark.results.ranking import rankings
from benchmark.results.result import old_note, read_result
from benchmark.results.runs_meant import find_runs
from benchmark.results.second_opinions import disagreements


def compared(
    runs: Sequence[str], columns: Sequence[str], shots: int | None, steps: int | None, table: str | None, output: Path, plugins: Plugins
) -> Compared:
    """Compare runs, or the runs behind rows of leaderboards.

    Args:
        runs: run folders, or algorithms; see :func:`find_runs`.
        columns: of metrics or costs; empty for the one that ranks.
        shots: only at so many support utterances.
        steps: only at so many adaptation steps; ``comparison.CURVE`` for the area under the whole curve.
        table: leaderboard with the algorithms, by name or path; None to look for it.
        output: folder of runs.
        plugins: ``--plugin`` files.

    Raises:
        UsageError: runs or columns are not found, or can't be compared.
        BenchmarkError: a run or a table is damaged.
    """
    if steps == comparison.CURVE and (costs := [name for name in columns if name in COSTS]):
        raise UsageError(f"{listed(costs)} can't be compared over a curve, because more steps cost more; name a number for --steps.")
    folders, tables, meant = find_runs(runs, table, output, columns)
    metrics, scorers = _senses(folders, columns, plugins)
    chosen = comparison.contenders(folders, scorers, plugins)
    if any(metric in COSTS for metric in metrics):
        chosen = comparison.and_costs(chosen)
    lines = comparison.compare_all(chosen, metrics, shots, steps)
    scores = [metric for metric in metrics if metric not in COSTS]
    notes = (
        verdicts.power_note(lines), meant, verdicts.disagreement_note(lines), verdicts.failures_note(chosen, scores, shots, steps),
        verdicts.seeds_note(chosen, lines), verdicts.curve_note(chosen, metrics, shots, steps),
        verdicts.budget_note(chosen), verdicts.processor_note(chosen), verdicts.limited_note(chosen), verdicts.wall_time_note(metrics),
        old_note([result for one in chosen for result in one.results]),
    )  # fmt: skip
    met = {(line.first, line.second, line.metric) for line in lines}
    apart = [
        comparison.apart([one, other], missing, shots, steps) for one, other in combinations(chosen, 2)
        if (missing := [metric for metric in metrics if (one.name, other.name, metric) not in met])
    ]  # fmt: skip
    return Compared(
        chosen[0].results[0]["dataset"], metrics, lines, [*verdicts.verdicts(lines), *filter(None, notes), *apart],
        list(rankings(chosen, lines, metrics)) if len(chosen) > 2 else [],
        disagreements(lines, known(plugins).same_question(metrics)), tables,
    )  # fmt: skip


def _senses(folders: Sequence[Path], columns: Sequence[str], plugins: Plugins) -> tuple[dict[str, bool], set[str]]:
    """For each wanted column (the one that ranks if none) whether higher is better; and the metrics that score them."""
    results = [read_result(folder) for folder in folders]
    found = known(plugins).of({name for result in results for name in result["metric_versions"]})
    columns = columns or [problems.get(results[0]["problem"]).objective]
    for column in columns:
        if column in PER_RUN:
            raise UsageError(f"{column} is one number for each run, so it can't be paired; 'leaderboard show --metrics {column}' shows it.")
        if column in found.rates:
            pairable = [name for name in found.of({found.metrics[column]}).columns if name not in found.rates]
            raise UsageError(f"{column} is a rate over all trials, so it can't be paired; compare {' or '.join(pairable)}.")
        if column not in (*found.columns, *COSTS):
            there = [*sorted(found.columns.keys() - found.rates), *(name for name in COSTS if name not in PER_RUN)]
            raise UsageError(f"There is no metric {column!r} in these runs{suggest(column, there)}")
    meanings = {**COSTS, **found.columns}
    return {column: meanings[column].higher_is_better for column in columns}, {found.metrics[each] for each in columns if each not in COSTS}
