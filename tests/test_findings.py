"""The findings are what the committed rows say: each command prints what the page quotes, and its sentences' numbers are printed there."""

from __future__ import annotations

import doctest
import re
import shlex
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pytest

from benchmark.cli import main

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "findings.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d*\.\d+")


def commands() -> list[tuple[str, str]]:
    """Each quoted command, and what the page says it prints."""
    parts = [part for block in BLOCK.findall(PAGE) for part in re.split(r"^\$ python -m benchmark ", block, flags=re.M) if part]
    return [(line, expected) for line, _, expected in (part.partition("\n") for part in parts)]


@pytest.mark.parametrize(("line", "expected"), commands(), ids=[line for line, _ in commands()])
def test_a_quoted_command_prints_what_the_page_says(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line)) == 0
    printed = capsys.readouterr().out
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(f"...{expected.strip()}\n...", f"\n{printed}\n", flags), printed


@pytest.mark.parametrize("section", re.split(r"^## ", PAGE, flags=re.M)[1:], ids=lambda section: section.partition("\n")[0])
def test_every_number_of_a_sentence_is_printed_in_its_section(section: str) -> None:
    printed = [Decimal(number) for block in BLOCK.findall(section) for number in NUMBER.findall(block)]
    sentences = re.sub(r"`[^`\n]+`", "", BLOCK.sub("", section))
    for number in map(Decimal, NUMBER.findall(sentences)):
        assert any(each.quantize(number, ROUND_HALF_EVEN) == number for each in printed), f"no command of the section prints {number}"
