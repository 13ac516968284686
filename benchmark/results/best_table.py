"""Which method is best with so many sentences and seconds, as text to read on a terminal of 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.plugins.registry import Plugins, suggest
from benchmark.plumbing.durations import in_words
from benchmark.plumbing.words import counted, listed
from benchmark.results.best import Answer, Methods, Pick
from benchmark.results.columns import KnownColumns, known
from benchmark.results.costs import brief
from benchmark.results.leaderboard_file import metrics_in, read, title
from benchmark.results.leaderboard_names import differences, labels
from benchmark.results.leaderboard_rules import SETTING, conflict, problem_of, role_of
from benchmark.results.leaderboard_table import UNFIT, interval
from benchmark.results.row_episodes import RowEpisodes
from benchmark.results.ties import POWERLESS, TIE, UNTESTED, WORSE, Row, Ties, would_show

WIDTH = 80


def show_best(
    path: Path, shots: int | None = None, budget: float | None = None, metric: str = "", places: Sequence[Path] = (), plugins: Plugins = ()
) -> str:
    """The answer for a table: of a place, all its methods; without ``shots`` or ``budget``, the best one at each of them.

    Args:
        path: the CSV file.
        shots: support utterances.
        budget: seconds of adaptation to one speaker; 0 allows no steps.
        metric: column by which to choose; empty: the one that ranks.
        places: more folders that hold the runs behind the rows.
        plugins: ``--plugin`` files.

    Raises:
        BenchmarkError: there is no readable table, or a run is damaged.
        UsageError: the table has no such metric, no methods, none at so many shots, or none so quick.
    """
    rows, metric = rows_and_metric(path, metric)
    found = known(plugins)
    higher = _direction(path, rows, metric, found)
    episodes, named = RowEpisodes(path, places), dict(zip(map(id, rows), labels(rows), strict=True))
    texts: list[str] = []
    lacking: list[UsageError] = []
    for heading, group in comparable(rows).items():
        own: dict[str, list[Row]] = {}
        for row in group:
            if not role_of(row, plugins):
                own.setdefault(named[id(row)], []).append(row)
        methods = Methods(own, Ties(metric, higher, episodes))
        if methods.rows:
            about = f"{title(path)}{heading}, by {metric} ({'higher' if higher else 'lower'} is better)"
            try:
                texts.append(f"{about}\n\n{_text(path, methods, shots, budget, group, episodes)}")
            except UsageError as error:
                lacking.append(error)
    if not texts:
        nobody = UsageError(f"{path} has no method that was scored with {metric}, so none is best; add runs, or name another --metric.")
        raise [*lacking, nobody][0]
    return "\n\n\n".join(texts)


def rows_and_metric(path: Path, metric: str) -> tuple[list[Row], str]:
    """A table's rows, at least one, and the metric, by default the one that ranks.

    Raises:
        BenchmarkError: there is no readable table.
        UsageError: it has no rows.
    """
    rows = read(path)
    if not rows:
        raise UsageError(f"{path} has no rows; add runs with 'leaderboard add', or name another table.")
    return rows, metric or problem_of(rows[0]).objective


def _direction(path: Path, rows: Sequence[Row], metric: str, found: KnownColumns) -> bool:
    """Whether higher is better.

    Raises:
        UsageError: there is no such metric in the table, or nobody knows what it means, or it is a rate.
    """
    if metric not in metrics_in(rows):
        raise UsageError(f"{path} has no metric {metric!r}{suggest(metric, metrics_in(rows))}")
    if metric in found.rates:
        pairable = [name for name in found.of({found.metrics[metric]}).columns if name not in found.rates]
        raise UsageError(f"{metric} is a rate over all trials, so methods can't be paired by it; choose {' or '.join(pairable)}.")
    if (higher := found.higher_is_better(metric)) is None:
        raise UsageError(f"Nothing says whether more {metric} is better; give its metric's file with --plugin.")
    return higher


def comparable(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows in groups that may be compared, by what tells a group from the first, ", preset paper"; "" for the first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        for group in groups.values():
            if all(row[name] == group[0][name] for name in SETTING) and not conflict(row, group[0]):
                group.append(row)
                break
        else:
            unlike = ", ".join(f"{name} {row[name]}" for name in SETTING if row[name] != rows[0][name])
            what = unlike or (conflict(row, rows[0]) and f"other {conflict(row, rows[0])}")
            groups.setdefault(f", {what}" if what else "", []).append(row)
    return groups


def _text(
    path: Path, methods: Methods, shots: int | None, budget: float | None, rows: Sequence[Row], episodes: RowEpisodes
) -> str:
    if shots is not None and shots not in methods.shots:
        raise UsageError(f"{path} has no method at {counted(shots, 'shot')}; it has {', '.join(map(str, methods.shots))} shots.")
    if shots is not None and budget is not None:
        answer = methods.answer(shots, budget)
        if not answer.choices:
            raise UsageError(f"No method in {path} adapts to {counted(shots, 'shot')} in {in_words(budget)}: {_quickest(methods, [shots])}")
        return "\n".join([*_one(answer, methods), "", *_notes([answer], methods, rows, episodes)])
    sizes = methods.shots if shots is None else [shots]
    answers = [methods.answer(size, each) for size in sizes for each in (methods.budgets(sizes) if budget is None else [budget])]
    answers = [answer for answer in answers if answer.choices]
    if not answers:
        raise UsageError(f"No method in {path} adapts in {in_words(budget or 0)}: {_quickest(methods, sizes)}")
    return "\n".join([_grid(answers), "", *_notes(answers, methods, rows, episodes)])


def _quickest(methods: Methods, sizes: Sequence[int]) -> str:
    name, least = min((methods.quickest(size) for size in sizes), key=lambda each: each[1])
    if math.isinf(least):
        return "the rows have no seconds_to_adapt; --budget 0 asks for what takes no steps."
    return f"the quickest, {name}, takes {brief(least)} s; --budget 0 asks for what takes no steps."


def _one(answer: Answer, methods: Methods) -> list[str]:
    from tabulate import tabulate

    best = answer.choices[0]
    place = f"{counted(answer.shots, 'sentence')} and {_allowed(answer.budget)}"
    told = [f"Best with {place}: {_named(best)} at {counted(best.steps, 'step')}, {interval(best.row, methods.ties.metric)}."]
    for word, sentence in (
        (TIE, "Tied with it, because a test could have shown a difference and did not{told}: {}."),
        (POWERLESS, "Not separable from it with this many speakers: {}."),
        (UNTESTED, "Not tested, because the runs behind the rows are not at hand or share no sentence: {}."),
        (WORSE, "Worse: {}."),
    ):
        if those := answer.with_verdict(word):
            unseen = would_show(pick.verdict.detectable for pick in those)
            told.append(sentence.format(listed([pick.name for pick in those]), told=unseen))
    table = {
        "method": [_named(pick) for pick in answer.choices],
        "steps": [str(pick.steps) for pick in answer.choices],
        methods.ties.metric: [interval(pick.row, methods.ties.metric) for pick in answer.choices],
        "failed": [str(int(pick.row[f"{methods.ties.metric}_failed"] or 0) or "") for pick in answer.choices],
        "seconds": [_cost(pick, "seconds_to_adapt") for pick in answer.choices],
        "stored": [_cost(pick, "stored_parameters") for pick in answer.choices],
        "verdict": [pick.verdict.word for pick in answer.choices],
        "p": [_p(pick.verdict.p) if pick.verdict.word in (TIE, WORSE) else "" for pick in answer.choices],
    }
    for name in ("failed", "p"):
        if not any(table[name]):
            del table[name]
    sides = ["left" if name in ("method", "verdict") else "right" for name in table]
    return [*_wrapped(told), "", tabulate(table, "keys", tablefmt="simple", disable_numparse=True, colalign=sides)]


def _grid(answers: Sequence[Answer]) -> str:
    from tabulate import tabulate

    lines: list[list[str]] = []
    before = None
    for answer in answers:
        best = answer.choices[0]
        tied = ", ".join(pick.name for pick in answer.with_verdict(TIE)) or "-"
        tied = "unknown" if answer.with_verdict(POWERLESS) or answer.with_verdict(UNTESTED) else tied
        if (same := (answer.shots, best.name, best.steps, tied)) == before:
            continue
        before = same
        lines.append([
            str(answer.shots), in_words(answer.budget), _named(best), str(best.steps), f"{best.value:.3f}",
            _cost(best, "seconds_to_adapt"), _cost(best, "stored_parameters"), tied,
        ])  # fmt: skip
    header = ["shots", "time", "best", "steps", "value", "sec", "stored", "ties"]
    sides = ("right", "right", "left", "right", "right", "right", "right", "left")
    # Tabulate gives a heading two more characters than it has.
    taken = [max(len(name) + 2, *(len(line[place]) for line in lines)) for place, name in enumerate(header[:7])]
    left = max(12, WIDTH - 2 * 7 - sum(taken))
    table = [[*cells, textwrap.fill(tied, left, break_long_words=False)] for *cells, tied in lines]
    return tabulate(table, header, tablefmt="simple", disable_numparse=True, colalign=sides)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"


def _allowed(budget: float) -> str:
    return "no adaptation steps" if budget == 0 else "any time" if math.isinf(budget) else f"{in_words(budget)} of adaptation"


def _named(pick: Pick) -> str:
    return pick.name + f" ({pick.row['status']})" * (pick.row["status"] != "ok")


def _cost(pick: Pick, column: str) -> str:
    if math.isnan(value := pick.cost(column)):
        return "-"
    return brief(value) + ("*" if pick.cheapest[column] else " ")


def _notes(answers: Sequence[Answer], methods: Methods, rows: Sequence[Row], episodes: RowEpisodes) -> list[str]:
    """What a reader must know."""
    several = len(answers) > 1
    metric, choices = methods.ties.metric, [pick for answer in answers for pick in answer.choices]
    lines = [
        f"Each method is taken at that number of steps within the budget at which it has the best {metric}; choosing by the score flatters "
        "those with many steps to choose from. Seconds are those of the column seconds_to_adapt, on the machine that made the rows.",
        "*: on the Pareto front: no method at any steps within the budget scores as well in fewer seconds, or with fewer stored numbers.",
        f"Tests: paired between speakers, Holm-corrected over the methods tested against the best one{' at that place' * several}.",
    ]
    processors = episodes.processors([pick.row for pick in choices])
    if len(processors) > 1:
        lines.append(f"Made on several processors ({', '.join(processors)}), whose seconds differ; flops_to_adapt, in the table, do not.")
    if several:
        lines.insert(0, "time: most time of adaptation; one that changes nothing is left out.")
        if any(answer.with_verdict(POWERLESS) for answer in answers):
            lines.insert(1, "unknown: the best one is not separable from others with this many speakers, whatever their scores.")
        if any(answer.with_verdict(UNTESTED) for answer in answers):
            lines.insert(1, "unknown: not tested, because runs behind the rows are not at hand (--output DIR), or share no sentence.")
    scale = {row["algorithm"]: float(row[metric]) for row in rows if role_of(row) and row["shots"] == "0" and row[metric]}
    if scale:
        lines.append(f"For scale: {', '.join(f'{name} {value:.3f}' for name, value in scale.items())}.")
    others = {pick.name: pick for answer in answers for pick in answer.others}
    if others:
        those = ", ".join(f"{_named(pick)} {pick.value:.3f}" for pick in others.values()) if not several else ", ".join(others)
        lines.append(f"Not ranked, because other seeds are other models: {those}.")
    marks = {mark for pick in [*choices, *others.values()] for mark in pick.row["status"].split("+")}
    lines += [f"{status}: {reason}; not to be cited." for status, reason in UNFIT.items() if status in marks]
    if any(row["synthetic"] == "true" for row in rows):
        lines.append("synthetic voices: not to be cited as speech.")
    used, unlike = {pick.row["options"] for pick in [*choices, *others.values()]}, differences(rows)
    lines += [f"{one[0]}:{one[1]}: {what}." for one, what in unlike.items() if one[1] in used]
    return _wrapped(lines)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines]
