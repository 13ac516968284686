"""What a comparison says, in plain English: who is better where, and what to bear in mind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence

from benchmark.plumbing.words import counted
from benchmark.results.comparison import CURVE, Contender, Line, common_seeds, on_common_seeds, rows_at, seeds_in_words, seeds_of

UNLIKE = 1.1
"""Ratio from which training budgets count as different."""


def verdicts(lines: Sequence[Line]) -> list[str]:
    """One sentence for each pair and metric."""
    sentences = []
    for (first, second, metric), group in itertools.groupby(lines, key=lambda line: (line.first, line.second, line.metric)):
        rest = list(group)
        parts = []
        for name, other in ((first, second), (second, first)):
            where = [line for line in rest if line.better == name]
            if where:
                parts.append(f"{name} is better than {other} {_places(where, len(rest))}")
        if not parts:
            sentences.append(f"{metric}: no difference shown between {first} and {second}.")
        else:
            won = sum(line.better is not None for line in rest)
            sentences.append(f"{metric}: {', '.join(parts)}{'; no difference shown elsewhere' if won < len(rest) else ''}.")
    return sentences


def place(line: Line) -> str:
    """Where on the grid, in words."""
    shots = counted(line.shots, "shot")
    return f"{shots} over the whole curve" if line.steps == CURVE else f"{shots} and {counted(line.steps, 'step')}"


def _places(lines: Sequence[Line], everywhere: int) -> str:
    if len(lines) == everywhere:
        return "everywhere" if everywhere > 1 else f"at {place(lines[0])}"
    return "at " + ", ".join(place(line) for line in lines)


def power_note(lines: Sequence[Line]) -> str:
    """A note if too few speakers, tested in too many places, could show no difference whatever their scores; "" otherwise."""
    from benchmark.results.statistics import SIGNIFICANT, least_p

    tests = sum(not math.isnan(line.p) for line in lines)
    most = max(line.found.speakers for line in lines)
    least = least_p(most, tests)
    if least <= SIGNIFICANT or all(line.found.difference.mean == 0 for line in lines):
        return ""
    more = "choose fewer places by --shots and --steps, before looking, or take" if tests > 1 else "take"
    where = f"{most} speaker(s) in {max(tests, 1)} place(s)"
    return f"{where} give a p of at least {least:.2g}, so no difference could be shown: {more} more speakers."


def budget_note(chosen: Sequence[Contender]) -> str:
    """A note if methods were trained with different amounts of compute; "" otherwise."""
    from benchmark.results.leaderboard import training_tflops

    spent = {one.name: training_tflops(one.results) for one in chosen}
    trained = {name: tflops for name, tflops in spent.items() if tflops > 0}
    if not trained or max(trained.values()) <= UNLIKE * min(trained.values()):
        return ""
    each = ", ".join(f"{name} {tflops:.3g} TFLOP" for name, tflops in trained.items())
    return f"Trained with different budgets, which may explain a difference: {each}."


def limited_note(chosen: Sequence[Contender]) -> str:
    """A note if some were scored on only some speakers, or made from code that no commit holds; "" otherwise."""
    from benchmark.results.leaderboard_rules import is_uncommitted

    limited = [one.name for one in chosen if any(result["limited"] for result in one.results)]
    uncommitted = [one.name for one in chosen if any(map(is_uncommitted, one.results))]
    notes = {"Not run on all test speakers": limited, "Made from changed or unknown code, or with plugins from elsewhere": uncommitted}
    return " ".join(f"{what}: {', '.join(those)}." for what, those in notes.items() if those)


def seeds_note(chosen: Sequence[Contender], lines: Sequence[Line]) -> str:
    """A note if the comparison leaves seeds out, or rests anywhere on fewer than a row needs; "" otherwise."""
    from benchmark.results.leaderboard_rules import MIN_SEEDS

    common, notes = set(common_seeds(chosen)), []
    if left := [f"{one.name}'s {seeds_in_words(more)}" for one in chosen if (more := seeds_of(one) - common)]:
        notes.append(f"Left out, because not all have them: {', '.join(left)}.")
    fewest, most = (pick(line.found.seeds for line in lines) for pick in (min, max))
    if fewest < MIN_SEEDS:
        where = seeds_in_words(common) if fewest == most == len(common) else f"{counted(fewest, 'seed')} in places"
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
