"""Phone boundaries from Praat TextGrids, as the Montreal Forced Aligner writes them."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.dataset import Segment
from benchmark.utterance import Words

PHONE_TIERS = ("phones", "phone", "phonemes")
SILENCES = frozenset({"", "sil", "sp", "spn", "silence", "<eps>", "<sil>"})


class Refused(Exception):
    """A TextGrid can't be used; the message is the reason under which it is counted."""


def find(folder: Path) -> dict[str, Path]:
    """The TextGrids in a folder and below, by file name without its ending, which is the utterance's id."""
    return {path.stem: path for path in sorted(folder.rglob("*.TextGrid"))}


def segments(path: Path, words: Words) -> list[list[Segment]]:
    """Where each phone of ``words`` lies, word by word, in seconds of the recording.

    Raises:
        Refused: the file can't be read, or its phones are not those of ``words``.
    """
    intervals = [(label, start, end) for label, start, end in phones(path) if label.lower() not in SILENCES]
    if [label for label, _, _ in intervals] != [phone for word in words for phone in word]:
        raise Refused("phones differ from the text's")
    found = iter(intervals)
    return [[Segment(*next(found)) for _ in word] for word in words]


def phones(path: Path) -> list[tuple[str, float, float]]:
    """(label, start, end) of each interval of the phone tier.

    Raises:
        Refused: the file can't be read or has no phone tier.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("unreadable file") from error
    # The long and the short form hold the same values in the same order; the long one adds names and [numbers].
    tokens = re.findall(r'"((?:[^"]|"")*)"|(?<![\w.])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.])', re.sub(r"\[\d*\]:?", "", text))
    values = iter([number or label.replace('""', '"').strip() for label, number in tokens])
    try:
        next(values), next(values), next(values), next(values)  # file type, object class, start, end
        for _ in range(int(next(values))):
            kind, name, _, _, count = next(values), next(values), next(values), next(values), int(next(values))
            size = 3 if kind == "IntervalTier" else 2
            entries = [tuple(next(values) for _ in range(size)) for _ in range(count)]
            if kind == "IntervalTier" and name.lower().rpartition(" ")[2] in PHONE_TIERS:
                return [(label, float(start), float(end)) for start, end, label in entries]
    except (StopIteration, RuntimeError, ValueError) as error:
        raise Refused("not a TextGrid") from error
    raise Refused("no phone tier")
