"""Record the code behind each version in tests/golden/versions.json, so that a test fails if code changes without a decision.

    python -m tools.record_versions    # from the repository's root

Raise a version first if a number can move: TRAINING_VERSION and EVALUATION_VERSION in benchmark/running/identity.py, PREPARE_VERSION in
benchmark/data/prepare.py, a metric's ``version``. Leave it if none can: results are then reused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmark.data.prepare import PREPARE_VERSION
from benchmark.plugins import registry
from benchmark.plugins.digest import code_digest, source_digest
from benchmark.plumbing.files import read_json, write_json
from benchmark.running.identity import EVALUATION_VERSION, TRAINING_VERSION

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "tests/golden/versions.json"
COMMAND = "python -m tools.record_versions"
VERSIONED = {
    "training": (
        "algorithm.py", "audio.py", "backbone.py", "batch.py", "mel.py", "parameters.py", "task.py", "utterance.py", "vocoder.py",
        "learning/inner_loop.py", "running/building.py", "running/checks.py", "running/episodes.py", "running/flops.py",
        "running/hardware.py", "running/joint.py", "running/leaks.py", "running/pretraining.py", "running/ranks.py", "running/run.py",
        "running/shipped_pretraining.py", "running/training.py", "running/vocoding.py",
    ),
    "evaluation": (
        "metric.py", "problem.py", "problems/*.py", "running/embedding_space.py", "running/episodes.py", "running/evaluation.py",
        "running/meter.py",
    ),
    "preparation": ("dataset.py", "data/*.py", "data/layouts/*.py", "running/preparation.py"),
}  # fmt: skip
"""The files in benchmark/ behind each version; plugins and the shared code that they import count by digests instead."""
NUMBERLESS = (
    "__init__.py", "__main__.py", "api.py", "cli.py", "errors.py",
    "running/__init__.py", "running/engines.py", "running/finished.py", "running/identity.py", "running/judging.py", "running/loggers.py",
    "running/model_card.py", "running/objective.py", "running/relay.py", "running/resume.py", "running/say.py", "running/sweeps.py",
    "running/trained_model.py", "running/transcribe.py", "running/trials.py", "running/tuning.py",
    "running/validation.py",
)  # fmt: skip
"""Other files, which can't change a run's numbers."""


class Version(NamedTuple):
    """A version and the digest of its code."""

    version: str
    digest: str


def parts(package: Path = ROOT / "benchmark") -> Iterator[tuple[str, Version]]:
    """The current version and digest of every versioned part, by name."""
    versions = {"training": TRAINING_VERSION, "evaluation": EVALUATION_VERSION, "preparation": str(PREPARE_VERSION)}
    for name, patterns in VERSIONED.items():
        yield name, Version(versions[name], code_digest(path for pattern in patterns for path in package.glob(pattern)))
    for name, info in registry.find("metric").items():
        if info.origin == "built-in":
            yield f"metric {name}", Version(registry.load_info(info).version, source_digest(info))


def complaint(name: str, now: Version, recorded: Mapping[str, Mapping[str, str]]) -> str:
    """What to do about a part, in one sentence; "" if nothing."""
    if name not in recorded:
        return f"The version of {name} is not recorded: run {COMMAND}."
    then = Version(**recorded[name])
    if now.version != then.version:
        return f"The version of {name} is {now.version} now, but {then.version} is recorded: run {COMMAND}."
    if now.digest != then.digest:
        return f"The code of {name} has changed since its version {now.version}: raise it if a number can move, then run {COMMAND}."
    return ""


def main() -> None:
    """Print the parts that differ from the record, and record the current state."""
    recorded = read_json(RECORDED, "table of versions") if RECORDED.is_file() else {}
    found = dict(parts())
    for name, part in found.items():
        if complaint(name, part, recorded):
            print(f"{name}: version {part.version}")
    write_json(RECORDED, {name: part._asdict() for name, part in found.items()})


if __name__ == "__main__":
    main()
