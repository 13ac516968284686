"""The card of a model file: what it is, what was measured, what it was trained on. The template is ``benchmark/models/card.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from tabulate import tabulate

from benchmark import problems
from benchmark.errors import UsageError
from benchmark.plumbing.files import is_file, write_text
from benchmark.plumbing.model_file import SHIPPED, Bundle
from benchmark.results.columns import ARROWS, known
from benchmark.running.finished import FinishedRun

TEMPLATE = SHIPPED.with_name("card.md")
MARK = "<!-- written by 'benchmark export' -->"
"""The first line of a card."""
WHAT = {
    "synthesis": ("A model that speaks in a voice after a few recordings of it.", 'say "Good morning." --model {} --voice DIR -o out.wav'),
    "recognition": ("A model that transcribes a voice after a few recordings of it.", "transcribe FILE --model {} --voice DIR"),
}
"""What a model does and how it is used, by problem."""


def check_card(path: Path) -> None:
    """Refuse to overwrite a file that is no card.

    Raises:
        UsageError: it is none.
    """
    if path.is_dir() or (is_file(path) and not path.read_bytes().startswith(MARK.encode())):
        raise UsageError(f"--card names {path}, which is there and is no card that 'export' wrote; choose another name.")


def write_card(path: Path, model: Path, run: FinishedRun, bundle: Bundle, plugins: Sequence[str]) -> None:
    """Write the card of a model file.

    Args:
        path: of the card.
        model: the file.
        run: that it was exported from.
        bundle: its content.
        plugins: ``--plugin`` files.
    """
    result = run.result
    what, command = WHAT[result["problem"]]
    curve = [point for point in result["curve"] if point["shots"] == max(each["shots"] for each in result["curve"])]
    columns = known(plugins)
    names = [name for name in columns.columns if all(name in point["metrics"] for point in curve)]
    commit = result["git_commit"] or "not known"
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, trim_blocks=True)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        mark=MARK, run=run.folder.name, what=what, command=command.format(model.name), backbone=result["backbone"],
        algorithm=result["algorithm"], vocoder=result["vocoder"] if problems.get(result["problem"]).speaks else "", preset=result["preset"],
        seed=result["seed"], language=bundle.facts["frontend"]["language"], synthetic=result["synthetic"], dataset=result["dataset"],
        task=run.corpus.task.noun, shots=curve[0]["shots"],
        scores=_table(["steps", *(f"{name} {ARROWS[columns.higher_is_better(name)]}" for name in names)],
                      ([point["steps"], *(_value(point["metrics"][name]) for name in names)] for point in curve)),
        meanings="\n".join(f"- {columns.plain(name)}" for name in names),
        constants=_constants(result["facts"], columns.constants),
        corpora="\n".join(map(_attribution, bundle.facts["corpora"])), sizes=size_table(bundle),
        version=bundle.facts["versions"]["benchmark"], commit=f"{commit}, with changes" if result["git_dirty"] else commit,
    )  # fmt: skip
    write_text(path, text)


def size_table(bundle: Bundle) -> str:
    """What a model file holds, part by part, as a table in Markdown."""
    rows: list[list[Any]] = [[part, f"{numbers:,}", f"{size / 1e6:.2f}"] for part, numbers, size in bundle.sizes()]
    total = [sum(column) for column in zip(*((numbers, size) for _, numbers, size in bundle.sizes()), strict=True)]
    return _table(["part", "numbers", "MB"], [*rows, ["together", f"{total[0]:,}", f"{total[1] / 1e6:.2f}"]])


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    return tabulate(list(rows), header, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * (len(header) - 1)))


def _value(column: Mapping[str, Any]) -> str:
    """A column's mean and its interval; the number of failures, if there are any."""
    if column["mean"] is None:
        return "none"
    low, high = column["ci95"]
    interval = "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"
    failed = f", {column['n_failed']} failed" if column["n_failed"] else ""
    return f"{column['mean']:.3g}{interval}{failed}"


def _constants(facts: Mapping[str, float | None], meanings: Mapping[str, str]) -> str:
    """What metrics measured on real speech, as a list; what no metric explains (the embedding space) is left out."""
    return "\n".join(f"- {meanings[name]}: {value:.3g}" for name, value in facts.items() if name in meanings and value is not None)


def _attribution(card: Mapping[str, Any]) -> str:
    """A corpus, its licence and what to cite."""
    cite = f" {str(card['citation']).rstrip('.')}." if card["citation"] else ""
    return f"- {card['title']}, version {card['version']}, licence: {card['licence']}.{cite} {card['how_to_get']}"
