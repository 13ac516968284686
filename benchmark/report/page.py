"""Everything that a report shows, put into one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from benchmark.data.corpus import Corpus
from benchmark.errors import BenchmarkError
from benchmark.plumbing.files import read_json
from benchmark.plumbing.progress import progress
from benchmark.report import charts, figures, sounds, tables
from benchmark.report.boards import Board
from benchmark.report.findings import Findings, findings
from benchmark.report.words import listed
from benchmark.results.comparison import budget_note

SPOKEN = 9_000_000
"""Characters of speech and spectrograms in a page, so that with ten algorithms the rest keeps it under 15 MB."""
PICTURED = 2
"""Sentences with spectrograms, of each board."""
TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Part:
    """What the page says about one board."""

    board: Board
    findings: Findings | None
    leaderboard: tables.Table
    meanings: dict[str, str]
    notes: dict[str, str]
    legend: list[figures.Key]
    curves: list[figures.CurveSet]
    costs: list[charts.Chart]
    spaces: list[figures.Space]
    sentences: list[sounds.SpokenSentence]
    speaking: int
    speakers: list[tuple[str, tables.Table]]
    failures: tables.Table
    shared: dict[str, str]
    provenance: dict[str, dict[str, str]]

    @property
    def steps(self) -> list[int]:
        """All numbers of adaptation steps, of those that adapt."""
        return sorted({int(row["steps"]) for rows in self.board.rows.values() for row in rows if row["shots"] != "0"})

    @property
    def statuses(self) -> set[str]:
        """What rows may be called."""
        return {row["status"] for rows in self.board.rows.values() for row in rows}

    @property
    def warnings(self) -> list[str]:
        """What must not be overlooked."""
        results = [result for contender in self.board.contenders for result in contender.results]
        statuses, alike = self.statuses, "All rows are" if len(self.statuses) == 1 else "Rows marked"
        because = {"preliminary": "they rest on fewer than three seeds, and an interval of one leaves out what another pretraining changes",
                   "limited": "they do not cover all test speakers"}  # fmt: skip
        synthetic = "These are synthetic voices: nothing here says anything about speech, and none of it may be cited so."
        presets = sorted({result["preset"] for result in results})
        said = {
            synthetic: any(result["synthetic"] for result in results),
            **{f"{alike} {status}: {why}. Don't cite them.": status in statuses for status, why in because.items()},
            "Some runs were made from uncommitted or unknown code.": any(result["git_dirty"] is not False for result in results),
            "Some runs used plugins from outside the benchmark's repository.": any(result.get("outside_plugins") for result in results),
            f"These runs are of several presets, {listed(presets)}: models may differ in size, and budgets.": len(presets) > 1,
            budget_note(self.board.contenders): True,
        }  # fmt: skip
        unlike = [_unlike(self.board, plugin, what) for plugin, what in self.board.unlike().items()]
        return [sentence for sentence, holds in said.items() if holds and sentence] + unlike


def _unlike(board: Board, plugin: str, what: str) -> str:
    columns = list(board.known.of({plugin}).columns)
    return (
        f"Don't compare {listed(columns)} between these runs: {plugin} was scored on another scale in some of them, "
        f"which differ in {what}; Provenance says which."
    )


def build(boards: Sequence[Board], cache: Path) -> str:
    """The page.

    Args:
        boards: one for each dataset.
        cache: where prepared corpora lie, for transcripts; utterances of a corpus that is not there are shown by their ids.

    Raises:
        BenchmarkError: something that a run wrote is damaged.
    """
    return render([_part(board, SPOKEN // len(boards), transcripts(board, cache)) for board in boards])


def _part(board: Board, limit: int, text: Callable[[str], str | None]) -> Part:
    with progress(f"Speech of {board.name}", 1.0) as show:
        sentences, speaking = sounds.sentences(board, text, limit, PICTURED, show)
    adapting = [(index, f"{name} ({few})" if (few := board.fewer_seeds(name)) else name) for index, name in figures.adapting(board)]
    keys = figures.legend(adapting)
    return Part(
        board, findings(board), tables.leaderboard(board), tables.meanings(board), tables.differences(board), keys,
        figures.curves(board), figures.costs(board),
        figures.spaces(board), sentences, speaking, tables.speakers(board), tables.failures(board), tables.shared(board),
        {contender.name: tables.provenance(board, contender) for contender in board.contenders},
    )  # fmt: skip


def transcripts(board: Board, cache: Path) -> Callable[[str], str | None]:
    """What is said in an utterance, from the prepared corpus of the runs' dataset if the cache holds it."""
    version = board.contenders[0].results[0]["data_version"].partition("+")[0]  # what else was learned from is not scored
    for path in sorted(cache.glob("corpora/*/corpus.json")):
        try:
            if read_json(path, "prepared corpus").get("version") == version:
                corpus = Corpus(path.parent)
                return lambda utterance: corpus.text(utterance) if utterance in corpus else None
        except (BenchmarkError, AttributeError):
            # Another corpus's damage is not this report's affair.
            continue
    return lambda utterance: None


def render(parts: Sequence[Part]) -> str:
    """Fill the templates. Whatever a run or a user wrote is escaped; what a browser may load and run is pinned by hash."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html").render(parts=parts, policy=policy, style=Markup(style), script=Markup(script))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
