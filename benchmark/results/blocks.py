"""CSV files that grow block by block, so that a whole block is known from one that was cut short or changed.

A block holds the rows of one (speaker, episode, shots). Each row ends with the number of the block's rows and with their checksum.
Files of the old form lack the checksum, and files of costs both.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmark.results import cells

Block = tuple[str, int, int]
"""(speaker, episode, shots): the unit that is finished as a whole or not at all."""
BLOCK_COLUMNS = ("speaker", "episode", "shots")
TAIL = ("block_rows", "checksum")
CHECKS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("speaker", "utterance"), cells.name),
    **dict.fromkeys(("episode", "shots", "steps", "flops", "stored_parameters", "block_rows"), cells.whole),
    **dict.fromkeys(("seconds_to_adapt", "peak_memory_bytes", "real_time_factor"), cells.amount),
    "trials": cells.scores, "failures": cells.reasons, "checksum": str,
}  # fmt: skip
"""What the columns hold; metrics' columns hold numbers."""


class Form(NamedTuple):
    """The columns of a file, without ``TAIL``.

    Attributes:
        first: the leading ones: the block's, and those that tell its rows apart.
        last: the trailing ones.
        metrics: whether there may be others between them.
        old: tails of the old form.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]
    metrics: bool
    old: tuple[str, ...]

    def tail(self, header: Sequence[str]) -> tuple[str, ...]:
        """The tail of a file with this header.

        Raises:
            ValueError: it is no header of such a file.
        """
        for name in (*self.first, *self.last):
            if name not in header:
                raise ValueError(f"lacks the column {name!r}")
        for tail in (TAIL, self.old):
            body, last = tuple(header[: len(header) - len(tail)]), tuple(header[len(header) - len(tail) :])
            inner = body[len(self.first) : len(body) - len(self.last)]
            ordered = body == (*self.first, *inner, *self.last) and len(set(header)) == len(header)
            if last == tail and ordered and (self.metrics or not inner):
                for name in inner:
                    cells.name(name)
                return tail
        raise ValueError("has its columns in another order")


@dataclass
class Scan:
    """What a file holds before its end or its first damage.

    Attributes:
        header: names of the columns without the tail; empty if not even the header is whole.
        tail: the file's tail.
        records: the rows of whole blocks, without the tail.
        done: those blocks.
        ends: the byte where the header ends, then the byte where each whole block ends.
        damage: the first bad row and what is wrong with it; empty if none is bad, though the last block may be cut short.
    """

    header: list[str] = field(default_factory=list)
    tail: tuple[str, ...] = TAIL
    records: list[list[str]] = field(default_factory=list)
    done: list[Block] = field(default_factory=list)
    ends: list[int] = field(default_factory=lambda: [0])
    damage: str = ""


def scan(path: Path, form: Form, blocks: Sequence[Block] = ()) -> Scan:
    """Read a file as far as it can be trusted.

    Args:
        path: the file.
        form: of the file.
        blocks: the blocks that belong in it, in this order; empty: any.

    Raises:
        OSError: it can't be read.
    """
    found = Scan()
    own: list[list[str]] = []
    lines: list[bytes] = []
    seen: set[Block] = set()
    for number, (line, offset) in enumerate(_lines(path), 1):
        try:
            record = _parsed(line)
            if not found.header:
                found.tail = form.tail(record)
                found.header, found.ends = record[: len(record) - len(found.tail)], [offset]
                continue
            key = _checked(record, [*found.header, *found.tail], own, len(form.first))
            # Old costs don't say how many rows a block has: each row is taken for one.
            size = int(record[len(found.header)]) if found.tail else 1
            if found.tail and not own and key in seen:
                raise ValueError("repeats an episode")
            if not own and blocks and (len(found.done) == len(blocks) or key != blocks[len(found.done)]):
                raise ValueError("is of an episode that does not belong there")
            lines.append(line)
            if found.tail == TAIL and len(lines) == size and checksum(lines) != record[-1]:
                raise ValueError("ends an episode that was changed: its checksum does not match")
        except ValueError as error:
            found.damage = f"row {number} {error}"
            return found
        own.append(record)
        if len(own) == size:
            found.records += [each[: len(found.header)] for each in own]
            found.done.append(key)
            found.ends.append(offset)
            seen.add(key)
            own, lines = [], []
    return found


def is_cut_short(path: Path, found: Scan) -> bool:
    """Whether a file without damage ends before its last block does."""
    return not found.header or found.ends[-1] != path.stat().st_size


def checksum(lines: Sequence[bytes]) -> str:
    """Of a block's lines, without their last cells, which hold it."""
    return hashlib.sha256(b"".join(line.rpartition(b",")[0] + b"\n" for line in lines)).hexdigest()[:16]


def written(rows: Sequence[Sequence[object]]) -> bytes:
    """A block as CSV with its tail."""
    if not rows:
        return b""
    lines = as_csv([[*row, len(rows), ""] for row in rows]).split(b"\n")[:-1]
    own = checksum(lines).encode()
    return b"".join(line + own + b"\n" for line in lines)


def as_csv(rows: Sequence[Sequence[object]]) -> bytes:
    """Rows as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_MINIMAL).writerows(rows)
    return stream.getvalue().encode("utf-8", "surrogateescape")


def block_of(record: Sequence[str]) -> Block:
    """The block of a row."""
    return record[0], int(record[1]), int(record[2])


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Lines and the byte after each; drops a last line without its end, as ``kill -9`` leaves it."""
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                offset += len(line)
                yield line, offset


def _parsed(line: bytes) -> list[str]:
    """A line's cells; the writer ensures that none holds a line break."""
    try:
        return next(csv.reader([line.decode("utf-8", "surrogateescape")], strict=True))
    except csv.Error as error:
        raise ValueError(f"is not CSV ({error})") from error


def _checked(record: list[str], header: list[str], own: list[list[str]], unique: int) -> Block:
    """The record's block, if the record may follow the rows of its block so far."""
    if len(record) != len(header):
        raise ValueError(f"has {len(record)} cells, not {len(header)}")
    for name, cell in zip(header, record, strict=True):
        try:
            CHECKS.get(name, cells.number)(cell)
        except ValueError as error:
            raise ValueError(f"has {cell[:40]!r} as {name}, which is not {error}") from error
    key = block_of(record)
    tail = record[-len(TAIL) :] if header[-1] == TAIL[-1] else record[-1:]
    if "block_rows" in header and (int(tail[0]) < 1 or (own and (key != block_of(own[0]) or own[0][-len(tail) :] != tail))):
        raise ValueError("does not fit the rows before it")
    if any(record[3:unique] == other[3:unique] for other in own):
        raise ValueError("repeats a row's steps and utterance")
    return key
