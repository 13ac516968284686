"""What a result says of the code that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmark.results.result import git_state


def test_code_that_is_not_committed_is_dirty_and_other_files_are_not(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    assert git_state(tmp_path) == (None, None)
    (tmp_path / "algorithms").mkdir()
    (tmp_path / "algorithms" / "mine.py").write_text("x = 1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    commit, dirty = git_state(tmp_path)
    assert commit and dirty is False
    (tmp_path / "notes.txt").write_text("not code")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "algorithms" / "another.py").write_text("x = 2")
    assert git_state(tmp_path) == (commit, True)
