"""What a comparison says, in plain English: who is better where, and what to bear in mind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence

from benchmark.plumbing.words import counted, listed, seeds_said
from benchmark.results.comparison import (
    CURVE,
    Contender,
    Line,
    common_seeds,
    on_common_seeds,
    rows_at,
    seeds_of,
    shots_of,
)
from benchmark.results.costs import COSTS, WALL_TIME
from benchmark.results.ties import would_show

UNLIKE = 1.1
"""Ratio from which training budgets count as different."""


def verdicts(lines: Sequence[Line]) -> list[str]:
    """For each pair and metric who is better where, a sentence for either, and what is shown nowhere."""
    sentences = []
    hopeless = bool(power_note(lines))
    for (first, second, metric), group in itertools.groupby(lines, key=lambda line: (line.first, line.second, line.metric)):
        rest = list(group)
        parts = []
        for name, other in ((first, second), (second, first)):
            where = [line for line in rest if line.better == name]
            if where:
                parts.append(f"{name} is better than {other} {_places(where, len(rest))}.")
        undecided = [line for line in rest if line.better is None]
        unseen = "" if hopeless else would_show(line.found.detectable for line in undecided)
        if not parts:
            sentences.append(f"{metric}: no difference is shown between {first} and {second}{unseen}.")
        else:
            elsewhere = [f"No difference is shown elsewhere{unseen}."] if undecided else []
            sentences.append(f"{metric}: {' '.join([*parts, *elsewhere])}")
    return sentences


def place(line: Line) -> str:
    """Where on the grid, in words."""
    return _at([line.shots], [line.steps])


def _places(lines: Sequence[Line], everywhere: int) -> str:
    if len(lines) == everywhere:
        return "everywhere" if everywhere > 1 else f"at {place(lines[0])}"
    steps: dict[int, list[int]] = {}
    for line in lines:
        steps.setdefault(line.shots, []).append(line.steps)
    shots: dict[tuple[int, ...], list[int]] = {}
    for size, own in steps.items():
        shots.setdefault(tuple(own), []).append(size)
    return "at " + "; ".join(_at(sizes, own) for own, sizes in shots.items())


def _at(shots: Sequence[int], steps: Sequence[int]) -> str:
    """Places of the grid that share their steps, "1 or 5 shots and 1, 2 or 20 steps and over the whole curve"."""
    single = [step for step in steps if step != CURVE]
    parts = [_either(shots, "shot"), *([_either(single, "step")] if single else [])]
    curve = " over the whole curve" if CURVE in steps else ""
    return " and ".join(parts) + (f" and{curve}" if single and curve else curve)


def _either(numbers: Sequence[int], what: str) -> str:
    *others, last = sorted(numbers)
    return listed([*map(str, others), counted(last, what)], "or")


def power_note(lines: Sequence[Line]) -> str:
    """A note if too few speakers, tested in too many places, could show no difference whatever their scores; "" otherwise."""
    from benchmark.results.statistics import SIGNIFICANT, least_p

    lines = [line for line in lines if line.metric not in COSTS] or lines
    tests = len({line.test for line in lines if not math.isnan(line.p)})
    most = max(line.found.speakers for line in lines)
    least = least_p(most, tests)
    if least <= SIGNIFICANT or all(line.found.difference.mean == 0 for line in lines):
        return ""
    more = "choose fewer places by --shots and --steps, before looking, or take" if tests > 1 else "take"
    where = f"{counted(most, 'speaker')} and {counted(max(tests, 1), 'test')}"
    return f"With {where} no p can be below {least:.2g}, so no difference could be shown: {more} more speakers."


def disagreement_note(lines: Sequence[Line]) -> str:
    """A note where an interval and its test say different things; "" if there is no such place."""
    tested = [line for line in lines if not (math.isnan(line.p) or math.isnan(line.found.difference.low))]
    apart = [line for line in tested if line.found.difference.low > 0 or line.found.difference.high < 0]
    notes = []
    if doubtful := [line for line in apart if line.better is None]:
        notes.append(
            f"At {_some(doubtful)} the interval leaves out 0 although no difference is shown: "
            "the test is corrected for the number of lines, the intervals are not. Rely on the test."
        )
    if odd := [line for line in tested if line.better is not None and line not in apart]:
        notes.append(
            f"At {_some(odd)} a difference is shown although the interval holds 0: the interval counts the choice of sentences too. "
            "Call such a difference weak."
        )
    return " ".join(notes)


def _some(lines: Sequence[Line]) -> str:
    """The first places of lines, "5 shots and 20 steps"; of many, how many there are."""
    return place(lines[0]) if len(lines) == 1 else f"{len(lines)} places"


def curve_note(chosen: Sequence[Contender], metrics: Collection[str], shots: int | None, steps: int | None) -> str:
    """A note on pairs that have no whole curve because they took different steps; "" if there is none. As of :func:`compare_all`."""
    if steps is not None or all(metric in COSTS for metric in metrics):
        return ""
    notes = []
    for one, other in itertools.combinations(chosen, 2):
        for size in sorted(shots_of(one) & shots_of(other) if shots is None else {shots}):
            mine, theirs = ({int(step) for step in rows_at(each, size, None)["steps"]} for each in (one, other))
            if mine != theirs and {0} not in (mine, theirs) and len(mine & theirs) > 1:
                grids = " and ".join(",".join(map(str, sorted(each))) for each in (mine, theirs))
                notes.append(f"{one.name} and {other.name} at {counted(size, 'shot')} ({grids})")
    return f"Not compared over the whole curve, because their steps differ: {'; '.join(notes)}." if notes else ""


def wall_time_note(metrics: Collection[str]) -> str:
    """A note on costs that are wall times; "" if none is compared."""
    times = [metric for metric in metrics if metric in WALL_TIME]
    if not times:
        return ""
    return f"{listed(times)}: wall time, as each run's machine took it; a test between speakers says nothing about other machines or loads."


def budget_note(chosen: Sequence[Contender]) -> str:
    """A note if methods were trained with different amounts of compute; "" otherwise."""
    from benchmark.results.leaderboard import training_tflops

    spent = {one.name: training_tflops(one.results) for one in chosen}
    trained = {name: tflops for name, tflops in spent.items() if tflops > 0}
    if not trained or max(trained.values()) <= UNLIKE * min(trained.values()):
        return ""
    each = ", ".join(f"{name} {tflops:.3g} TFLOP" for name, tflops in trained.items())
    return f"Trained with different budgets, which may explain a difference: {each}."


def processor_note(chosen: Sequence[Contender]) -> str:
    """A note if runs were computed on several processors, which may have pretrained otherwise unless all start as shipped; "" otherwise."""
    on = {one.name: sorted({result["hardware"].get("processor", "an unknown one") for result in one.results}) for one in chosen}
    if len({name for names in on.values() for name in names}) < 2:
        return ""
    each = ", ".join(f"{name} on {listed(names)}" for name, names in on.items())
    shipped = all(result.get("pretrained") for one in chosen for result in one.results)
    so = "" if shipped else ", so their pretrained models may differ a little"
    return f"Computed on several processors, which may round differently{so}: {each}."


def limited_note(chosen: Sequence[Contender]) -> str:
    """A note if some are quick trials, were scored on only some speakers, or made from code that no commit holds; "" otherwise."""
    from benchmark.results.leaderboard_rules import is_uncommitted
    from benchmark.settings.trial import is_trial

    trials = [one.name for one in chosen if any(is_trial(result["config"]) for result in one.results)]
    limited = [one.name for one in chosen if any(result["limited"] for result in one.results)]
    uncommitted = [one.name for one in chosen if any(map(is_uncommitted, one.results))]
    notes = {
        "Quick trials (--fast-dev-run), whose numbers mean nothing": trials, "Not run on all test speakers": limited,
        "Made from changed or unknown code, or with plugins from elsewhere": uncommitted,
    }  # fmt: skip
    return " ".join(f"{what}: {', '.join(those)}." for what, those in notes.items() if those)


def seeds_note(chosen: Sequence[Contender], lines: Sequence[Line]) -> str:
    """A note if the comparison leaves seeds out, or rests anywhere on fewer than a row needs; "" otherwise."""
    from benchmark.results.leaderboard_rules import MIN_SEEDS

    common, notes = set(common_seeds(chosen)), []
    if left := [f"{one.name}'s {seeds_said(more)}" for one in chosen if (more := seeds_of(one) - common)]:
        notes.append(f"Left out, because not all have them: {', '.join(left)}.")
    fewest, most = (pick(line.found.seeds for line in lines) for pick in (min, max))
    if fewest < MIN_SEEDS:
        where = seeds_said(common) if fewest == most == len(common) else f"{counted(fewest, 'seed')} in places"
        notes.append(f"Compared on {where}: preliminary, because another pretraining may say otherwise.")
    return " ".join(notes)


def failures_note(chosen: Sequence[Contender], metrics: Collection[str], shots: int | None, steps: int | None) -> str:
    """How many utterances could not be scored, and the commonest reason; "" if all could. Arguments as of :func:`compare_all`."""
    from benchmark.results.episode_tables import commonest_failure

    notes = []
    for one in on_common_seeds(chosen):
        here = rows_at(one, shots, steps)
        for metric in metrics:
            lost = here[here[metric].isna()]
            if len(lost):
                why = commonest_failure(lost, [metric]) or "no reason is given"
                where = ",".join(map(str, sorted(set(lost["steps"]))))
                notes.append(f"{metric} of {one.name} {len(lost)} of {len(here)}, at {where} steps ({why})")
    return f"Not scored, and left out on both sides: {'; '.join(notes)}." if notes else ""
