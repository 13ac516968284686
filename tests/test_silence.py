"""A run with logs, its report and its speech open no connection to anywhere, and the program's files are its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.cli_helpers import refused
from tests.dataset_helpers import SENTENCES, speech

WATCHED = """
import sys

NEAR = ("127.", "::1", "localhost")

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[0] if event.startswith("socket.get") else arguments[1]
        host = address[0] if isinstance(address, tuple) else address
        if not (isinstance(address, (str, bytes)) and event == "socket.connect") and not str(host).startswith(NEAR):
            print(f"OPENED {event} {address!r}", flush=True)

sys.addaudithook(watch)
from benchmark.cli import main

if __name__ == "__main__":
    output, cache, voice = sys.argv[1:]
    shared = ["--cache", cache, "--output", output, "--workers", "1"]
    run = ["run", "--algo", "finetune", "--dataset", "espeak", "--preset", "smoke", "--fast-dev-run", "--metrics", "mcd", "--wandb"]
    assert main([*run, *shared]) == 0
    assert main(["report", *shared]) == 0
    import pathlib
    (folder,) = (path.parent for path in pathlib.Path(output).glob("*/result.json"))
    assert main(["say", "Hello.", "--run", str(folder), "--voice", voice, "-o", f"{output}/a.wav", "--cache", cache]) == 0
"""


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """Where whoever speaks HTTP, in whatever language it is written, would be sent; and what it said there."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        server.shutdown(socket.SHUT_RDWR)


def test_nothing_is_opened_by_a_run_with_logs_a_report_and_speech(
    cache: Path, tmp_path: Path, proxy: tuple[str, list[bytes]], repository: Path
) -> None:
    address, heard = proxy
    (tmp_path / "voice").mkdir()
    for number, sentence in enumerate(SENTENCES[:2]):
        soundfile.write(tmp_path / "voice" / f"{number}.wav", speech(sentence, "f1"), 16_000)
        (tmp_path / "voice" / f"{number}.txt").write_text(sentence)
    (tmp_path / "watched.py").write_text(WATCHED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), address)
    environment |= {"WANDB_DATA_DIR": str(tmp_path), "PYTHONPATH": str(repository)}
    words = [sys.executable, str(tmp_path / "watched.py"), str(tmp_path / "runs"), str(cache), str(tmp_path / "voice")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "OPENED" not in done.stdout and heard == []
    assert "wandb sync" in done.stdout


def test_onnxruntime_is_told_not_to_report_its_use(repository: Path) -> None:
    """Its releases from 1.29 on read this when they are loaded."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | {"PYTHONPATH": str(repository)}
    code = "import os, benchmark; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "1\n", done.stderr


def test_a_mode_that_wandb_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_MODE", "run")
    said = refused(["run", "--algo", "reptile", "--dataset", "espeak", "--preset", "smoke", "--wandb"], 2, capsys)
    assert "WANDB_MODE must be offline, online or disabled, not 'run'." in said


def test_the_console_script_runs_no_files_of_the_working_directory(tmp_path: Path, repository: Path) -> None:
    for name in ("random", "yaml", "torch", "datetime"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the working directory was run')\n")
    script = tmp_path / "bin" / "benchmark"
    script.parent.mkdir()
    # As installers write it from pyproject.toml's [project.scripts].
    script.write_text("import sys\nfrom benchmark.__main__ import script\nif __name__ == '__main__':\n    sys.exit(script())\n")
    environment = os.environ | {"PYTHONPATH": str(repository)}
    words = [sys.executable, str(script), "check", "griffin_lim"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
