"""Requirements for datasets: disjoint splits, unique ids, repeatable audio."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmark.dataset import SPLITS
from benchmark.plugins import registry
from benchmark.plugins.conformance.requirement import Requirement, require
from benchmark.task import TASK_KINDS


def requirements(plugin: type[Any], config: Any, plugins: registry.Plugins) -> Iterator[Requirement]:
    def tasks() -> None:
        unknown = set(plugin.tasks) - set(TASK_KINDS)
        require(not unknown, f"tasks names {', '.join(sorted(unknown))}; known names are {', '.join(TASK_KINDS)}")

    def card() -> None:
        require(plugin.card.title and plugin.card.licence and plugin.card.layout, "title, licence or layout is empty")

    yield Requirement("has a card", card)
    yield Requirement("names only known tasks", tasks)
    if plugin.needs_root:
        return

    def splits(task: str) -> None:
        dataset = plugin(None, config)
        dataset.pose(task)
        speakers = [set(dataset.speakers(split)) for split in SPLITS]
        require(all(speakers), "a split has no speakers")
        require(sum(map(len, speakers)) == len(set.union(*speakers)), "a speaker is in two splits")
        utterances = dataset.utterances(min(speakers[0]))
        require(len({u.id for u in utterances}) == len(utterances) > 0, "utterance ids are missing or not unique")
        first, _ = dataset.load(utterances[0])
        again, _ = dataset.load(utterances[0])
        require(np.array_equal(first, again) and np.isfinite(first).all(), "audio is not finite, or differs between two loads")

    for task in plugin.tasks:
        of_task = "" if task == "speaker" else f" (task {task})"
        yield Requirement(f"disjoint splits, unique ids, repeatable audio{of_task}", partial(splits, task))
