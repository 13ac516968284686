"""Record which code each version stands for, in tests/golden/versions.json; a test then tells who changes one and forgets the other.

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
        "learning/inner_loop.py", "running/checks.py", "running/episodes.py", "running/flops.py", "running/hardware.py",
        "running/pretraining.py", "running/ranks.py", "running/run.py", "running/training.py", "running/vocoding.py",
    ),
    "evaluation": (
        "metric.py", "problem.py", "problems/*.py", "running/episodes.py", "running/evaluation.py", "running/meter.py",
        "scoring/embedding_space.py",
    ),
    "preparation": ("dataset.py", "data/*.py", "running/preparation.py"),
}  # fmt: skip
"""The files inside benchmark/ of each version; plugins, and what they are made of, count by digests."""
NUMBERLESS = (
    "__init__.py", "__main__.py", "cli.py", "errors.py", "inner_loop.py",
    "running/__init__.py", "running/identity.py", "running/loggers.py", "running/resume.py", "running/say.py",
    "running/engines.py", "running/relay.py", "running/sweeps.py", "running/trials.py", "running/tuning.py",
)  # fmt: skip
"""Files beside them that can't move a number of a run."""


class Part(NamedTuple):
    """A version, and the digest of the code that it stands for."""

    version: str
    digest: str


def parts(package: Path = ROOT / "benchmark") -> Iterator[tuple[str, Part]]:
    """All that has a version, by name, as it is now."""
    versions = {"training": TRAINING_VERSION, "evaluation": EVALUATION_VERSION, "preparation": str(PREPARE_VERSION)}
    for name, patterns in VERSIONED.items():
        yield name, Part(versions[name], code_digest(path for pattern in patterns for path in package.glob(pattern)))
    for name, info in registry.find("metric").items():
        if info.origin == "built-in":
            yield f"metric {name}", Part(registry.load_info(info).version, source_digest(info))


def complaint(name: str, now: Part, recorded: Mapping[str, Mapping[str, str]]) -> str:
    """What is to be done about a part, in one sentence; "" if nothing is."""
    if name not in recorded:
        return f"The version of {name} is not recorded: run {COMMAND}."
    then = Part(**recorded[name])
    if now.version != then.version:
        return f"The version of {name} is {now.version} now, and {then.version} is recorded: run {COMMAND}."
    if now.digest != then.digest:
        return f"The code of {name} is not that of its version {now.version}: raise the version if a number can move, then run {COMMAND}."
    return ""


def main() -> None:
    """Say what differs from what was recorded, and record what is."""
    recorded = read_json(RECORDED, "table of versions") if RECORDED.is_file() else {}
    found = dict(parts())
    for name, part in found.items():
        if complaint(name, part, recorded):
            print(f"{name}: version {part.version}")
    write_json(RECORDED, {name: part._asdict() for name, part in found.items()})


if __name__ == "__main__":
    main()
