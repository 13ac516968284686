"""What the columns of results mean: read from the source of the metrics' classes, without importing them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import combinations
from typing import Any

from benchmark.errors import BenchmarkError
from benchmark.metric import Column
from benchmark.plugins import registry

ARROWS = {True: "↑", False: "↓", None: ""}
"""Arrows by whether higher is better; None: not known."""


@dataclass(frozen=True)
class KnownColumns:
    """Columns and constants of the metrics that were found.

    Attributes:
        columns: by name; means first, then rates, metric by metric.
        rates: the columns that are pooled from trials, and so have no value for a single sentence.
        constants: meanings, by name, of what metrics measure on real speech.
        metrics: the metric plugin behind each column and constant.
        tolerances: how far constants may differ between machines, relatively, where metrics say so.
    """

    columns: Mapping[str, Column]
    rates: frozenset[str]
    constants: Mapping[str, str]
    metrics: Mapping[str, str]
    tolerances: Mapping[str, float]

    def of(self, names: Collection[str]) -> KnownColumns:
        """Only the columns and constants of these metric plugins."""
        return KnownColumns(
            {name: column for name, column in self.columns.items() if self.metrics[name] in names},
            frozenset(name for name in self.rates if self.metrics[name] in names),
            {name: meaning for name, meaning in self.constants.items() if self.metrics[name] in names},
            {name: metric for name, metric in self.metrics.items() if metric in names},
            {name: value for name, value in self.tolerances.items() if self.metrics[name] in names},
        )

    def higher_is_better(self, name: str) -> bool | None:
        """Whether higher is better in a column; None if its metric was not found."""
        return self.columns[name].higher_is_better if name in self.columns else None

    def same_question(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """The pairs of these columns that measure the same by different instruments, in the order given."""
        asked = {name: self.columns[name].second_opinion_of or name for name in names if name in self.columns}
        return [(one, other) for one, other in combinations(asked, 2) if asked[one] == asked[other]]

    def label(self, name: str) -> str:
        """A column with its unit: "mcd (dB)"."""
        unit = self.columns[name].unit if name in self.columns else ""
        return f"{name} ({unit})" if unit else name

    def plain(self, name: str) -> str:
        """A column and what it measures."""
        return f"{name}: {self.columns[name].meaning}" if name in self.columns else name

    def off_on_real_speech(self, name: str) -> bool:
        """Whether even recordings score imperfectly, so that values are read against theirs (the constant ``per_real``)."""
        return name not in self.rates and f"{name}_real" in self.constants


def known(plugins: registry.Plugins = ()) -> KnownColumns:
    """Columns and constants of all metrics: built-in, installed, and in ``--plugin`` files. A broken metric is left out."""
    return _known(tuple(str(path) for path in plugins))


@lru_cache(maxsize=16)
def _known(plugins: tuple[str, ...]) -> KnownColumns:
    columns: dict[str, Column] = {}
    rates: set[str] = set()
    constants: dict[str, str] = {}
    metrics: dict[str, str] = {}
    tolerances: dict[str, float] = {}
    for info in registry.find("metric", plugins).values():
        try:
            facts = registry.describe(info).facts if info.path else _imported(info)
        except BenchmarkError:  # 'list' and 'check' say what is wrong with it
            continue
        pooled, own = dict(read(facts.get("rates"))), facts.get("constants")
        own = own if isinstance(own, Mapping) else {}
        columns |= {**dict(read(facts.get("columns"))), **pooled}
        rates |= pooled.keys()
        constants |= own
        metrics |= dict.fromkeys([*dict(read(facts.get("columns"))), *pooled, *own], info.name)
        given = facts.get("tolerances")
        tolerances |= {name: float(value) for name, value in given.items() if name in own} if isinstance(given, Mapping) else {}
    return KnownColumns(columns, frozenset(rates), constants, metrics, tolerances)


def read(fact: Any) -> Iterator[tuple[str, Column]]:
    """Columns from the literals in a metric's source; none if it defines them otherwise."""
    names = {field.name for field in fields(Column)}
    for name, value in fact.items() if isinstance(fact, Mapping) else ():
        if isinstance(value, Column):
            yield name, value
        elif isinstance(value, Mapping) and {"unit", "meaning", "higher_is_better"} <= value.keys() <= names:
            yield name, Column(**value)


def _imported(info: registry.PluginInfo) -> dict[str, Any]:
    """The same facts, for a metric whose file can't be found without importing it."""
    plugin = registry.load_info(info)
    return {name: getattr(plugin, name) for name in ("columns", "rates", "constants", "tolerances")}


def bounds(column: Column) -> str:
    """The possible values in words: "-1 to 1", "from 0"; "" if any."""
    low, high = (None if bound is None else f"{bound:g}" for bound in (column.low, column.high))
    return f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}" if high else ""


def in_words(column: Column) -> str:
    """Unit, direction, bounds and meaning in one line."""
    better = f"{'higher' if column.higher_is_better else 'lower'} is better"
    return f"{', '.join(filter(None, [column.unit, better, bounds(column)]))}: {column.meaning}"


def markdown(plugins: registry.Plugins = ()) -> str:
    """Tables of all columns, of the metrics behind them and of their constants, for documents."""
    from benchmark.plugins.fit import in_words as needs_in_words

    found = known(plugins)
    lines = ["| column | unit | better | values | meaning | metric |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | {column.unit} | {'higher' if column.higher_is_better else 'lower'} | {bounds(column)} | {column.meaning} "
        f"| `{found.metrics[name]}` |"
        for name, column in found.columns.items()
    ]
    lines += ["", "| metric | version | needs | definition, in short |", "| --- | --- | --- | --- |"]
    for name in dict.fromkeys(found.metrics.values()):
        plugin = registry.describe(registry.get("metric", name, plugins))
        first = " ".join(plugin.docstring.partition("\n\n")[0].split())
        lines.append(f"| `{name}` | {plugin.facts.get('version', '')} | {needs_in_words(plugin.facts.get('needs', ()))} | {first} |")
    lines += ["", "| constant in `facts` | meaning | metric |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | {meaning} | `{found.metrics[name]}` |" for name, meaning in found.constants.items())])


def shown(names: Iterable[str], found: KnownColumns, metrics: Collection[str] = ()) -> list[str]:
    """The columns that a table shows by default, in its order: headlines, and all of some ``metrics``; every column if that leaves none."""
    every = list(names)
    return [each for each in every if each in found.columns and (found.columns[each].headline or found.metrics[each] in metrics)] or every
