"""What a drill found: a verdict for each case, and the table that sums them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tabulate import tabulate

FAILED = "FAILED"
"""The verdict of a case that went wrong."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one case.

    Attributes:
        drill: which drill it belongs to.
        kind: of the case, a row of the table.
        verdict: a column of the table; ``FAILED`` if it went wrong.
        case: what was done, so that it can be done again by hand.
        why: what went wrong.
    """

    drill: str
    kind: str
    verdict: str
    case: str
    why: str = ""


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts by kind and verdict for each drill, then every case that went wrong."""
    parts = []
    for drill in dict.fromkeys(outcome.drill for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.drill == drill]
        counts = Counter((outcome.kind, outcome.verdict) for outcome in mine)
        verdicts = sorted({outcome.verdict for outcome in mine} | {FAILED}, key=lambda verdict: (verdict == FAILED, verdict))
        kinds = sorted({outcome.kind for outcome in mine})
        rows = [[kind, *(counts[kind, verdict] or "" for verdict in verdicts)] for kind in kinds]
        total = ["all", *(sum(counts[kind, verdict] for kind in kinds) for verdict in verdicts)]
        parts.append(tabulate([*rows, total], [f"{drill}: {len(mine)}", *verdicts]))
    parts += [f"{FAILED}  {each.drill}, {each.kind}: {each.case}\n        {each.why}" for each in failed(outcomes)]
    return "\n\n".join(parts)


def failed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The cases that went wrong."""
    return [outcome for outcome in outcomes if outcome.verdict == FAILED]
