"""docs/tutorial.md, command by command, cut down to seconds: from a folder of recordings to a table, a page and a voice."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import soundfile

from benchmark.cli import main

CUT = ["--fast-dev-run", "--workers", "1", "--metrics", "mcd,speaker_similarity"]
"""What takes minutes in the tutorial."""


def commands(repository: Path) -> list[list[str]]:
    """The words after "python" of each line in the tutorial's blocks."""
    text = (repository / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("python ")]


@pytest.mark.usefixtures("in_this_process")
def test_every_command_works_in_turn(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHMARK_CACHE", str(tmp_path / "cache"))
    printed: dict[str, str] = {}
    for words in commands(repository):
        if words[0].startswith("examples/"):
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(str(repository / words[0]), run_name="__main__")
            continue
        assert words[:2] == ["-m", "benchmark"], words
        run = next(tmp_path.glob("runs/folder_studio-reptile-*"), None)
        words = [word.replace("runs/RUN", str(run)) for word in words[2:]]
        assert main([*words, *(CUT if words[0] == "run" else [])]) == 0, (words, capsys.readouterr())
        printed[words[0]] = capsys.readouterr().out
    assert {"check", "run", "compare", "report", "say", "export"} == set(printed)
    assert "first: reptile\nsecond: finetune" in printed["compare"] and "gap_closed" in printed["compare"]
    assert "reptile" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert soundfile.info("morning.wav").duration > 0.2
    assert main(["say", "Good morning.", "--model", "studio.safetensors", "--voice", "studio/linda", "-o", "again.wav"]) == 0
