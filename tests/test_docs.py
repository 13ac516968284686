"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark import registry
from benchmark.cli import commands
from benchmark.episodes import PROTOCOL_VERSION
from benchmark.results.leaderboard import COSTS, IDENTITY, PROVENANCE
from benchmark.results.statistics import RESAMPLES

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = (ROOT / "leaderboards" / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_every_column_of_a_leaderboard_is_defined() -> None:
    metrics = [column for name in registry.find("metric") for column in registry.load("metric", name).columns]
    for column in (*IDENTITY, *COSTS, *PROVENANCE, *metrics, "eer"):
        assert f"`{column}`" in COLUMNS, column


def test_the_protocol_has_the_versions_and_numbers_of_the_code() -> None:
    assert f"Protocol version {PROTOCOL_VERSION}." in PROTOCOL
    assert f"{RESAMPLES:,} draws" in " ".join(PROTOCOL.split())


def test_documents_name_only_commands_and_algorithms_that_exist() -> None:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "protocol.md", ROOT / "leaderboards" / "README.md"):
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"python -m benchmark ([a-z]+)", text):
            assert command in commands(), (path, command)
    for row in re.findall(r"^\| `([a-z_]+)` \|", PROTOCOL, flags=re.MULTILINE):
        assert row in registry.find("algorithm"), row
