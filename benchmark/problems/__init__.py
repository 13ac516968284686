"""The problems: a closed set, one per file."""

from __future__ import annotations

from benchmark.errors import BenchmarkError
from benchmark.problem import Problem
from benchmark.problems.recognition import Recognition
from benchmark.problems.synthesis import Synthesis

PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in (Synthesis(), Recognition())}


def get(name: str) -> Problem:
    """The problem of that name.

    Raises:
        BenchmarkError: there is no such problem; a backbone names a wrong one.
    """
    if name not in PROBLEMS:
        raise BenchmarkError(f"There is no problem called {name!r}; a backbone's problem is one of {', '.join(PROBLEMS)}.")
    return PROBLEMS[name]
