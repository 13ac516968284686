"""Leaderboard rows as BibTeX to cite."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plumbing.words import listed
from benchmark.results.latex import escaped
from benchmark.results.leaderboard import run_folder
from benchmark.results.leaderboard_file import read, run_ids
from benchmark.results.leaderboard_names import configurations, differences, labels, who
from benchmark.results.leaderboard_rules import marks_of
from benchmark.results.leaderboard_table import UNFIT


def cite(path: Path, algorithm: str, shots: int | None = None, steps: int | None = None, committed: bool = True) -> str:
    """BibTeX for an algorithm's rows, with what they were made from.

    Args:
        path: the CSV file.
        algorithm: its name, or one of its configurations, ``reptile:d37ca7c2``.
        shots, steps: only rows with these numbers.
        committed: whether the table is one of the benchmark's; if not, the entry says so.

    Raises:
        BenchmarkError: there is no readable table.
        UsageError: the table has no such rows, or has rows that must not be cited.
    """
    from benchmark import RELEASED
    from benchmark.plugins.registry import suggest

    rows = read(path)
    algorithm, _, digest = algorithm.partition(":")
    every = [row for row in rows if row["algorithm"] == algorithm]
    if not every:
        raise UsageError(f"{path} has no rows of {algorithm}{suggest(algorithm, sorted({row['algorithm'] for row in rows}))}")
    mine = [row for row in every if row["options"].startswith(digest)]
    if not mine:
        raise UsageError(f"{path} has no configuration {digest!r} of {algorithm}; it has {', '.join(dict.fromkeys(labels(every)))}.")
    mine = [row for row in mine if (shots is None or int(row["shots"]) == shots) and (steps is None or int(row["steps"]) == steps)]
    if not mine:
        raise UsageError(f"{path} has no row of {algorithm} with these shots and steps; leave out --shots and --steps to cite all.")
    if len({who(row) for row in mine}) > 1:
        raise UsageError(f"{algorithm} has several configurations in {path}; cite one of them: {' '.join(configurations(mine))}")
    if bad := [row for row in mine if row["status"] != "ok" or row["synthetic"] == "true"]:
        status = bad[0]["status"]
        reasons = listed([UNFIT.get(mark, "unknown") for mark in sorted(marks_of(bad[0]))])
        reason = "synthetic voices" if bad[0]["synthetic"] == "true" else f"status {status}: {reasons}"
        raise UsageError(f"The rows of {algorithm} in {path} are not to be cited ({reason}).")
    first = mine[0]
    runs = run_ids(mine)
    origin = _commits(path, runs) + ("" if committed else f", from {path.name}, which is not a table of the benchmark's repository")
    place = [f"{count} {what}" for count, what in ((shots, "shots"), (steps, "steps")) if count is not None]
    unlike = differences(every).get(who(first), "")
    suffix = f"-{first['options']}" * bool(unlike) + "".join(f"-{each.replace(' ', '-')}" for each in place)
    named = escaped(f"{algorithm} ({unlike})" if unlike else algorithm)
    parts = f"training {first['training_version']}, evaluation {first['evaluation_version']}, {first['metric_versions'].replace('=', ' ')}"
    note = (
        f"Version {first['benchmark_version']} ({parts}), protocol {first['protocol_version']}, data {first['data_version']}, episodes "
        f"{first['manifest_hash'][:12]}, preset {first['preset']}, configuration {first['options']}{origin}; runs {', '.join(runs)}"
        f"{_credit(path, runs)}"
    )
    return "\n".join([
        f"@misc{{few-shot-tts-benchmark-{path.stem}-{algorithm}{suffix},",
        "  author = {{Few-Shot TTS Benchmark}},",
        f"  title = {{Few-Shot {{TTS}} Benchmark: {named} on {escaped(path.stem)}{''.join(f', {each}' for each in place)}}},",
        f"  year = {{{RELEASED}}},",
        f"  note = {{{escaped(note)}}},",
        "}",
    ])  # fmt: skip


def _credit(path: Path, runs: Sequence[str]) -> str:
    """Whose corpus it is, which papers must credit too; "" if no run is at hand, or its dataset's plugin is not."""
    from benchmark.plugins import registry
    from benchmark.results.result import read_result

    for folder in filter(None, (run_folder(path, run_id) for run_id in runs)):
        with suppress(BenchmarkError):
            card = registry.load("dataset", read_result(folder)["dataset"]).card
            return f"; corpus {card.title}, {card.citation.rstrip('.')}, licence {card.licence}"
    return ""


def _commits(path: Path, runs: Sequence[str]) -> str:
    """The commits of those runs that are at hand."""
    from benchmark.results.result import read_result

    commits: dict[str, None] = {}
    for folder in filter(None, (run_folder(path, run_id) for run_id in runs)):
        with suppress(BenchmarkError):  # verify reports damage
            commits[str(read_result(folder)["git_commit"])[:12]] = None
    return f", code {', '.join(commits)}" * bool(commits)
