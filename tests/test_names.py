"""Names that people use are taken, and those that lead elsewhere, break lines or start formulas are refused where they enter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.names import fault
from benchmark.results import cells
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard_file import IDENTITY, PROVENANCE, read
from tests.cli_helpers import refused

GOOD = ("p225", "Anna Maria", "j.smith", "joão", "王小明", "O'Brien", "a..b", ".hidden", "x-1", "1", "a:b", "caf\\xe9", "anna+sad")
BAD = (
    ("", "is empty"), (" ", "is empty"), ("..", "another folder"), (".", "another folder"), ("../../x", "another folder"),
    ("a/b", "another folder"), ("..\\x.wav", "another folder"), ("a\\b", "another folder"), ("two\nlines", r"control character '\\n'"),
    ("a\0b", "control character"), ("\x1b[31m", "control character"), ("\u2028", "is empty"), ("a\u2028b", "control character"),
    ("a\udce9", "control character"), ("=cmd|' /C calc'!A0", "begins with '='"), ("+1", "begins with"), ("-x", "begins with"),
    ("@SUM(A1)", "begins with"), ("x" * 121, "longer than 120 bytes"), ("王" * 41, "longer than 120 bytes"),
)  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_names_that_people_use(name: str) -> None:
    assert fault(name) == "" and cells.name(name) == name


@pytest.mark.parametrize(("name", "reason"), BAD)
def test_names_that_are_none(name: str, reason: str) -> None:
    assert reason.replace("\\\\", "\\") in fault(name)
    with pytest.raises(ValueError, match="a name: it"):
        cells.name(name)


@pytest.mark.parametrize("speaker", ["=cmd|' /C calc'!A0", "../../x", "a/b"])
def test_a_corpus_whose_speaker_cannot_be_named_is_refused_before_any_work(
    speaker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = ["audio,text,speaker"]
    for number in range(4):
        soundfile.write(data / f"{number}.wav", np.zeros(16_000), 16_000)
        lines.append(f'{number}.wav,A sentence {number}.,"{speaker if number else "anna"}"')
    (data / "metadata.csv").write_text("\n".join(lines))
    said = refused(["prepare", "--dataset", "folder", "--data-root", data, "--cache", tmp_path / "cache", "--workers", "1"], 1, capsys)
    assert f"has the speaker {speaker!r}, which {fault(speaker)}; rename it." in said
    assert not (tmp_path / "cache").exists()


def test_a_plugin_whose_file_cannot_name_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "=mine.py"
    file.write_text("from benchmark.algorithm import Algorithm\nclass Mine(Algorithm):\n    pass\nPLUGIN = Mine\n")
    with pytest.raises(UsageError, match="can't be called '=mine', which begins with '='"):
        registry.find("algorithm", [file])


HEADER = [*IDENTITY, "mcd", "mcd_lo", "mcd_hi", "mcd_failed", *COSTS, *PROVENANCE]
ROW = dict.fromkeys(HEADER, "1") | {"algorithm": "reptile", "status": "ok", "mcd_lo": "-0.5"}


def write(path: Path, row: dict[str, str], start: str = "") -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in row.values()]
    path.write_text(f"{start}{','.join(row)}\n{','.join(quoted)}\n", encoding="utf-8")


def test_a_table_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ROW, start="\ufeff")
    assert read(tmp_path / "a.csv") == [ROW]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("algorithm", "=cmd|' /C calc'!A0"), ("algorithm", "two\nlines"), ("algorithm", ""), ("backbone", "../x"), ("shots", "-1"),
        ("shots", "1_0"), ("shots", "1.0"), ("shots", ""), ("seeds", "٣"), ("steps", 6000 * "9"), ("mcd", "nan"), ("mcd", "inf"),
        ("mcd", "1e999"), ("mcd_lo", "1_0"), ("mcd_failed", "-2"), ("training_tflops", "-1"), ("seconds_to_adapt", " 1"),
        ("settings", "=1+1"), ("settings", "a\x1bb"), ("run_ids", "a ../../b"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_is_named(column: str, cell: str, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", {**ROW, column: cell})
    with pytest.raises(BenchmarkError, match=rf"line 2: {column} is .*, which is not .*; restore the file"):
        read(tmp_path / "a.csv")


def test_a_column_that_starts_a_formula_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", {**ROW, "=cmd|x": "1"})
    with pytest.raises(BenchmarkError, match=r"line 1: a column is called '=cmd|x'"):
        read(tmp_path / "a.csv")
