"""What the documents say is what the code does."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

from benchmark.cli import commands
from benchmark.commands import compare
from benchmark.plugins import registry
from benchmark.results.columns import markdown
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard_file import IDENTITY, PROVENANCE, read
from benchmark.results.leaderboard_names import labels
from benchmark.results.runs_meant import find_runs
from benchmark.results.statistics import RESAMPLES
from benchmark.running.episodes import PROTOCOL_VERSION
from tests.committed import FOLDER

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = (ROOT / "leaderboards" / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_every_column_of_a_leaderboard_is_defined() -> None:
    for column in (*IDENTITY, *COSTS, *PROVENANCE):
        assert f"`{column}`" in COLUMNS, column
    found = re.search(r"<!-- columns -->\n(.*)<!-- end of columns -->", COLUMNS, flags=re.DOTALL)
    assert found and found[1].strip() == markdown(), (
        "leaderboards/README.md is not what the metrics' classes say: "
        "put what 'python -m benchmark leaderboard columns' prints between its two comments"
    )


def test_the_protocol_has_the_versions_and_numbers_of_the_code() -> None:
    assert f"Protocol version {PROTOCOL_VERSION}." in PROTOCOL
    metrics = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"{RESAMPLES:,} draws" in " ".join(metrics.split())


def test_documents_name_only_commands_and_algorithms_that_exist() -> None:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / "leaderboards" / "README.md"):
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"python -m benchmark ([a-z]+)", text):
            assert command in commands(), (path, command)
    for row in re.findall(r"^\| `([a-z_]+)` \|", PROTOCOL, flags=re.MULTILINE):
        assert row in registry.find("algorithm"), row


def test_links_between_documents_lead_somewhere() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "leaderboards").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), (path, link)


def test_each_page_is_read_in_ten_minutes() -> None:
    """At 240 words a minute, as adults read plain English (Brysbaert, Journal of Memory and Language, 2019)."""
    words = {path.name: len(path.read_text(encoding="utf-8").split()) for path in (ROOT / "docs").glob("*.md")}
    assert {name: count for name, count in words.items() if count > 2400} == {}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_picture_in_the_readme_is_of_committed_rows() -> None:
    assert "docs/speechocean762.svg" in (ROOT / "README.md").read_text(encoding="utf-8")
    picture = ElementTree.parse(ROOT / "docs" / "speechocean762.svg").getroot()
    texts = {str(element.text) for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    algorithms = {row["algorithm"] for row in read(FOLDER / "speechocean762.csv") if row["shots"] != "0"}
    assert algorithms <= {text.partition(" (")[0] for text in texts}, "draw it again, as CONTRIBUTING.md says"


def test_the_results_in_the_readme_are_committed_rows() -> None:
    """Each line is a row, with half the width of each interval."""
    lines = re.findall(r"^\| (\w+ \|.*) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    (_, *names), *table = (line.split(" | ") for line in lines)
    every = read(FOLDER / "speechocean762.csv")
    rows = [[name, *(row[name] if name in ("shots", "steps") else _rounded(row, name) for name in names)]
            for row, label in zip(every, labels(every), strict=True) for name in (label, row["algorithm"])]  # fmt: skip
    assert len(table) > 5 and [line for line in table if line not in rows] == []


def _rounded(row: dict[str, str], metric: str) -> str:
    return f"{float(row[metric]):.2f} ± {(float(row[f'{metric}_hi']) - float(row[f'{metric}_lo'])) / 2:.2f}"


def test_comparisons_in_documents_find_their_rows() -> None:
    """In the committed tables, without a question."""
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "leaderboards/protocol-1/findings.md"))
    lines = re.findall(r"python -m benchmark compare ([^`#\n]+)", text)
    assert len(lines) > 5
    for line in lines:
        args = parser.parse_args(shlex.split(line))
        folders, _, _ = find_runs(args.runs, args.table, args.output, args.metrics)
        assert len(folders) > 1 and all((folder / "result.json").is_file() for folder in folders), line
