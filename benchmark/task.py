"""What one few-shot task is: whose utterances go together, and the two parts that they come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.batch import Batch


@dataclass(frozen=True)
class Task:
    """One training episode: utterances of one target, in two parts that share none.

    Attributes:
        support: to adapt to.
        query: to be good at after adaptation.
        seed: for what is drawn for this task alone, so that it does not depend on which process learns from it, or after what.
    """

    support: Batch
    query: Batch
    seed: int = 0

    def to(self, device: torch.device | str, **_: Any) -> Task:
        """The same task on another device (Lightning calls this)."""
        return Task(self.support.to(device), self.query.to(device), self.seed)


@dataclass(frozen=True)
class TaskKind:
    """What is adapted to: a *target*. Splits, sampling, episodes, centroids and bootstrap all go by it.

    Attributes:
        name: as ``--task`` has it.
        target: a speaker, language ("" where unknown) and style ("" where there is none) to the target's name.
        meaning: what a target is, in plain English.
    """

    name: str
    target: Callable[[str, str, str], str]
    meaning: str


def _speaker(speaker: str, language: str, style: str) -> str:
    return speaker


def _language(speaker: str, language: str, style: str) -> str:
    return language


def _style(speaker: str, language: str, style: str) -> str:
    return f"{speaker}+{style}" if style else ""


TASK_KINDS: Mapping[str, TaskKind] = {
    kind.name: kind
    for kind in (
        TaskKind("speaker", _speaker, "a speaker"),
        TaskKind("language", _language, "a language, spoken by several speakers"),
        TaskKind("style", _style, "one style of one speaker"),
    )
}
"""An utterance whose target has no name ("") belongs to no task of that kind."""
