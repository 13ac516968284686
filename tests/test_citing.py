"""What others cite and index: the citation file, the changelog, and the leaderboards' cards."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

import benchmark
from benchmark.results.dataset_card import card
from benchmark.results.leaderboard_cite import cite
from benchmark.results.leaderboard_file import read, title
from tests.cli_helpers import refused
from tests.committed import TABLES, of_protocol_1

ROOT = Path(__file__).resolve().parents[1]
NEEDED = {"cff-version", "message", "title", "authors"}
ALLOWED = {
    *NEEDED, "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url",
    "preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url", "version",
}  # fmt: skip
"""The keys of version 1.2.0 of the Citation File Format's schema, and those that it requires."""


def test_the_citation_file_is_of_the_format_and_of_this_version() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert found.keys() >= NEEDED and found.keys() <= ALLOWED and found["cff-version"] == "1.2.0" and found["type"] == "software"
    assert found["version"] == benchmark.__version__ and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date-released"])
    assert found["date-released"].startswith(str(benchmark.RELEASED))
    assert all(author.keys() == {"name"} for author in found["authors"]) and len(set(found["keywords"])) == len(found["keywords"])
    assert f'license = "{found["license"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_changelog_has_every_version_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, flags=re.MULTILINE)
    assert headings[0] == ("Unreleased", "") and headings[1][0] == benchmark.__version__
    dates = [date for _, date in headings[1:]]
    assert all(dates) and dates == sorted(dates, reverse=True)
    kinds = re.findall(r"^### (\w+)$", text, flags=re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("path", TABLES, ids=title)
def test_every_table_has_its_card(path: Path) -> None:
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert text == card(path), f"write what 'python -m benchmark leaderboard card {title(path)}' prints into {path.with_suffix('.md')}"
    _, front, body = text.split("---\n", 2)
    (config,) = yaml.safe_load(front)["configs"]
    with (path.parent / config["data_files"]).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert f"| Rows | {len(rows)}," in body and all(f"`{row['algorithm']}`" in body for row in rows)
    assert ("synthetic" in yaml.safe_load(front)["tags"]) == (rows[0]["synthetic"] == "true")
    preliminary = sum(row["status"] != "ok" for row in rows)
    assert (f"{preliminary} of {len(rows)} are preliminary" in body) == (preliminary > 0)
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    assert hub.DatasetCard(text, ignore_metadata_errors=False).data.pretty_name.endswith(path.stem)


def test_no_card_without_rows_or_their_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "nobody.csv"
    table.write_bytes(TABLES[0].read_bytes())
    assert "is named after no dataset plugin that can be read (nobody)" in refused(["leaderboard", "card", table], 2, capsys)
    table.write_text("algorithm,shots,steps\n")
    assert "has no rows to describe" in refused(["leaderboard", "card", table], 2, capsys)


def test_a_citation_names_a_configuration_by_what_it_differs_in_and_its_versions() -> None:
    path = of_protocol_1("speechocean762")
    row = next(row for row in read(path) if row["algorithm"] == "metric" and row["status"] == "ok")
    entry = cite(path, f"metric:{row['options']}")
    assert r"metric (fine\_tune\_groups=[]) on speechocean762" in entry and f"-metric-{row['options']},\n" in entry
    assert f"Version {row['benchmark_version']} (training 1, evaluation 1, duration\\_error 1" in entry and "finetune" not in entry
    assert "title = {Few-Shot {TTS} Benchmark: finetune on speechocean762}" in (entry := cite(path, "finetune"))
    assert "corpus speechocean762, Zhang et al., Interspeech 2021" in entry and "licence CC-BY-4.0}" in entry, "whose recordings they are"
