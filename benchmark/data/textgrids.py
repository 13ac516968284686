"""Phone boundaries from Praat TextGrids, as the Montreal Forced Aligner writes them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmark.dataset import Segment, Utterance
from benchmark.plumbing.files import printable
from benchmark.utterance import Words

PHONE_TIERS = ("phones", "phone", "phonemes")
OVERLAP = 0.02
"""Seconds by which intervals may overlap, for rounding."""
BEYOND = 0.05
"""Seconds by which the last interval may end after the recording does."""
LENGTH = 0.05
"""Share of the recording by which the grid's length may differ from its own, besides ``BEYOND``."""
ARPABET = frozenset({
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N",
    "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
})  # fmt: skip
"""The phones of MFA's older English models, without the digit for stress."""
SILENCES = frozenset({"", "sil", "sp", "spn", "silence", "<eps>", "<sil>"})


class Grid(NamedTuple):
    """What a TextGrid holds.

    Attributes:
        seconds: where the grid ends.
        phones: (label, start, end) of each interval of the phone tier, in seconds.
    """

    seconds: float
    phones: list[tuple[str, float, float]]


class Refused(Exception):
    """A TextGrid can't be used; the message is the reason that preparation counts."""


def find(folder: Path) -> dict[str, Path]:
    """The TextGrids in a folder and below, by their relative paths without the ending ("anna/1"), sorted."""
    some = sorted(path for path in folder.rglob("*") if path.suffix.casefold() == ".textgrid" and not path.name.startswith("."))
    return {printable(path.relative_to(folder).with_suffix("").as_posix()): path for path in some}


def matched(grids: Mapping[str, Path], utterances: Iterable[Utterance]) -> dict[str, Path]:
    """The TextGrid of each utterance that has one, by the utterance's id.

    It lies as the recording does (MFA writes "anna/1.TextGrid" for a recording ".../anna/1.wav"); or else is called as the utterance: by
    its path, "anna-1", or its name alone if no other TextGrid is called so.

    Args:
        grids: as :func:`find` gives them.
        utterances: of the whole dataset.
    """
    names = Counter(name.rpartition("/")[2] for name in grids)
    called = {name.rpartition("/")[2]: path for name, path in grids.items() if names[name.rpartition("/")[2]] == 1}
    called |= {name.replace("/", "-"): path for name, path in grids.items() if "/" in name}
    found = {}
    for utterance in utterances:
        parts = printable(utterance.audio.with_suffix("")).split("/") if utterance.audio is not None else []
        beside = ("/".join(parts[at:]) for at in range(len(parts) - 1))  # with one folder or more
        path = next((grids[name] for name in beside if name in grids), called.get(utterance.id))
        if path is not None:
            found[utterance.id] = path
    return found


def segments(path: Path, words: Words, seconds: float) -> list[list[Segment]]:
    """Where each phone of ``words`` lies, word by word, in seconds of the recording.

    Args:
        path: the TextGrid.
        words: the text's phones.
        seconds: length of the recording.

    Raises:
        Refused: the file can't be read, its phones differ from ``words``, or its times don't fit the recording.
    """
    grid = read(path)
    intervals = [(label, start, end) for label, start, end in grid.phones if label.lower() not in SILENCES]
    labels = [label for label, _, _ in intervals]
    if labels != [phone for word in words for phone in word]:
        if labels and all(label.rstrip("012") in ARPABET for label in labels):
            raise Refused("phones are ARPABET, but the text's are IPA; align with a dictionary of the phones that docs/data.md describes")
        raise Refused("phones differ from the text's")
    _check_times([(start, end) for _, start, end in intervals], seconds)
    if abs(grid.seconds - seconds) > BEYOND + LENGTH * seconds:
        raise Refused("its length is not the recording's")
    found = iter(intervals)
    return [[Segment(*next(found)) for _ in word] for word in words]


def _check_times(times: Sequence[tuple[float, float]], seconds: float) -> None:
    if any(end <= start for start, end in times):
        raise Refused("an interval does not end after it starts")
    if any(later[0] < earlier[0] for earlier, later in pairwise(times)):
        raise Refused("intervals are out of order")
    if any(later[0] < earlier[1] - OVERLAP for earlier, later in pairwise(times)):
        raise Refused("intervals overlap")
    last = times[-1][1]
    if times[0][0] < -OVERLAP or last > seconds + BEYOND:
        # Milliseconds: the last phone ends above 100, and a thousandth of that lies within the recording.
        unit = "times are in milliseconds" if last > 100 and last / 1000 <= seconds + BEYOND else "times lie outside the recording"
        raise Refused(unit)


def read(path: Path) -> Grid:
    """A TextGrid's phone tier.

    Raises:
        Refused: the file can't be read or has no phone tier.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("unreadable file") from error
    # The long and the short form hold the same values in the same order; the long form adds names and [numbers].
    tokens = re.findall(r'"((?:[^"]|"")*)"|(?<![\w.])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.])', re.sub(r"\[\d*\]:?", "", text))
    values = iter([number or label.replace('""', '"').strip() for label, number in tokens])
    try:
        _type, _class, _start, end = (next(values) for _ in range(4))
        for _ in range(int(next(values))):
            kind, name, _, _, count = next(values), next(values), next(values), next(values), int(next(values))
            size = 3 if kind == "IntervalTier" else 2
            entries = [tuple(next(values) for _ in range(size)) for _ in range(count)]
            if kind == "IntervalTier" and name.lower().rpartition(" ")[2] in PHONE_TIERS:
                return Grid(float(end), [(label, float(start), float(end)) for start, end, label in entries])
    except (StopIteration, RuntimeError, ValueError) as error:
        raise Refused("not a TextGrid") from error
    raise Refused("no phone tier")
