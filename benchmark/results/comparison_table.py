"""A comparison as text to read, for papers, for spreadsheets and for programs."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError
from benchmark.results import latex
from benchmark.results.comparison import CURVE, Line
from benchmark.results.ranking import LEGEND as ORDER

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "json", "latex")
LEGEND = """\
first - second: mean difference [95 % interval]; speakers, seeds: those that both have; IQM: interquartile mean over
speakers; P: probability that the first is better on a sentence; d: effect size between speakers; p: test between
speakers, Holm-corrected over the lines with a p (none: fewer than six speakers, or identical values), lines with the
same scores counted once, those of costs apart. Intervals are not corrected."""


@dataclass(frozen=True)
class Compared:
    """What a comparison found.

    Attributes:
        dataset: name of the table.
        metrics: columns, and whether higher is better.
        lines: the comparisons.
        sentences: verdicts, then what to bear in mind.
        rankings: the order of more than two, at each place.
        disagreements: where columns that measure the same by different instruments judge differently.
        tables: leaderboards that the algorithms were found in.
    """

    dataset: str
    metrics: Mapping[str, bool]
    lines: Sequence[Line]
    sentences: Sequence[str]
    rankings: Sequence[str]
    disagreements: Sequence[str]
    tables: Sequence[Path] = ()

    def __str__(self) -> str:
        return self.text("table")

    def frame(self) -> pd.DataFrame:
        """The lines as a table, numbers as such: a row for each pair, metric and place of the grid."""
        import pandas as pd

        return pd.DataFrame(self._records())

    def text(self, style: str) -> str:
        """As text, in one of ``FORMATS``; of csv, the lines alone.

        Raises:
            UsageError: there is no such format.
        """
        if style not in FORMATS:
            raise UsageError(f"The format must be {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {style!r}.")
        return {"table": self._table, "csv": self._csv, "json": self._json, "latex": self._latex}[style]()

    def _table(self) -> str:
        from tabulate import tabulate

        constant, table = self._columns()
        sides = ["left" if name in ("first", "second", "metric", "better") else "right" for name in table]
        order = [*self.rankings, *([textwrap.fill(ORDER, 118)] if self.rankings else [])]
        lines = tabulate(table, "keys", tablefmt="simple", disable_numparse=True, colalign=sides)
        return "\n".join([*constant, "", lines, "", LEGEND, "", *self.sentences, *order, *self.disagreements])

    def _latex(self) -> str:
        constant, table = self._columns()
        rows = list(zip(*table.values(), strict=True))
        left = [place for place, name in enumerate(table) if name in ("first", "second", "metric", "better")]
        notes = [" ".join(LEGEND.split()), *self.sentences, *self.rankings, *([ORDER] if self.rankings else []), *self.disagreements]
        names = "-".join(dict.fromkeys(name for line in self.lines for name in (line.first, line.second)))
        caption = f"Few-Shot TTS Benchmark: paired comparison. {'; '.join(constant)}."
        return latex.table(list(table), rows, caption, f"{self.dataset}-{names}", notes, left=left)

    def _columns(self) -> tuple[list[str], dict[str, list[str]]]:
        """What has one value throughout, in sentences, and the other columns."""
        lines, metrics = self.lines, self.metrics
        columns: dict[str, list[str]] = {
            "first": [line.first for line in lines], "second": [line.second for line in lines],
            "metric": [f"{line.metric} ({'higher' if metrics[line.metric] else 'lower'} is better)" for line in lines],
            "shots": [str(line.shots) for line in lines], "speakers": [str(line.found.speakers) for line in lines],
            "seeds": [str(line.found.seeds) for line in lines],
        }  # fmt: skip
        constant = {name: cells[0] for name, cells in columns.items() if len(set(cells)) == 1}
        table = {name: cells for name, cells in columns.items() if name not in constant}
        if "metric" in table:
            table["metric"] = [f"{line.metric} {'↑' if metrics[line.metric] else '↓'}" for line in lines]
        table["steps"] = ["curve" if line.steps == CURVE else str(line.steps) for line in lines]
        differences = [line.found.difference for line in lines]
        table["first - second"] = [
            _signed(each.mean) + ("" if isnan(each.low) else f" [{_signed(each.low)}, {_signed(each.high)}]") for each in differences
        ]
        table["IQM"] = [_signed(line.found.middle) for line in lines]
        table["P"] = [f"{line.found.better.mean:.2f}" for line in lines]
        table["d"] = ["-" if isnan(line.found.effect) else f"{line.found.effect:+.2f}" for line in lines]
        table["p"] = ["-" if isnan(line.p) else f"{line.p:.4f}" for line in lines]
        table["better"] = [line.better or "-" for line in lines]
        return [f"{name}: {cell}" for name, cell in {"dataset": self.dataset, **constant}.items()], table

    def _records(self) -> list[dict[str, Any]]:
        """The lines with every number as one; None where there is none."""
        records = []
        for line in self.lines:
            found, difference = line.found, line.found.difference
            numbers = {
                "difference": difference.mean, "difference_lo": difference.low, "difference_hi": difference.high, "iqm": found.middle,
                "probability_better": found.better.mean, "effect_size": found.effect, "p": line.p,
                "detectable": found.detectable,
            }  # fmt: skip
            records.append({
                "dataset": self.dataset, "first": line.first, "second": line.second, "metric": line.metric,
                "higher_is_better": self.metrics[line.metric], "shots": line.shots, "steps": "curve" if line.steps == CURVE else line.steps,
                "speakers": found.speakers, "seeds": found.seeds,
                **{name: value if isfinite(value) else None for name, value in numbers.items()}, "better": line.better,
            })  # fmt: skip
        return records

    def _csv(self) -> str:
        buffer, records = io.StringIO(), self._records()
        writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return buffer.getvalue().rstrip("\n")

    def _json(self) -> str:
        whole = {
            "lines": self._records(), "sentences": list(self.sentences), "rankings": list(self.rankings),
            "disagreements": list(self.disagreements),
        }  # fmt: skip
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)


def _signed(value: float) -> str:
    return f"{value:+.3f}" if abs(value) < 1e4 else f"{value:+.3g}"
