"""What of a run's folder can be used again: a complete one if its files are sound, a begun one on the features that it was begun on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmark.errors import BenchmarkError
from benchmark.plumbing import checkpoint
from benchmark.plumbing.files import is_file, write_text
from benchmark.results import kept_speech
from benchmark.results.episode_log import DAMAGED, set_aside
from benchmark.results.episode_tables import EPISODES_FILE, Contradiction
from benchmark.results.result import read_result, read_tables

FEATURES = "features.txt"
"""Names the features that a run was begun on."""


def has_features(folder: Path, version: str) -> bool:
    """Whether a run was begun on features of this version (``Corpus.exact_version``), or nothing tells.

    Processors round features differently: begun on one and finished on another, a run would be neither's.
    """
    path = folder / FEATURES
    return not is_file(path) or path.read_bytes() == version.encode()


def keep_to_features(folder: Path, version: str) -> None:
    """Start a run over, and say so, if it was begun on other features, and note which a new one has.

    Args:
        folder: of the run, whose result is not there yet.
        version: ``Corpus.exact_version``.
    """
    if not has_features(folder, version):
        print(f"{folder} was begun on features that another machine computed; it starts over.", file=sys.stderr)
        for path in folder.iterdir():
            if path.suffix != DAMAGED:  # copies that were kept for their owner
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    begun = (folder / EPISODES_FILE, *(folder / "checkpoints").glob("*"))
    if not any(map(is_file, begun)):
        write_text(folder / FEATURES, version)


def is_sound(folder: Path) -> bool:
    """Whether a complete run's files can be used.

    If not, prints why and sets the result aside, and tables that it was not made from. The run is then resumed like one that was killed,
    however often that is cut off too.
    """
    if _agrees(folder):
        return True
    (folder / "result.json").replace(folder / f"result.json{DAMAGED}")
    return False


def _agrees(folder: Path) -> bool:
    try:
        result = read_result(folder)
        read_tables(folder, result)
        kept_speech.check(folder, result)
        kept_speech.mend(folder, result)
    except Contradiction as error:
        # There is no way to tell which of the two is right.
        set_aside(error.file, "it disagrees with the result.json beside it")
        if error.file.parent == folder:  # speech is found again by its own digest, and made again with its scores
            error.file.unlink()
        return False
    except BenchmarkError as error:
        print(f"Resuming a run that was complete: {str(error).partition(';')[0]}.", file=sys.stderr)
        return False
    return True


def has_damaged_weights(folder: Path) -> bool:
    """Whether weights that a run left are damaged, and reports those; they can be deleted without harm, as ``tune`` does."""
    return any([checkpoint.load(path, _is_state) is None for path in sorted((folder / "checkpoints").glob("*.pt"))])


def drop_damaged_training(folder: Path) -> None:
    """Delete a training checkpoint that is damaged, and say so: a complete run with sound weights needs it no more."""
    for path in sorted((folder / "checkpoints").glob("*.ckpt")):
        if checkpoint.load(path, quiet=True) is None:
            path.unlink()
            print(f"{path} is damaged and was deleted; the run's weights and results are whole.", file=sys.stderr)


def _is_state(state: object) -> bool:
    if not isinstance(state, dict):
        raise ValueError("no weights")
    return True
