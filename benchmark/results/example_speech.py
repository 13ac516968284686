"""Examples of speech beside a leaderboard: a few files of the runs behind its rows, for pages that show the table."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmark import problems
from benchmark.errors import UsageError
from benchmark.plugins.registry import Plugins
from benchmark.plumbing.files import write_atomic, write_text
from benchmark.plumbing.words import counted
from benchmark.results import kept_speech
from benchmark.results.dataset_card import corpus_card
from benchmark.results.leaderboard import RUNS
from benchmark.results.leaderboard_file import read, run_ids
from benchmark.results.result import read_result

MOST = 5_000_000
"""Bytes of examples beside one table."""


def keep(table: Path, places: Sequence[Path], speakers: int, plugins: Plugins = ()) -> list[Path]:
    """Copy speech of the first speakers beside a table: of each method one seed's, at its most shots and steps, and what they said.

    A text beside the files tells whose recordings they are, under which licence, and what to cite.

    Args:
        table: CSV file.
        places: folders of the runs behind its rows.
        speakers: how many, by name.
        plugins: ``--plugin`` files, for their dataset.

    Returns:
        the files, each in the folder of its run beside the table.

    Raises:
        UsageError: no run with speech is there, the table does not keep its runs, or the examples are too large.
        BenchmarkError: a run's speech was changed, or the table is damaged.
    """
    card = corpus_card(table, plugins)
    chosen = list(_chosen(_runs(table, places), speakers))
    if not chosen:
        raise UsageError(f"No run behind {table} has speech in {', '.join(map(str, places))}; say where with --output.")
    if (size := sum(path.stat().st_size for path in chosen)) > MOST:
        most = f"and {MOST / 1e6:.0f} may lie beside a table"
        raise UsageError(f"Speech of {counted(speakers, 'speaker')} takes {size / 1e6:.1f} MB, {most}: take fewer, --speakers 1.")
    copies = []
    for path in chosen:
        copy = table.parent / RUNS / path.parent.parent.name / kept_speech.FOLDER / path.name
        write_atomic(copy, partial(shutil.copyfile, path))
        copies.append(copy)
    write_text(table.parent / RUNS / f"{table.stem}-speech.md", (
        f"# Speech beside `{table.name}`\n\nFiles called `*_recording.wav` and `*_support.wav` are recordings of {card.title}, licence "
        f"{card.licence}. Citation: {card.citation.rstrip('.')}. All other wav files are synthesised: no recordings of anybody.\n"
    ))  # fmt: skip
    return copies


def _runs(table: Path, places: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """The runs behind the rows that kept speech, of the seed that most of them have; each as the table keeps it, to the digit."""
    found = {}
    for name in run_ids(read(table)):
        folder = next((place / name for place in places if (place / name / kept_speech.FOLDER).is_dir()), None)
        if folder is None or not (result := read_result(folder)).get("speech"):
            continue
        kept = table.parent / RUNS / name
        if not kept.is_dir() or read_result(kept).get("speech") != result["speech"]:
            raise UsageError(f"{table} does not keep {name} as it is in {folder.parent}; add it again with 'leaderboard add'.")
        kept_speech.check(folder, result)
        found[folder] = result
    counts = Counter(result["seed"] for result in found.values())
    seed = max(counts, key=lambda each: (counts[each], -each), default=None)
    return {folder: result for folder, result in found.items() if result["seed"] == seed}


def _chosen(runs: Mapping[Path, Mapping[str, Any]], speakers: int) -> Iterator[Path]:
    every = {folder: kept_speech.speech_in(folder, result) for folder, result in runs.items()}
    targets = sorted({target for files in every.values() for target, *_ in files})[:speakers]
    told: set[str] = set()
    for folder, result in runs.items():
        if result["algorithm"] in problems.get(result["problem"]).beside:
            continue  # what others keep beside their speech stands for these toplines
        for target in targets:
            places = [place for place in every[folder] if place[0] == target]
            if not places:
                continue
            yield every[folder][max(places)]
            beside = kept_speech.beside_in(folder, result, target) if target not in told else {}
            told |= {target} if beside else set()
            for sound, text in beside.values():
                yield sound
                if text:
                    yield sound.with_suffix(".txt")
