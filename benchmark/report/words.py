"""How a report says numbers: units, digits that the intervals bear out, constants in plain English."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmark.report.boards import Row

SECONDS = re.compile(r"\b\d+\.\d+(?= s\b)")
"""Durations in a reason, "0.46 s": other digits may be names."""
UNITS = {
    "mcd": "dB", "f0_rmse": "cents", "vuv_error": "%", "duration_error": "ms", "pesq": "MOS-LQO", "speaker_similarity": "cosine",
    "gap_closed": "fraction", "per": "fraction", "eer": "fraction", "stoi": "0 to 1", "estoi": "0 to 1",
    "ecapa_similarity": "cosine", "ecapa_gap_closed": "fraction", "ecapa_eer": "fraction",
}  # fmt: skip
PLAIN = {
    "gap_closed": "how far the voice gets from other speakers' (0) to the speaker's own (1)",
    "speaker_similarity": "how much the voice sounds like the speaker's, to a speaker encoder",
    "eer": "how often a verifier takes the speech for another speaker's, or another speaker for this one",
    "mcd": "how far the spectral envelope is from the recording's",
    "pesq": "quality against the recording, predicted by a standard for telephone speech",
    "stoi": "intelligibility against the recording, predicted",
    "estoi": "intelligibility against the recording, predicted, rewarding modulation",
    "per": "share of phonemes that a recogniser, which errs on recordings too, gets wrong",
    "f0_rmse": "how far the pitch is from the recording's",
    "vuv_error": "how often voicing is not the recording's",
    "duration_error": "how far the phonemes' durations are from the recording's",
    "ecapa_similarity": "how much the voice sounds like the speaker's, to another speaker encoder, ECAPA-TDNN",
    "ecapa_gap_closed": "how far the voice gets from other speakers' (0) to the speaker's own (1), to ECAPA-TDNN",
    "ecapa_eer": "how often a verifier with ECAPA-TDNN takes the speech for another speaker's, or another speaker for this one",
}
"""Metrics' columns in plain English; their definitions are in ``leaderboards/README.md``."""
FACTS = {
    "same": "similarity of a recording to its own speaker's others",
    "different": "similarity of a recording to other speakers'",
    "eer_real": "equal error rate on recordings",
    "per_real": "recogniser's phoneme error rate on recordings",
    "ecapa_same": "similarity of a recording to its own speaker's others, by ECAPA-TDNN",
    "ecapa_different": "similarity of a recording to other speakers', by ECAPA-TDNN",
    "ecapa_eer_real": "equal error rate on recordings, by ECAPA-TDNN",
}
"""Constants of real speech, by their names in ``result.json``."""


def label(metric: str) -> str:
    """A metric with its unit."""
    return f"{metric} ({UNITS[metric]})" if metric in UNITS else metric


def plain(metric: str) -> str:
    """A metric and what it measures."""
    return f"{metric}: {PLAIN[metric]}" if metric in PLAIN else metric


def number(cell: str) -> float:
    """A leaderboard's cell; NaN where it is empty."""
    return float(cell) if cell else math.nan


def digits(rows: Iterable[Row], metric: str) -> int:
    """Decimals of a metric's column: two significant digits of its middle half-interval, three decimals at most."""
    widths = [
        (number(row[f"{metric}_hi"]) - number(row[f"{metric}_lo"])) / 2 for row in rows if row.get(metric) and row.get(f"{metric}_lo")
    ]
    widths = [width for width in widths if width > 0]
    return min(3, max(0, 1 - math.floor(math.log10(statistics.median(widths))))) if widths else 3


def interval(row: Row, metric: str, places: int) -> str:
    """The 95 % interval as papers print it; "" where there is none."""
    low, high = row.get(f"{metric}_lo"), row.get(f"{metric}_hi")
    return f"[{float(low):.{places}f}, {float(high):.{places}f}]" if low and high else ""


def said(row: Row, metric: str, places: int) -> str:
    """A value and its interval in words."""
    if not row.get(metric):
        return "not scored"
    bounds = interval(row, metric, places)
    return f"{float(row[metric]):.{places}f}" + (f", 95 % interval {bounds}" if bounds else "")


def ranged(texts: Sequence[str]) -> str:
    """Texts that differ in durations alone as one: "0.20 to 0.46 s of voice found"."""
    every = [SECONDS.findall(text) for text in texts]
    spans = [sorted(set(durations), key=float) for durations in zip(*every, strict=True)]
    words = iter(span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans)
    return SECONDS.sub(lambda _: next(words), texts[0])


def facts(values: Mapping[str, float | None]) -> dict[str, str]:
    """Constants of real speech under names that can be read."""
    return {FACTS.get(name, name): f"{value:.3g}" for name, value in values.items() if value is not None}


def listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
