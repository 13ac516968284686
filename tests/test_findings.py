"""The findings are what the committed rows say: each command prints what the page quotes, and its sentences' numbers are printed there."""

from __future__ import annotations

import re
import shlex
from decimal import ROUND_HALF_EVEN, Decimal
from glob import glob
from pathlib import Path

import pytest

from benchmark.cli import main

PAGES = sorted((Path(__file__).resolve().parent.parent / "docs").glob("findings*.md"))
PAGE = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d*\.\d+")


def commands() -> list[tuple[str, str]]:
    """Each quoted command, and what the page says it prints."""
    parts = [part for block in BLOCK.findall(PAGE) for part in re.split(r"^\$ python -m benchmark ", block, flags=re.M) if part]
    return [(line, expected) for line, _, expected in (part.partition("\n") for part in parts)]


def pattern(expected: str) -> re.Pattern[str]:
    """What matches the quoted rows in this order: "..." in a row stands for a part of that row, alone for any rows."""
    rows = [" ".join(row.split()) for row in expected.strip().splitlines()]
    parts = ["(?:.*\n)*?" if row == "..." else re.escape(row).replace(re.escape("..."), ".*") + r"\n" for row in rows]
    return re.compile("^" + "".join(parts), re.M)


@pytest.mark.parametrize(("row", "right"), [("1 20 -0.088 ... 0.003 maml", True), ("1 20 -0.088 ... 0.004 maml", False)])
def test_a_quoted_row_is_one_row(row: str, right: bool) -> None:
    printed = "1 5 -0.01 [-1, 1] 0.4 -\n1 20 -0.088 [-1, 1] 0.003 maml\n1 50 -0.1 [-1, 0] 0.004 maml\n"
    assert bool(pattern(f"1 5 ... -\n...\n{row}\n...").search(printed)) is right


@pytest.mark.parametrize(("line", "expected"), commands(), ids=[line for line, _ in commands()])
def test_a_quoted_command_prints_what_the_page_says(line: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [each for word in shlex.split(line) for each in (sorted(glob(word)) if "*" in word else [word])]
    assert main([*words, *(["-o", str(tmp_path / "table.csv")] if words[0] == "vocoders" else [])]) == 0
    printed = capsys.readouterr().out
    assert pattern(expected).search("".join(f"{' '.join(row.split())}\n" for row in printed.splitlines())), printed


def paragraphs() -> list[tuple[str, str]]:
    """Each paragraph, and the commands that must print its numbers: those right below; of a section's answer, its first one, and of what
    follows its last commands, all of the section."""
    found = []
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        *parts, end = BLOCK.split(section.partition("\n")[2])
        every = "".join(parts[1::2])
        own = [(text, block) for texts, block in zip(parts[::2], parts[1::2], strict=True) for text in texts.strip().split("\n\n")]
        own += [(text, every) for text in end.strip().split("\n\n")]
        found += [(own[0][0], every), *own[1:]]
    return found


@pytest.mark.parametrize(("paragraph", "block"), paragraphs(), ids=lambda text: text[:40])
def test_every_number_of_a_paragraph_is_printed_by_its_commands(paragraph: str, block: str) -> None:
    """One with a sign has it there too; one without, as in "less by .05", is a size."""
    printed = [Decimal(number) for number in NUMBER.findall(block)]
    for said in NUMBER.findall(re.sub(r"`[^`\n]+`", "", paragraph)):
        number = Decimal(said)
        there = printed if said[0] in "+-" else map(abs, printed)
        assert any(each.quantize(number, ROUND_HALF_EVEN) == number for each in there), f"the commands below do not print {said}"


def test_speakers_that_no_choice_has_seen_say_the_same() -> None:
    """The page's leads on the speakers who are not among protocol 1's, on whose rows two choices were made."""
    import pandas as pd

    boards = PAGES[0].parent.parent / "leaderboards"

    def gap(run: str, shots: int, steps: int) -> pd.Series[float]:
        episodes = pd.read_csv(boards / "runs" / f"speechocean762-{run}" / "episodes.csv")
        return episodes[(episodes["shots"] == shots) & (episodes["steps"] == steps)].groupby("speaker")["gap_closed"].mean()

    seen = set(pd.read_csv(boards / "protocol-1/runs/speechocean762-finetune-small-s0-1b9f835f76/episodes.csv")["speaker"])
    for run, shots, steps in (("reptile-small-s0-7ab2a8912c", 10, 2), ("maml_adam-small-s0-76364942a2", 10, 1)):
        lead = gap(run, shots, steps) - gap("finetune-small-s0-f2d4c5fe8a", shots, steps)
        unseen = lead[~lead.index.isin(seen)]
        assert (len(lead), len(unseen)) == (40, 28)
        assert unseen.mean() == pytest.approx(lead.mean(), abs=0.01)
