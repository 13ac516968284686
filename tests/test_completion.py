"""The shell completes commands, options and names."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import commands, main
from benchmark.commands import completion
from benchmark.plugins import registry
from tests.cli_helpers import refused


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return dict(action.choices)


def choices(parser: argparse.ArgumentParser, name: str) -> list[str]:
    (action,) = (each for each in parser._actions if name in (*each.option_strings, each.dest))
    return list(action.choices or ())


def test_every_command_and_what_can_be_given_is_offered() -> None:
    found = parsers(completion.whole_parser())
    assert found.keys() == commands().keys()
    assert choices(found["run"], "--algo") == list(registry.find("algorithm")) and "smoke" in choices(found["run"], "--preset")
    assert "--meta.tflops" in found["run"]._option_string_actions and "--accelerator" in found["run"]._option_string_actions
    best = parsers(found["leaderboard"])["best"]
    assert {"gap_closed", "seconds_to_adapt"} <= set(choices(best, "--metric")) and "speechocean762" in choices(best, "table")
    assert "hifigan" in choices(found["vocoders"], "--vocoders") and "style" in choices(found["run"], "--task")
    assert {"reptile", "vctk", "mcd"} <= set(choices(found["describe"], "name"))


def test_plugins_of_ones_own_are_offered_too(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text('from benchmark.vocoder import Vocoder\nclass M(Vocoder):\n    """My own."""\nPLUGIN = M\n')
    assert "mine" in choices(parsers(completion.whole_parser([str(plugin)]))["run"], "--vocoder")


def test_without_shtab_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "Completion needs shtab; install it with pip install -e '.[completion]'." in refused(["completion", "bash"], 2, capsys)
    assert "invalid choice: 'cmd'" in refused(["completion", "cmd"], 2, capsys)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed (pip install -e '.[completion]')")
    code = "import sys; from benchmark.cli import main; main(['completion', 'bash']); sys.exit('torch' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=True)
    (tmp_path / "completion").write_text(made.stdout)
    tables = {path.stem for path in (repository / "leaderboards").rglob("speech*.csv") if "runs" not in path.parts}
    for words, wanted in (
        ("benchmark lead", {"leaderboard"}), ("benchmark leaderboard best speech", tables), ("benchmark run --algo rep", {"reptile"}),
        ("benchmark run --meta.tf", {"--meta.tflops"}), ("benchmark compare rep", {"reptile"}),
    ):  # fmt: skip
        script = f'. ./completion; COMP_WORDS=({words}); COMP_CWORD={words.count(" ")}; _shtab_benchmark; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
        assert sorted(done.stdout.split()) == sorted(wanted), (words, done)
    for shell in completion.SHELLS:
        assert main(["completion", shell]) == 0 and "benchmark" in capsys.readouterr().out
