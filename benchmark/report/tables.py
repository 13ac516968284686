"""A board's tables: leaderboard, speakers, failures, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.plugins import fit, registry
from benchmark.plumbing.words import listed
from benchmark.report.boards import Board, Row
from benchmark.report.words import SECONDS, digits, facts, interval, number, ranged
from benchmark.results import costs
from benchmark.results.columns import ARROWS
from benchmark.results.comparison import Contender
from benchmark.results.episode_tables import metric_columns, reasons
from benchmark.results.leaderboard_rules import FIRST_EDITION, facts_of

COSTS = {
    "seconds_to_adapt": ("adaptation", "s"),
    "stored_parameters": ("stored", "numbers"),
    "real_time_factor": ("real-time factor", "s per s"),
    "training_tflops": ("training", "TFLOP"),
}
BRIEF = ("seconds_to_adapt", "stored_parameters")


@dataclass(frozen=True)
class TableCell:
    """A cell's text and the value to sort it by (NaN: last)."""

    text: str
    value: float | str
    note: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading.

    Attributes:
        text: what it says.
        small: what stands under it: the unit of its numbers, or a method's role.
        arrow: which way is better.
        more: shown only on demand.
        words: the cells hold text.
        first: the page opens sorted by this column, best first.
    """

    text: str
    small: str = ""
    arrow: str = ""
    more: bool = False
    words: bool = False
    first: bool = False


@dataclass(frozen=True)
class Entry:
    """A row: its heading, its other cells, its algorithm's role, and what to filter it by (``most``: has the most steps at its shots)."""

    head: TableCell
    cells: list[TableCell]
    role: str = ""
    shots: str = ""
    steps: str = ""
    most: bool = False


@dataclass(frozen=True)
class Table:
    """A sortable table whose first column heads its rows."""

    columns: list[Heading]
    entries: list[Entry]


def arrow(board: Board, metric: str) -> str:
    """Which way is better."""
    return ARROWS[board.known.higher_is_better(metric)]


def leaderboard(board: Board) -> Table:
    """Every row, with intervals."""
    headline, known = board.headline, board.known.columns
    columns = [
        Heading("algorithm"), Heading("shots"), Heading("steps"),
        *(Heading(metric, known[metric].unit if metric in known else "", arrow(board, metric), metric not in headline,
                 first=metric == headline[0]) for metric in board.metrics),
        Heading("failed", arrow="↓"), Heading("seeds", arrow="↑"),
        *(Heading(*words, "↓", cost not in BRIEF) for cost, words in COSTS.items()),
    ]  # fmt: skip
    places = {metric: digits((row for rows in board.rows.values() for row in rows), metric) for metric in board.metrics}
    # A status that all rows share is said once, above the table.
    mixed = len({row["status"] for rows in board.rows.values() for row in rows}) > 1
    entries = []
    for contender in board.contenders:
        role = board.role(contender.name)
        for row in board.rows[contender.name]:
            head = TableCell(contender.name, contender.name, row["status"] if mixed and row["status"] != "ok" else "")
            failed = max((int(row.get(f"{metric}_failed") or 0) for metric in board.metrics), default=0)
            cells = [TableCell(row[name], int(row[name])) for name in ("shots", "steps")]
            cells += [_score(row, metric, places[metric]) for metric in board.metrics]
            cells += [TableCell(str(failed), failed), TableCell(row["seeds"], int(row["seeds"]))]
            cells += [*(TableCell(_short(number(row[cost])), number(row[cost])) for cost in COSTS)]
            most = max(int(other["steps"]) for other in board.rows[contender.name] if other["shots"] == row["shots"])
            entries.append(Entry(head, cells, role, row["shots"], row["steps"], int(row["steps"]) == most))
    return Table(columns, entries)


def references(board: Board) -> dict[str, str]:
    """What each topline and floor is, and what it hears of a speaker; those whose plugins are not found are left out."""
    found = {}
    for contender in board.contenders:
        algorithm, role = contender.results[0]["algorithm"], board.role(contender.name)
        if role:
            with suppress(BenchmarkError):  # it comes from a plugin file that was not given
                what = registry.get("algorithm", algorithm, board.plugins).summary.removeprefix(f"{role.capitalize()}: ").rstrip(".")
                given = _heard(fit.declared("algorithm", algorithm, board.plugins).facts)
                found[contender.name] = f"{what[:1].upper()}{what[1:]}. {given}"
    return found


def _heard(facts: Mapping[str, Any]) -> str:
    """What an algorithm hears of a speaker, in a sentence, by what its class declares."""
    if facts.get("oracle"):
        return "It is given the recording that it is scored on."
    if facts.get("uses_all_speech"):
        return "It hears all speech of the speaker but the sentences that it is scored on."
    if facts.get("uses_support") is not False:
        return "It hears the same sentences as the methods."
    labels = listed(list(facts.get("labels") or ()))
    return f"It hears nothing of the speaker{f', but is told the {labels}' if labels else ''}."


def meanings(board: Board) -> dict[str, str]:
    """What each column holds, in a sentence."""
    known = board.known.columns
    scores = {board.known.label(metric): known[metric].meaning if metric in known else "see its plugin" for metric in board.metrics}
    spent = {f"{text} ({unit})": costs.COSTS[cost].meaning for cost, (text, unit) in COSTS.items()}
    failed = {"failed": "the most utterances that any one metric could not score; its mean leaves them out"}
    return scores | failed | spent


def _score(row: Row, metric: str, places: int) -> TableCell:
    if not row.get(metric):
        return TableCell("–", math.nan)
    return TableCell(f"{float(row[metric]):.{places}f}", float(row[metric]), interval(row, metric, places) or "no interval")


def _short(value: float) -> str:
    if math.isnan(value):
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def speakers(board: Board) -> list[tuple[str, Table]]:
    """For each headline metric, a row for each speaker: every contender's mean over the sentences, at its most shots and steps."""
    tables = []
    for metric in board.headline:
        means = {contender.name: _means(board, contender, metric) for contender in board.contenders}
        if not any(means.values()):
            continue
        places = digits((row for rows in board.rows.values() for row in rows), metric)
        entries = [
            Entry(TableCell(speaker, speaker), [_mean(own.get(speaker, math.nan), places) for own in means.values()])
            for speaker in sorted({speaker for own in means.values() for speaker in own})
        ]
        heads = [Heading("speaker"), *(Heading(name, board.note(name), arrow(board, metric)) for name in means)]
        tables.append((metric, Table(heads, entries)))
    return tables


def _means(board: Board, contender: Contender, metric: str) -> dict[str, float]:
    if metric not in contender.episodes:
        return {}
    shots, steps = board.best(contender.name)
    here = contender.episodes[(contender.episodes["shots"] == shots) & (contender.episodes["steps"] == steps)]
    means = here.groupby(["speaker", "seed", "episode"])[metric].mean().groupby("speaker").mean()
    return {str(speaker): float(value) for speaker, value in means.items()}


def _mean(value: float, places: int) -> TableCell:
    return TableCell("–" if math.isnan(value) else f"{value:.{places}f}", value)


def failures(board: Board) -> Table:
    """Utterances that could not be scored, counted by reason."""
    entries = []
    for contender in board.contenders:
        columns = metric_columns(list(contender.episodes.columns))
        # Reasons that differ only in durations ("0.40 s of voice found") are merged.
        kinds: dict[tuple[str, ...], list[str]] = {}
        for cell in contender.episodes["failures"]:
            because: dict[str, list[str]] = {}
            for metric, reason in reasons(cell, columns).items():
                because.setdefault(reason, []).append("every metric" if metric == "all" else metric)
            for reason, metrics in because.items():
                kinds.setdefault((", ".join(metrics), *SECONDS.split(reason)), []).append(reason)
        total = len(contender.episodes)
        found = [(metric, ranged(those), len(those)) for (metric, *_), those in kinds.items()]
        entries += [
            Entry(
                TableCell(contender.name, contender.name),
                [TableCell(metric, metric), TableCell(f"{count} of {total}", count), TableCell(reason, reason)],
            )
            for metric, reason, count in sorted(found, key=lambda each: -each[2])
        ]
    heads = [Heading("algorithm"), Heading("metrics", words=True), Heading("utterances", arrow="↓"), Heading("reason", words=True)]
    return Table(heads, entries)


def provenance(board: Board, contender: Contender) -> dict[str, str]:
    """Where a contender's rows come from."""
    first, row = contender.results[0], board.rows[contender.name][0]
    commits = dict.fromkeys(_commit(result) for result in contender.results)
    return {
        "runs": " ".join(folder.name for folder in contender.folders), "status": row["status"],
        "seeds": ", ".join(map(str, sorted({result["seed"] for result in contender.results}))),
        "speakers": row["speakers"], "episodes": row["episodes"], "settings": row["settings"] or "none", "tuned": row["tuned"] or "nothing",
        "preset": row["preset"], "backbone": row["backbone"], "vocoder": row["vocoder"], "training": f"{row['training_tflops']} TFLOP",
        "code": ", ".join(commits), "Python": str(first.get("python")), "libraries": _pairs(first.get("libraries")),
        "real speech, by the same metrics": _pairs(_facts(board, first)) or "not measured",
        "hardware": _pairs(first.get("hardware")),
        "harness": ", ".join(f"{part} {first[f'{part}_version']}" for part in ("preparation", "training", "evaluation")),
        "benchmark's version": row["benchmark_version"],
        "source digests": _pairs(first.get("sources")), "configuration": row["options"],
    }  # fmt: skip


def shared(board: Board) -> dict[str, str]:
    """What all rows have in common, and need in order to be compared."""
    results = [result for contender in board.contenders for result in contender.results]
    row = board.rows[board.contenders[0].name][0]
    commits = dict.fromkeys(_commit(result) for result in results)
    names = ("protocol_version", "data_version", "manifest_hash", "metric_versions", *FIRST_EDITION)
    counts = {each["speakers"] for rows in board.rows.values() for each in rows}
    common = {name: str(results[0][name]) for name in ("dataset", "problem", "task")}
    common |= {"speakers scored": " or ".join(sorted(counts, key=int)), "code": ", ".join(commits)}
    common |= {name.replace("_", " "): row[name] for name in names}
    return common | ({} if board.unlike() else _facts(board, results[0]))


def _facts(board: Board, result: Mapping[str, Any]) -> dict[str, str]:
    return facts(facts_of(result, board.plugins), board.known.constants)


def _commit(result: Mapping[str, Any]) -> str:
    return f"{result.get('git_commit') or 'unknown commit'}{' with changes' * bool(result.get('git_dirty'))}"


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) if isinstance(values, Mapping) else str(values)
