"""What a leaderboard's design can detect, and what other designs could, as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmark.errors import UsageError
from benchmark.plugins.registry import Plugins
from benchmark.plumbing.words import counted
from benchmark.results.best_table import comparable, rows_and_metric
from benchmark.results.leaderboard_file import metrics_in, title
from benchmark.results.leaderboard_rules import role_of
from benchmark.results.power import ALPHA, POWER, Components, Design, components, pooled
from benchmark.results.row_episodes import RowEpisodes
from benchmark.results.ties import Row

SPEAKERS, SEEDS, QUERIES = (12, 24, 40, 80), (1, 3), (3, 6, 12)
"""Designs to compare with the table's own."""
KEY = ["speaker", "seed", "episode", "utterance"]


def show_power(path: Path, metric: str = "", places: Sequence[Path] = (), plugins: Plugins = ()) -> str:
    """Variance components of the differences between a table's methods, and the differences that designs detect.

    Every two methods are paired at each number of shots and steps that both have; toplines and floors are left out.

    Args:
        path: the CSV file.
        metric: column; empty: the one that ranks.
        places: more folders that hold the runs behind the rows.
        plugins: ``--plugin`` files.

    Raises:
        BenchmarkError: there is no readable table, or a run is damaged.
        UsageError: the table has no such metric, or no two methods that can be paired.
    """
    from tabulate import tabulate

    rows, metric = rows_and_metric(path, metric)
    if metric not in metrics_in(rows):
        raise UsageError(f"{path} has no metric {metric!r}; it has {', '.join(metrics_in(rows))}.")
    group = next(iter(comparable(rows).values()))
    found = list(_pairs([row for row in group if not role_of(row, plugins)], metric, RowEpisodes(path, places)))
    if not found:
        raise UsageError(f"{path} has no two methods whose {metric} can be paired: their runs are not at hand (--output), or too small.")
    design = max((each for _, each in found), key=lambda each: (each.seeds, each.speakers, each.queries))
    same = [one for one, each in found if each == design]
    mean = pooled(same)
    names = {
        "speaker": mean.speaker, "seed": mean.seed, "speaker x seed": mean.interaction, "sentence": mean.sentence, "rest": mean.residual,
    }  # fmt: skip
    # One seed tells speakers from the rest alone.
    known = names if design.seeds > 1 else ("speaker", "rest")
    deviations = [[name, f"{math.sqrt(value):.3f}" if name in known else "-"] for name, value in names.items()]
    parts = tabulate(deviations, ["between", "standard deviation"], disable_numparse=True, colalign=["left", "right"])
    designs = [Design(*sizes) for sizes in itertools.product(SPEAKERS, SEEDS, QUERIES)]
    lines = [
        [each.speakers, each.seeds, each.queries, f"{mean.detectable(each):.3f}"]
        for each in sorted({design, *designs}, key=lambda each: (each.speakers, each.seeds, each.queries))
    ]
    table = tabulate(lines, ["speakers", "seeds", "queries", "detectable"], disable_numparse=True, colalign=["right"] * 4)
    return "\n".join([
        f"{title(path)}: differences in {metric} between two methods, at the same shots and steps",
        "",
        f"From {counted(len(same), 'pair')} of rows with {_in_words(design)}:",
        parts,
        "",
        f"A true difference is shown with probability {POWER:g} (two-sided test at {ALPHA:g}) from this size on:",
        table,
        "",
        *_notes(design, mean),
    ])  # fmt: skip


def _pairs(rows: Sequence[Row], metric: str, episodes: RowEpisodes) -> Iterator[tuple[Components, Design]]:
    """Each pair's components; once where scores are the same at several numbers of shots, as before the first step."""
    by_place: dict[tuple[str, str], list[Row]] = {}
    seen = set()
    for row in rows:
        if row[metric]:
            by_place.setdefault((row["shots"], row["steps"]), []).append(row)
    for own in by_place.values():
        frames = [frame.set_index(KEY)[metric] for row in own if (frame := episodes(row)) is not None]
        for one, other in itertools.combinations(frames, 2):
            paired = pd.concat([one, other], axis=1, keys=["one", "other"], join="inner").dropna()
            differences = (paired["one"] - paired["other"]).to_numpy()
            if not differences.any() or differences.tobytes() in seen:
                continue
            seen.add(differences.tobytes())
            flat = paired.reset_index().assign(value=differences)
            flat["sentence"] = flat["episode"].astype(str) + " " + flat["utterance"]
            try:
                yield components(flat[["speaker", "seed", "sentence", "value"]])
            except ValueError:
                continue


def _in_words(design: Design) -> str:
    return f"{counted(design.speakers, 'speaker')}, {counted(design.seeds, 'seed')} and {counted(design.queries, 'sentence')} a speaker"


def _notes(design: Design, mean: Components) -> list[str]:
    notes = ["queries: sentences of each speaker, over all episodes. Corrections for several tests need larger differences."]
    if design.seeds == 1:
        notes.append(
            "With one seed, the sizes hold for its pretraining alone: over several pretrainings, what each changes for all speakers alike "
            "(unknown here) adds to them. What it changes for a speaker counts as the speaker's, so designs of more seeds look too weak."
        )
    elif mean.seed:
        notes.append("No number of speakers removes what differs between seeds.")
    return notes
