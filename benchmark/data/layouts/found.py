"""What every layout gives, and where its tables may lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmark.data.places import SPLIT_NAMES, subfolders
from benchmark.dataset import Utterance
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import printable

METADATA = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
WAV_SCP = ("wav.scp",)
NOBODY = "speaker"
"""The one speaker of recordings that name none."""
NO_FILE = "no audio file named"


class Found(NamedTuple):
    """What a layout holds.

    Attributes:
        utterances: in any order.
        splits: the given splits, by speaker.
        said: what the reader concluded and a user should know; "" if nothing.
    """

    utterances: list[Utterance]
    splits: dict[str, str]
    said: str = ""


def tables_in(root: Path, names: Sequence[str]) -> list[tuple[Path, str]]:
    """A layout's tables and their splits: the root's own, "", or those in folders named after splits, in the root or its folder ``data``.

    Args:
        root: of the corpus.
        names: of such a table; the first that a folder has is its table.

    Raises:
        BenchmarkError: there is another such table, which would not be read.
    """
    there = _tables(root, names)
    own = [(path, "") for path in there if path.parent == root]
    read = own or [(path, SPLIT_NAMES[name]) for path in there if (name := path.parent.name.casefold()) in SPLIT_NAMES]
    if strays := [path for path in there if path not in [path for path, _ in read]]:
        stray = f"{printable(strays[0])}{f' and {len(strays) - 1} more' if len(strays) > 1 else ''} would not be read, because"
        if own:
            raise BenchmarkError(f"{stray} {printable(own[0][0])} is the corpus's table; move away the one that is not meant.")
        raise BenchmarkError(
            f"{stray} its folder is not named after a split; call it train, dev or test, move it away, or point --data-root at it."
        )
    return read


def refuse_tables(folder: Path, root: Path) -> None:
    """No table may lie in a folder of the root where recordings are to be read without one.

    Raises:
        BenchmarkError: one does.
    """
    if there := _tables(folder, METADATA + WAV_SCP):
        at = there[0].parent if len(there) == 1 or folder == root else folder
        raise BenchmarkError(f"{printable(there[0])} is a table that no layout has there; point --data-root at {printable(at)}.")


def named(utterances: list[Utterance]) -> list[Utterance]:
    """Utterances named after their files, or after their whole paths where two files share a name."""
    stems = Counter(utterance.id.rpartition("/")[2] for utterance in utterances)
    return [
        replace(each, id=stem if stems[stem := each.id.rpartition("/")[2]] == 1 else each.id.replace("/", "-")) for each in utterances
    ]


def _tables(root: Path, names: Sequence[str]) -> list[Path]:
    """The table of each folder that has one: the root, those in it, those in its folder ``data``."""
    folders = [root, *subfolders(root), *subfolders(root / "data")]
    return [path for folder in folders if (path := next((folder / name for name in names if (folder / name).is_file()), None))]
