"""Progress lines: a share from 0 to 100 %, and a time left that is never negative."""

from __future__ import annotations

import re

import pytest

from benchmark.plumbing import progress


def test_more_than_all_is_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    with progress.progress("Reading", 105) as show:
        for done in (0, 52.5, 106, 108):
            show(done)
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"\d+ s", "N s", line) for line in lines] == [
        "Reading: 50 %, about N s left", "Reading: 100 %, about N s left", "Reading: 100 %, about N s left", "Reading: done in N s",
    ]  # fmt: skip


def test_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.progress("Reading", 10) as show:
        show(11)
    said = capsys.readouterr().err
    assert "100%" in said and "110%" not in said
