"""``result.json``: what a run measured, with everything that a reader needs to trust or reproduce it."""

from __future__ import annotations

import math
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pandas as pd

from benchmark import __version__
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import digest_of, read_json, unsealed, write_sealed
from benchmark.results import kept_speech
from benchmark.results.episode_tables import (
    COSTS_FILE,
    EPISODES_FILE,
    REPAIR,
    Contradiction,
    adapted,
    check_files,
    digests,
    metric_columns,
    read_costs,
    read_episodes,
)
from benchmark.results.schema import OLD_SCHEMA, SCHEMA_VERSION, garbled
from benchmark.results.statistics import summarise

ROOT = Path(__file__).resolve().parents[2]
CODE = ("benchmark", "algorithms", "datasets", "pyproject.toml")
LIBRARIES = (
    "torch",
    "torchaudio",
    "pytorch-lightning",
    "numpy",
    "pesq",
    "pystoi",
    "pyworld",
    "swift-f0",
    "onnxruntime",
    "resemblyzer",
    "distillmos",
    "phonemizer",
    "espeakng-loader",
    "speechbrain",
)
"""A result records the versions of those that are installed."""


@dataclass(frozen=True)
class RunIdentity:
    """Everything that makes one run's numbers differ from another's; its hash is part of the run's name.

    Attributes:
        pretrained: digest of the shipped weights that it starts from; empty if it is pretrained by its own settings.
    """

    dataset: str
    algorithm: str
    backbone: str
    vocoder: str
    preset: str
    seed: int
    config: Mapping[str, Any]
    sources: Mapping[str, str]
    metric_versions: Mapping[str, str]
    data_version: str
    manifest_hash: str
    protocol_version: str
    synthetic: bool
    limited: bool
    problem: str = "synthesis"
    task: str = "speaker"
    device: str = "cpu"
    precision: str = "32-true"
    training_version: str = "1"
    evaluation_version: str = "1"
    preparation_version: str = "2"
    processes: int = 1
    pretrained: str = ""


LATER: Mapping[str, Any] = {
    name: each.default for name, each in RunIdentity.__dataclass_fields__.items() if each.default is not MISSING
}
"""Fields that results of the first edition lack, and the values that they had then."""


def run_id(identity: RunIdentity) -> str:
    """A readable name that no other run has."""
    return _name(asdict(identity))


def _name(identity: Mapping[str, Any]) -> str:
    start = f"{table_name(identity)}-{identity['algorithm']}-{identity['preset']}-s{identity['seed']}"
    # It came later: runs without it keep the names that they had.
    counted = {name: value for name, value in identity.items() if name != "pretrained" or value}
    return f"{start}-{digest_of(counted, 10)}"


def table_name(identity: Mapping[str, Any]) -> str:
    """The table of a run's rows, "espeak" or "espeak-recognition-language"; the run's name begins with it.

    Args:
        identity: a run's identity or its result; synthesis by speaker unless it says otherwise.
    """
    problem, task = identity.get("problem", LATER["problem"]), identity.get("task", LATER["task"])
    return identity["dataset"] + f"-{problem}" * (problem != LATER["problem"]) + f"-{task}" * (task != LATER["task"])


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def write_result(
    folder: Path, identity: RunIdentity, facts: Mapping[str, float], training: Mapping[str, float], seconds: float,
    tuned: Mapping[str, Any] | None = None, started_from: tuple[str | None, bool | None] | None = None, outside: Sequence[str] = (),
    left_out: Sequence[str] = (), vocoder_cost: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Summarise ``episodes.csv`` and ``costs.csv`` into ``result.json``.

    Args:
        folder: the run's folder.
        identity: what was run.
        facts: constants of the metrics.
        training: "flops", "budget_flops", "steps" and "seconds" of the algorithm's own training.
        seconds: wall time of this invocation.
        tuned: the algorithm's options that hold values chosen by ``tune``, with "trials"; None if there are none.
        started_from: :func:`git_state` when this invocation began; if the code has changed since, the run is dirty.
        outside: plugins from outside this repository, whose code none of its commits holds.
        left_out: targets of the scored split that have too few utterances for an episode.
        vocoder_cost: the vocoder's "parameters", and "training" with the "steps", "flops" and "seconds" that it took; None if unknown.
    """
    episodes, costs = read_episodes(folder / EPISODES_FILE), read_costs(folder / COSTS_FILE)
    columns = metric_columns(list(episodes.columns))
    curve = []
    for key, frame in episodes.groupby(["shots", "steps"], sort=True):
        shots, steps = (int(value) for value in cast(tuple[int, int], key))
        cost, counted = costs[(costs["shots"] == shots) & (costs["steps"] == steps)], adapted(frame)
        point: dict[str, Any] = {
            "shots": shots, "steps": steps,
            "speakers": int(frame["speaker"].nunique()), "episodes": len(frame[["speaker", "episode"]].drop_duplicates()),
            "metrics": {}, "cost": {
                "seconds_to_adapt": _number(float(cost["seconds_to_adapt"].mean())),
                "peak_memory_bytes": _number(float(cost["peak_memory_bytes"].max())),
                "real_time_factor": _number(float(cost["real_time_factor"].mean())),
                "flops_to_adapt": _number(float(counted["flops"].mean())),
                "stored_parameters": None if counted.empty else int(counted["stored_parameters"].max()),
            },
        }  # fmt: skip
        for column, value in summarise(frame, columns).items():
            point["metrics"][column] = {
                "mean": _number(value.mean), "ci95": [_number(value.low), _number(value.high)], "n": value.n, "n_failed": value.failed,
            }  # fmt: skip
        curve.append(point)
    commit, dirty = git_state()
    if started_from is not None and started_from != (commit, dirty):
        dirty = True
    write_sealed(folder / "result.json", {
        "schema": SCHEMA_VERSION, "status": "complete", "run_id": folder.name, **asdict(identity),
        "config_hash": digest_of(identity.config), "curve": curve, "facts": {k: _number(v) for k, v in facts.items()},
        "training": dict(training), "vocoder_cost": vocoder_cost, "tuned": dict(tuned) if tuned else None,
        "benchmark_version": __version__, "git_commit": commit, "git_dirty": dirty,
        "outside_plugins": list(outside), "left_out": list(left_out),
        "libraries": dict(_versions()),
        "hardware": {"machine": platform.machine(), "processor": _processor(), "system": platform.system()},
        "python": platform.python_version(),
        "timings": {"seconds_last_invocation": seconds}, "files": digests(folder), "speech": kept_speech.noted(folder),
    })  # fmt: skip


def _versions() -> Iterator[tuple[str, str]]:
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def git_state(root: Path = ROOT) -> tuple[str | None, bool | None]:
    """The commit of this package's checkout, and whether its code differs from that; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return None, None
        # Only files that can change a number: people keep others in the checkout, and runs write leaderboards there.
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", *CODE))
    except (OSError, subprocess.SubprocessError):
        return None, None


def read_result(folder: Path) -> dict[str, Any]:
    """A run's ``result.json``.

    Raises:
        BenchmarkError: there is none, or it is damaged or of another schema.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise BenchmarkError(f"There is no run result at {path}; name a finished run's folder (a run's command, given again, finishes it).")
    content = read_json(path, "run result", REPAIR)
    if not isinstance(content, dict) or content.get("schema") not in (OLD_SCHEMA, SCHEMA_VERSION) or content.get("status") != "complete":
        raise BenchmarkError(f"{path} is not a complete result of schema {SCHEMA_VERSION}; run the same command again.")
    if wrong := garbled({**LATER, **content}):
        raise BenchmarkError(f"{path} lacks or garbles {wrong}; {REPAIR}.")
    # Results of the first edition lack the later fields; the defaults hold for them.
    identity = {name: content.get(name) for name in RunIdentity.__dataclass_fields__ if name in content or name not in LATER}
    if not _name(identity) == content["run_id"] == folder.name:
        raise BenchmarkError(
            f"{path} does not belong to this folder: the run that it describes has another name; restore it or run again."
        )
    if not is_old(content):
        try:
            content = unsealed(content, path, "run result")
        except BenchmarkError as error:
            raise BenchmarkError(f"{path} was changed or damaged: its digest does not match; {REPAIR}.") from error
    return {**LATER, **content}


def is_old(result: Mapping[str, Any]) -> bool:
    """Whether a result is of the old form, without digests: nothing shows whether it was changed."""
    return bool(result["schema"] == OLD_SCHEMA)


def old_note(results: Sequence[Mapping[str, Any]]) -> str:
    """A sentence about the results of the old form among these; "" if there are none."""
    old = [result["run_id"] for result in results if is_old(result)]
    if not old:
        return ""
    more = f" and {len(old) - 1} more" * (len(old) > 1)
    return f"Of the old form, without digests, so that nothing shows whether they were changed: {old[0]}{more}."


def check_curve(folder: Path, result: Mapping[str, Any], episodes: pd.DataFrame) -> None:
    """Check a result's means and counts against its episodes; equal error rates are not means, so they are not checked here.

    Args:
        folder: the run's folder, for messages.
        result: its ``result.json``.
        episodes: its ``episodes.csv``.

    Raises:
        BenchmarkError: the result is garbled, or episodes are missing.
        Contradiction: both are whole and disagree.
    """
    columns = metric_columns(list(episodes.columns))
    levels = ["shots", "steps", "speaker", "episode"]
    means = episodes.groupby(levels)[columns].mean()
    while len(levels) > 2:
        levels.pop()
        means = means.groupby(levels).mean()
    try:
        said: dict[Any, Any] = {(point["shots"], point["steps"]): point["metrics"] for point in result["curve"]}
        rows = {key: {metrics[column]["n"] + metrics[column]["n_failed"] for column in columns} for key, metrics in said.items()}
        found = cast(dict[Any, int], episodes.groupby(["shots", "steps"]).size().to_dict())
        missing = any(found.get(key, 0) < max(counts) for key, counts in rows.items())
        same = rows == {key: {count} for key, count in found.items()} and all(
            math.isclose(math.nan if (value := said[key][column]["mean"]) is None else value, mean, rel_tol=1e-6, abs_tol=1e-9)
            or (value is None and math.isnan(mean))
            for key, row in means.iterrows()
            for column, mean in row.items()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchmarkError(f"{folder / 'result.json'} lacks or garbles 'curve'; {REPAIR}.") from error
    if missing:
        raise BenchmarkError(f"{folder / EPISODES_FILE} lacks episodes that the result.json beside it counts; {REPAIR}.")
    if not same:
        raise Contradiction(folder, EPISODES_FILE)


def read_tables(folder: Path, result: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A run's ``episodes.csv`` and ``costs.csv``, each with a column "seed".

    Raises:
        BenchmarkError: one is damaged, or is not what the run's ``result`` was computed from.
    """
    episodes, costs = read_episodes(folder / EPISODES_FILE), read_costs(folder / COSTS_FILE)
    check_files(folder, result)
    check_curve(folder, result, episodes)
    return episodes.assign(seed=result["seed"]), costs.assign(seed=result["seed"])
