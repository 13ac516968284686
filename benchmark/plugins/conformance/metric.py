"""Requirements for metrics: explain their columns, and refuse what they can't score."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import CannotScore
from benchmark.metric import Column, Metric, Sample
from benchmark.plugins import registry, source
from benchmark.plugins.conformance.requirement import Requirement, require
from benchmark.plugins.fit import INPUTS
from benchmark.problems import PROBLEMS
from benchmark.results.columns import known, read
from benchmark.task import TASK_KINDS


def requirements(plugin: type[Metric], config: Any, plugins: registry.Plugins) -> Iterator[Requirement]:
    """Each requirement in turn."""

    def declared() -> None:
        require(plugin.columns and plugin.version, "columns and version must not be empty")
        for name, column in [*dict(plugin.columns).items(), *plugin.rates.items()]:
            require(isinstance(column, Column) and column.meaning, f"{name} must be a Column with a meaning")
        unknown = set(plugin.needs) - set(INPUTS)
        require(not unknown, f"needs names {', '.join(sorted(unknown))}, which nothing provides")
        every = [problem.provides(("durations", "speaker_vector")) for problem in PROBLEMS.values()]
        require(any(set(plugin.needs) <= {*given, *TASK_KINDS} for given in every), "no problem provides everything that it needs")

    def literals() -> None:
        file = inspect.getsourcefile(plugin)
        text = source.read(Path(file)) if file else None
        if text is None or source.find_class(text, plugin.__name__) is None:
            return
        facts = source.facts(text, plugin.__name__)
        for attribute in ("columns", "rates"):
            require(
                dict(read(facts.get(attribute))) == dict(getattr(plugin, attribute)),
                f"{attribute} must be a dict of Column(unit=..., meaning=..., ...) with literals: tables read it without importing",
            )

    def second_opinions() -> None:
        others = known(plugins).columns
        for name, column in [*plugin.columns.items(), *plugin.rates.items()]:
            if first := column.second_opinion_of:
                require(first in others, f"{name} is a second opinion of {first!r}, which no metric scores")
                require(first not in (*plugin.columns, *plugin.rates), f"{name} is a second opinion of {first}, of the same metric")
                require(not others[first].second_opinion_of, f"{name} is a second opinion of {first}, which is one itself")
                alike = all(getattr(others[first], fact) == getattr(column, fact) for fact in ("unit", "higher_is_better"))
                require(alike, f"{name} and {first} must have one unit and one direction, because they measure the same")

    def silent() -> None:
        empty = np.zeros(0, np.float32)
        sample = Sample(empty, empty, (), "s", (), "", "")
        try:
            values = plugin(config).score(sample)
        except CannotScore:
            return
        raise AssertionError(f"empty audio and no text were scored {values} instead of raising CannotScore")

    yield Requirement("declares columns with meanings, needs and version", declared)
    yield Requirement("its columns can be read from source", literals)
    yield Requirement("second opinions are of other metrics' columns", second_opinions)
    yield Requirement("empty audio is refused, not scored", silent)
