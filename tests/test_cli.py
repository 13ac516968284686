"""The command line: what it lists, what it says when something is wrong, and its exit status."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from benchmark import cli
from benchmark.errors import BenchmarkError, UsageError
from benchmark.parameters import OUTER_BOOSTS
from benchmark.plugins import registry
from benchmark.plumbing.files import write_text
from tests.cli_helpers import refused
from tests.committed import of_protocol_1

HEAVY = ("torch", "librosa", "numba", "jsonargparse", "pytorch_lightning", "pandas", "scipy", "pydantic", "onnxruntime")


def python(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "metric", "--json"], ["describe", "fastspeech2"], ["--help"], ["list", "--help"], ["lst"]],
)
def test_quick_commands_import_nothing_heavy(repository: Path, arguments: list[str]) -> None:
    code = (
        "import sys; from benchmark.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = python(repository, code)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderboard", "show", "speechocean762", "--metrics", "gap_closed,seconds_to_adapt"],
        ["leaderboard", "best", str(of_protocol_1("speechocean762")), "--shots", "5", "--budget", "0"],
        ["compare", "reptile", "finetune", "--table", str(of_protocol_1("speechocean762")), "--shots", "5", "--steps", "20"],
    ],
)
def test_reading_results_imports_no_torch(repository: Path, arguments: list[str]) -> None:
    code = f"import sys; from benchmark.cli import main\nassert main({arguments!r}) == 0\nprint('TORCH', 'torch' in sys.modules)"
    done = python(repository, code)
    assert done.stdout.splitlines()[-1] == "TORCH False", done.stderr


def test_help_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, summary in cli.commands().items():
        assert name in text and summary in text and summary.endswith((".", "…"))
    assert cli.main([]) == 2


def test_every_command_explains_itself(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.commands():
        try:
            status: object = cli.main([name, "--help"])
        except SystemExit as leaving:
            status = leaving.code
        text = capsys.readouterr().out
        assert status in (0, None), name
        assert f"python -m benchmark {name}" in text and cli.commands()[name] in text


def test_list_shows_plugins_and_a_broken_one_with_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list", "algorithms"]) == 0
    text = capsys.readouterr().out
    assert "reptile" in text and "griffin_lim" not in text
    plugin = tmp_path / "mine.py"
    plugin.write_text('from benchmark.vocoder import Vocoder\nclass M(Vocoder):\n    """My own."""\nPLUGIN = M\n')
    for arguments in (["--plugin", str(plugin), "list", "--json"], ["list", "--json", "--plugin", str(plugin)]):
        assert cli.main(arguments) == 0
        rows = json.loads(capsys.readouterr().out)
        (mine,) = (row for row in rows if row["name"] == "mine")
        assert mine == {"name": "mine", "kind": "vocoder", "summary": "My own.", "origin": "file", "path": str(plugin), "note": ""}


def test_list_parses_each_file_once_and_reads_entry_points_once(repository: Path) -> None:
    code = (
        "import ast, collections; from importlib import metadata\n"
        "parsed, parse, asked, entry_points = collections.Counter(), ast.parse, [], metadata.entry_points\n"
        "def counting(text, filename='', *a, **k):\n"
        "    parsed[filename] += filename.endswith('.py')\n"
        "    return parse(text, filename, *a, **k)\n"
        "ast.parse = counting\n"
        "metadata.entry_points = lambda: asked.append(1) or entry_points()\n"
        "from benchmark.cli import main; main(['list'])\n"
        "print(max(parsed.values()), sum(parsed.values()) > 40, len(asked))"
    )
    done = python(repository, code)
    assert done.stdout.splitlines()[-1] == "1 True 1", done.stderr


def test_describe_shows_options_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["describe", "reptile"]) == 0
    text = capsys.readouterr().out
    assert "--algo.inner_lr (PositiveFloat, default" in text and "algorithms/reptile.py" in text
    assert f"outer_boost: {OUTER_BOOSTS}" in text, "a constant that the file imports is shown as its value"
    for kind in ("backbone", "vocoder"):
        for name in registry.find(kind):
            cli.main(["describe", f"{kind}/{name}"])
            assert re.search(r"\(.*(19|20)\d\d\)", capsys.readouterr().out), f"{name} names no paper"
    assert cli.main(["describe", "mcd", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["facts"]["columns"]) == ["mcd"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lst"], "There is no command 'lst'; did you mean 'list'?"),
        (["zzz"], "There is no command 'zzz'. There are: "),
        (["--bogus", "list"], "Unknown option '--bogus'; the command comes first"),
        (["list", "--jsn"], "'list' takes no option '--jsn'; did you mean '--json'?"),
        (["list", "metrik"], "There is no kind of plugin called 'metrik'; did you mean 'metric'?"),
        (["list", "metric", "more"], "'list' takes no argument 'more'"),
        (["describe"], "The following arguments are required: NAME"),
        (["describe", "reptil"], "There is no plugin called 'reptil'; did you mean 'reptile'?"),
        (["describe", "none.py"], "There is no plugin file none.py"),
        (["list", "--plugin"], "Argument --plugin: expected one argument"),
        (["list", "--plugin", "none.py"], "There is no plugin file none.py"),
        (["leaderboard", "show", "d", "--step", "5"], "'leaderboard' takes no option '--step'; did you mean '--steps'?"),
        (["list", "--plug", "none.py"], "'list' takes no option '--plug'"),
        (["list", "--plugin", "n" * 299], "Argument --plugin: must be a path, not nnn"),
        (["list", "\x1b[31m"], r"There is no kind of plugin called '\x1b[31m'."),
        (["run", "--seeds=--"], "--seeds has no value: '--' is none."),
        (["say", "Hi.", "--voice", "v", "-o", "o.wav", "--language", ""], "--language has no value: '' is none."),
        (["run", "--seeds", "1_0"], "Argument --seeds: must be a whole number, at least 1, not 1_0"),
        (["run", "--seeds", "٣"], "Argument --seeds: must be a whole number, at least 1, not ٣"),
        (["run", "--seeds", "9" * 6000], "Argument --seeds: must be a whole number, at most 1000000000, not 999"),
        (["leaderboard", "show", "espeak", "--steps", "-1"], "Argument --steps: must be a whole number, at least 0, not -1"),
        (["leaderboard", "add", "RUN", "--table", ""], "Argument --table: must be a path, not empty"),
        (["leaderboard", "verify", "--output", "/dev/null"], "Argument --output: must be a folder, and /dev/null is none"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {sentence}") and err.count("\n") == 1 and len(err) < 700


def command(monkeypatch: pytest.MonkeyPatch, **parts: object) -> None:
    """Put a command of the test's own in the place of ``list``."""
    module = types.ModuleType("benchmark.commands.list", "A command.")
    module.__dict__.update({"add_arguments": lambda parser: None} | parts)
    monkeypatch.setitem(sys.modules, "benchmark.commands.list", module)


def test_a_file_in_commands_is_a_subcommand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import benchmark.commands

    (tmp_path / "greet.py").write_text(
        '"""Greet somebody."""\n\ndef add_arguments(parser):\n    parser.add_argument("name")\n\n'
        'def run(args):\n    print("Hello,", args.name)\n'
    )
    monkeypatch.setattr(benchmark.commands, "__path__", [*benchmark.commands.__path__, str(tmp_path)])
    monkeypatch.setattr(cli, "COMMANDS", tmp_path)
    assert cli.main(["greet", "Ada"]) == 0 and capsys.readouterr().out == "Hello, Ada\n"
    assert cli.main([]) == 2 and "Greet somebody." in capsys.readouterr().out
    assert cli.main(["greet"]) == 2 and "error: The following arguments are required: name" in capsys.readouterr().err
    sys.modules.pop("benchmark.commands.greet")


class Speechless(Exception):
    """An error that ends the program when it is printed."""

    def __str__(self) -> str:
        raise SystemExit(9)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (BenchmarkError("It broke\n  in two."), 1, "error: It broke in two.\n"),
        (UsageError("Not so."), 2, "error: Not so.\n"),
        (KeyboardInterrupt(), 130, "Interrupted; run the same command again to resume.\n"),
        (RuntimeError("a\nb"), 1, "error: Unexpected RuntimeError: a b (run it again with --debug for the traceback).\n"),
        (OSError(errno.ENOSPC, "No space", "a/b"), 1, "error: The disk is full (a/b); free some space and run the same command again.\n"),
        (Speechless(), 1, "error: Unexpected Speechless (run it again with --debug for the traceback).\n"),
        (AssertionError(), 1, "error: Unexpected AssertionError (run it again with --debug for the traceback).\n"),
    ],
)
def test_errors_are_one_sentence_and_a_traceback_only_on_demand(
    error: BaseException, status: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    command(monkeypatch, run=run)
    assert cli.main(["list"]) == status
    assert capsys.readouterr().err == sentence
    for arguments in (["--debug", "list"], ["list", "--debug"]):
        assert cli.main(arguments) == status
        err = capsys.readouterr().err
        assert "Traceback" in err and err.endswith(sentence)


def test_a_commands_own_status_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, run=lambda args: 1)
    assert cli.main(["list"]) == 1


def test_a_command_with_settings_receives_what_it_did_not_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []

    def run(args: argparse.Namespace) -> int:
        seen.append(args)
        return 0

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--output")

    command(monkeypatch, run=run, add_arguments=add, settings=lambda: None)
    assert cli.main(["list", "--algo", "reptile", "--output", "x", "--algo.inner_lr=1", "--plugin", "p.py"]) == 0
    (args,) = seen
    assert args.settings == ["--algo", "reptile", "--algo.inner_lr=1"]
    assert (args.output, args.plugin, args.debug) == ("x", ["p.py"], False)
    assert "--output" in args.options


def test_a_reader_that_leaves_early_is_no_error(repository: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "benchmark", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=repository)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_that_goes_to_a_full_disk_is_one_sentence(repository: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "benchmark", "list"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=repository)
    assert (done.returncode, done.stderr) == (1, "error: The disk is full; free some space and run the same command again.\n")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory")])
def test_too_little_memory_is_one_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_dispatch", fails)
    assert refused(["list"], 1, capsys).startswith("error: The memory does not suffice; choose smaller sizes")


@pytest.mark.parametrize("width", [10**9, 10**6])
def test_a_model_that_no_memory_holds_is_one_sentence(
    width: int, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--algo", "reptile", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--backbone.hidden", width]
    said = refused([*words, "--cache", cache, "--output", tmp_path, "--workers", "1"], 1, capsys)
    assert "The memory does not suffice" in said


def test_a_pipe_or_a_device_is_never_written_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BenchmarkError, match=r"Could not write .*pipe: it is there and is no file; choose another name\."):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()


class Own(BaseException):
    pass


def test_what_a_plugin_raises_while_it_runs_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object) -> None:
        raise Own("of mine")

    monkeypatch.setattr(cli, "_dispatch", fails)
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == "error: Unexpected Own: of mine (run it again with --debug for the traceback).\n"


def test_threads_wait_without_spinning_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    cli.main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cli.main(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
