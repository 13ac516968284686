"""Two or more algorithms on the same queries: differences, tests, and verdicts in plain English."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plumbing.files import digest_of
from benchmark.plumbing.words import seeds_said
from benchmark.results.costs import COSTS, with_costs

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.plugins.registry import Plugins
    from benchmark.results.statistics import Comparison

CURVE = -1
"""Stands for a number of steps when the area under the whole adaptation curve is compared."""
COMPARABLE = (
    "dataset", "problem", "task", "data_version", "manifest_hash", "protocol_version", "backbone", "vocoder", "device", "precision",
    "training_version", "evaluation_version",
)  # fmt: skip
"""What runs must share to be compared, beside the versions of the compared metrics."""
PARTS = ("backbone", "vocoder")
"""What runs of one algorithm may differ in: it is then what is compared."""
TOLD = {
    "data_version": "were made from different recordings, or from another preparation of them; name the folders of runs that share them",
    "manifest_hash": "have different episodes (other shots, queries or recordings); name the folders of runs that share them",
}
"""How a difference is told whose values say nothing to a reader."""


@dataclass(frozen=True)
class Contender:
    """One algorithm and configuration, all seeds together.

    Attributes:
        name: the algorithm's, with the backbone or the vocoder where contenders differ in it, and with digests of its configuration and
            of its code if another contender shares all that.
        results: the ``result.json`` of each run.
        episodes: all rows of ``episodes.csv``, with a column "seed".
        folders: the folder of each run.
    """

    name: str
    results: list[dict[str, Any]]
    episodes: pd.DataFrame
    folders: list[Path]


@dataclass(frozen=True)
class Line:
    """A comparison at one place of the grid.

    Attributes:
        first, second: names of the contenders.
        metric: column.
        shots: support utterances.
        steps: adaptation steps, or ``CURVE``.
        found: the comparison on the queries that both have.
        p: ``found.p``, Holm-corrected over all tests of the comparison, those of costs apart; NaN if not tested. Lines with the
            same scores, such as unadapted models at several numbers of shots, are one test.
        better: name of the better one; None if no difference is shown.
    """

    first: str
    second: str
    metric: str
    shots: int
    steps: int
    found: Comparison
    p: float
    better: str | None

    @property
    def test(self) -> tuple[Any, ...]:
        """The same for lines with the same scores, which are one test."""
        return _test(self.first, self.second, self.metric, self.steps, self.found)


def contenders(folders: Sequence[Path], metrics: Collection[str] | None = None, plugins: Plugins = ()) -> list[Contender]:
    """Read runs, and pool those that differ only in seed, shots and steps.

    Args:
        folders: of the runs.
        metrics: metric plugins to compare; their versions and facts must agree. None: versions of all that both have must agree.
        plugins: ``--plugin`` files, for their metrics' facts.

    Raises:
        BenchmarkError: fewer than two configurations, runs that can't be compared, or a damaged one.
    """
    found = pooled(folders, metrics, plugins)
    if len(found) < 2:
        raise BenchmarkError(
            f"{folders[0].name} is compared with nothing: name runs of at least two algorithms or configurations."
        )
    return found


def pooled(folders: Sequence[Path], metrics: Collection[str] | None = None, plugins: Plugins = ()) -> list[Contender]:
    """Like :func:`contenders`, but one is enough."""
    import pandas as pd

    from benchmark.results.episode_tables import KEY_COLUMNS
    from benchmark.results.leaderboard_rules import options
    from benchmark.results.result import read_result, read_tables

    results = {folder: read_result(folder) for folder in dict.fromkeys(folders)}
    for one, other in itertools.combinations(results, 2):
        if what := _difference(results[one], results[other], metrics, plugins):
            raise BenchmarkError(f"{one.name} and {other.name} can't be compared: they {what}.")
    groups: dict[tuple[str, str, str], list[Path]] = {}
    differing = [part for part in PARTS if len({result[part] for result in results.values()}) > 1]
    for folder, result in results.items():
        code = digest_of([result["sources"], *(result[f"{part}_version"] for part in ("training", "evaluation", "preparation"))], 4)
        name = "+".join([result["algorithm"], *(result[part] for part in differing)])
        groups.setdefault((name, options(result), code), []).append(folder)
    names = [algorithm for algorithm, *_ in groups]
    found = []
    for (algorithm, digest, code), members in groups.items():
        # Runs of one seed may differ in their grid of shots and steps; where the grids overlap, they must agree.
        episodes = pd.concat([read_tables(folder, results[folder])[0] for folder in members], ignore_index=True).drop_duplicates()
        if episodes.duplicated(["seed", *KEY_COLUMNS]).any():
            those = ", ".join(folder.name for folder in members)
            raise BenchmarkError(f"{those} share a seed and disagree; name the folder of one of them.")
        twice = [key[:2] for key in groups].count((algorithm, digest)) > 1
        name = algorithm if names.count(algorithm) == 1 else f"{algorithm}:{digest}" + f".{code}" * twice
        found.append(Contender(name, [results[folder] for folder in members], episodes, members))
    return found


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], metrics: Collection[str] | None, plugins: Plugins) -> str:
    from benchmark.plugins import fit
    from benchmark.results.leaderboard_rules import differing_fact, facts_of

    alike = ours["algorithm"] == theirs["algorithm"]
    for key in COMPARABLE:
        if ours[key] != theirs[key] and not (alike and key in PARTS):
            return TOLD.get(key) or f"differ in {key} ({ours[key]} and {theirs[key]}); make one of them again"
    if ours["backbone"] == theirs["backbone"] and not any(fit.is_oracle(each["algorithm"], plugins) for each in (ours, theirs)):
        if ours["sources"].get("backbone") != theirs["sources"].get("backbone"):
            return f"were made with other code of the backbone {ours['backbone']}; make one of them again"
        if ours["seed"] == theirs["seed"] and ours["pretrained"] != theirs["pretrained"]:
            return "start from other pretrained weights (pretrain.shipped); make one of them again"
    versions, others = ours["metric_versions"], theirs["metric_versions"]
    for name in sorted(versions.keys() & others.keys() if metrics is None else metrics):
        if name in versions and name in others and versions[name] != others[name]:
            return f"differ in metric_versions of {name} ({versions[name]} and {others[name]}); make one of them again"
    fact = "" if metrics is None else differing_fact(facts_of(ours, plugins), facts_of(theirs, plugins), metrics, plugins, strict=True)
    return fact and f"differ in {fact}; make one of them again"


def compare_all(
    chosen: Sequence[Contender], metrics: Mapping[str, bool], shots: int | None = None, steps: int | None = None
) -> list[Line]:
    """Every pair, at every number of shots and steps that both have, and over the whole curve.

    A contender that uses no shots is the same at all of them, and one that takes no steps at all of those: it is compared wherever
    the other has scores.
    Seeds that any contender lacks are left out of all, so that mean differences add up and a ranking rests on one set of models.

    Args:
        chosen: at least two.
        metrics: columns, and whether higher is better.
        shots, steps: compare only there; ``steps`` may be ``CURVE``.

    Raises:
        UsageError: nothing is left to compare, no seed is common to all, or a metric was not scored.
    """
    from benchmark.results.statistics import SIGNIFICANT, compare, holm

    lines: list[tuple[str, str, str, int, int, Comparison]] = []
    if not common_seeds(chosen):
        raise UsageError(f"No seed is common to all: {'; '.join(f'{one.name} has {seeds_said(seeds_of(one))}' for one in chosen)}.")
    chosen = on_common_seeds(chosen)
    for one, other in itertools.combinations(chosen, 2):
        for metric, higher in metrics.items():
            for contender in (one, other):
                if metric not in contender.episodes:
                    raise UsageError(f"{contender.name} was not scored with {metric!r}.")
            for size in sorted(shots_of(one) | shots_of(other)) or [0]:
                if shots not in (None, size) and size:
                    continue
                mine, theirs = _at(one, size), _at(other, size)
                for step in _steps(mine, theirs):
                    if step == CURVE and metric in COSTS:
                        continue
                    if steps in (None, step) or not size:
                        found = compare(_frame(mine, metric, step), _frame(theirs, metric, step), metric, higher)
                        if found.difference.n:
                            lines.append((one.name, other.name, metric, size, step, found))
    if not lines:
        raise UsageError(apart(chosen, metrics, shots, steps))
    tests = [_test(first, second, metric, step, found) for first, second, metric, _, step, found in lines]
    adjusted: dict[tuple[Any, ...], float] = {}
    # Asking what methods cost does not weaken the tests of how well they do.
    for kind in (False, True):
        those = list(dict.fromkeys(test for test in tests if (test[2] in COSTS) is kind))
        adjusted.update(zip(those, holm([p for *_, p in those]), strict=True))
    chosen_lines = []
    for line, test in zip(lines, tests, strict=True):
        first, second, metric, *_, found = line
        ahead = first if (found.difference.mean > 0) == metrics[metric] else second
        chosen_lines.append(Line(*line, p=adjusted[test], better=ahead if adjusted[test] <= SIGNIFICANT else None))
    return chosen_lines


def _test(first: str, second: str, metric: str, step: int, found: Comparison) -> tuple[Any, ...]:
    return first, second, metric, step, found.difference, found.p


def and_costs(chosen: Sequence[Contender]) -> list[Contender]:
    """The contenders with the costs of their episodes beside the scores (:func:`benchmark.results.costs.with_costs`).

    Raises:
        BenchmarkError: a run's file of costs is damaged.
    """
    import pandas as pd

    from benchmark.results.result import read_tables

    def costs(one: Contender) -> pd.DataFrame:
        return pd.concat([read_tables(folder, result)[1] for folder, result in zip(one.folders, one.results, strict=True)])

    return [replace(one, episodes=with_costs(one.episodes, costs(one))) for one in chosen]


def common_seeds(chosen: Sequence[Contender]) -> list[int]:
    """The seeds that all contenders have."""
    return sorted(set.intersection(*(seeds_of(one) for one in chosen)))


def seeds_of(contender: Contender) -> set[int]:
    """A contender's seeds."""
    return set(map(int, contender.episodes["seed"].unique()))


def on_common_seeds(chosen: Sequence[Contender]) -> list[Contender]:
    """The contenders with their rows of the common seeds alone."""
    seeds = common_seeds(chosen)
    return [replace(one, episodes=one.episodes[one.episodes["seed"].isin(seeds)]) for one in chosen]


def apart(chosen: Sequence[Contender], metrics: Collection[str], shots: int | None, steps: int | None) -> str:
    """Why there is nothing to compare, in a sentence; arguments as of :func:`compare_all`."""
    from benchmark.results.episode_tables import commonest_failure

    asked = f" at {shots} shots" * (shots is not None)
    asked += "" if steps is None else " over the whole curve" if steps == CURVE else f" at {steps} steps"
    for contender in chosen:
        here = rows_at(contender, shots, steps)
        for metric in metrics:
            scored = here.groupby("steps")[metric].count()
            lost = scored[scored == 0].index
            # A curve needs all of its steps.
            if len(lost) and (steps == CURVE or len(lost) == len(scored)):
                reason = commonest_failure(here[here["steps"].isin(lost)], [metric]) or "no reason is given"
                return f"{contender.name} has no {metric}{asked}, because all its utterances failed there: {reason}."
    return f"Nothing in common{asked}: {'; '.join(_grid(one) for one in chosen)}."


def _grid(contender: Contender) -> str:
    """Where a contender was measured, in words: "reptile: 1,5 shots x 0,5,20 steps, seed 0"."""
    by_steps: dict[str, list[int]] = {}
    for size, frame in contender.episodes.groupby("shots"):
        by_steps.setdefault(",".join(map(str, sorted(set(frame["steps"])))), []).append(int(cast(int, size)))
    places = " and ".join(f"{','.join(map(str, sizes))} shots x {steps} steps" for steps, sizes in by_steps.items())
    return f"{contender.name}: {places}, seed {','.join(map(str, sorted(seeds_of(contender))))}"


def rows_at(contender: Contender, shots: int | None, steps: int | None) -> pd.DataFrame:
    """A contender's rows at so many shots and steps; those of one that uses none are the same at all."""
    here = contender.episodes
    if shots is not None:
        here = here[here["shots"].isin([0, shots])]
    if steps not in (None, CURVE) and (shots_of(contender) or set(here["steps"]) != {0}):
        here = here[here["steps"] == steps]
    return here


def shots_of(contender: Contender) -> set[int]:
    """The numbers of shots that a contender was run at; none if it uses none."""
    return set(contender.episodes["shots"]) - {0}


def _at(contender: Contender, shots: int) -> dict[int, pd.DataFrame]:
    """A contender's rows by steps; those of one that uses no shots are the same at any number of them."""
    frame = contender.episodes
    found = frame[frame["shots"] == (shots if shots_of(contender) else 0)]
    return {int(step): found[found["steps"] == step] for step in found["steps"].unique()}


def _steps(mine: dict[int, pd.DataFrame], theirs: dict[int, pd.DataFrame]) -> list[int]:
    """Steps to compare at: the common ones, or all if one does not adapt and so stays the same; and the curve if both have one."""
    if not mine or not theirs:
        return []
    still = list(mine) == [0] or list(theirs) == [0]
    places = sorted(mine.keys() | theirs.keys() if still else mine.keys() & theirs.keys())
    return [*places, CURVE] if len(places) > 1 and (still or mine.keys() == theirs.keys()) else places


def _frame(by_steps: dict[int, pd.DataFrame], metric: str, step: int) -> pd.DataFrame:
    import pandas as pd

    from benchmark.results.statistics import area

    if step == CURVE:
        return area(pd.concat(by_steps.values()), metric)
    return by_steps[step] if step in by_steps else next(iter(by_steps.values()))
