"""Few-shot tasks: which utterances belong together, split into support and query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # settings are read without importing torch
    import torch

    from benchmark.batch import Batch


@dataclass(frozen=True)
class Task:
    """One training episode: utterances of one target, split into disjoint support and query sets.

    Attributes:
        support: utterances to adapt to.
        query: utterances that the adapted model is judged on.
        seed: of the task's random draws, so that they depend neither on the process nor on earlier tasks.
    """

    support: Batch
    query: Batch
    seed: int = 0

    def to(self, device: torch.device | str, **_: Any) -> Task:
        """The same task on another device (Lightning calls this)."""
        return Task(self.support.to(device), self.query.to(device), self.seed)


@dataclass(frozen=True)
class TaskKind:
    """What a model adapts to, called its *target*. Splits, sampling, episodes, centroids and bootstrap all go by target.

    Attributes:
        name: the value of ``--task``.
        target: maps a speaker, a language ("" if unknown) and a style ("" if none) to the target's name.
        noun: what a target is called in sentences.
        speakers: the least number of speakers of a target; a target with fewer belongs to no task.
        languages: the same of languages; from 2 on, an episode's support is in one language and its queries are in another.
    """

    name: str
    target: Callable[[str, str, str], str]
    noun: str
    speakers: int = 1
    languages: int = 1

    @property
    def crosses(self) -> bool:
        """Whether support and queries are in two languages."""
        return self.languages > 1


def _speaker(speaker: str, language: str, style: str) -> str:
    return speaker


def _language(speaker: str, language: str, style: str) -> str:
    return language


def _style(speaker: str, language: str, style: str) -> str:
    return f"{speaker}+{style}" if style else ""


TASK_KINDS: Mapping[str, TaskKind] = {
    kind.name: kind
    for kind in (
        TaskKind("speaker", _speaker, "speaker"),
        TaskKind("language", _language, "language", speakers=2),
        TaskKind("style", _style, "style"),
        TaskKind("cross_lingual", _speaker, "speaker", languages=2),
    )
}
"""An utterance whose target is "" belongs to no task of that kind."""
