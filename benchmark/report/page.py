"""Everything that a report shows, put into one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from benchmark.data.corpus import Corpus, is_of_version
from benchmark.dataset import DatasetCard
from benchmark.errors import BenchmarkError
from benchmark.plugins import registry
from benchmark.plumbing.files import read_json
from benchmark.plumbing.progress import progress
from benchmark.plumbing.words import listed
from benchmark.report import charts, figures, sounds, tables
from benchmark.report.boards import Board
from benchmark.report.choices import Choices, choices
from benchmark.report.findings import Findings, dissent, findings
from benchmark.report.heard import HeardSentence, heard
from benchmark.results.leaderboard_rules import marks_of
from benchmark.results.result import old_note
from benchmark.results.verdicts import budget_note, processor_note

SPOKEN = 9_000_000
"""Most characters of speech and spectrograms in a page, so that with ten algorithms the whole page stays under 15 MB."""
PICTURED = 2
"""Sentences with spectrograms, per board."""
TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Part:
    """What the page says about one board."""

    board: Board
    choices: Choices | None
    findings: Findings | None
    dissent: list[Findings]
    leaderboard: tables.Table
    references: dict[str, str]
    meanings: dict[str, str]
    legend: list[figures.Key]
    curves: figures.Curves | None
    costs: list[charts.Chart]
    spaces: list[figures.Space]
    sentences: list[sounds.SpokenSentence]
    heard: list[HeardSentence]
    speaking: int
    speakers: list[tuple[str, tables.Table]]
    failures: tables.Table
    corpus: str
    shared: dict[str, str]
    provenance: dict[str, dict[str, str]]

    @property
    def steps(self) -> list[int]:
        """All numbers of adaptation steps in rows that adapt."""
        return sorted({int(row["steps"]) for rows in self.board.rows.values() for row in rows if row["shots"] != "0"})

    @property
    def statuses(self) -> set[str]:
        """The statuses that rows have."""
        return {row["status"] for rows in self.board.rows.values() for row in rows}

    @property
    def imperfect(self) -> str:
        """A sentence about the metrics by which not even recordings score perfectly; "" if there are none."""
        names = [metric for metric in self.board.metrics if self.board.known.off_on_real_speech(metric)]
        if not names:
            return ""
        return f"Recordings don't score perfectly in {listed(names)}, so read {'it' if len(names) == 1 else 'them'} against ground_truth."

    @property
    def warnings(self) -> list[str]:
        """Sentences that a reader must not overlook."""
        results = [result for contender in self.board.contenders for result in contender.results]
        marks = [marks_of(row) for rows in self.board.rows.values() for row in rows]
        because = {"preliminary": "they rest on fewer than three seeds, and one seed's interval omits what another pretraining changes",
                   "limited": "they do not cover all test speakers",
                   "trial": "they come from quick trials (--fast-dev-run), whose numbers mean nothing"}  # fmt: skip
        synthetic = "These are synthetic voices: the results say nothing about speech and must not be cited as if they did."
        presets = sorted({result["preset"] for result in results})
        said = {
            synthetic: any(result["synthetic"] for result in results),
            **{
                f"{'All rows are' if all(mark in own for own in marks) else 'Rows marked'} {mark}: {why}. Don't cite them.":
                    any(mark in own for own in marks)
                for mark, why in because.items()
            },
            "Some runs were made from uncommitted or unknown code.": any(result["git_dirty"] is not False for result in results),
            "Some runs used plugins from outside the benchmark's repository.": any(result.get("outside_plugins") for result in results),
            f"These runs are of several presets, {listed(presets)}: model sizes and budgets may differ.": len(presets) > 1,
            budget_note(self.board.contenders): True,
            processor_note(self.board.contenders): True,
            old_note(results): True,
        }  # fmt: skip
        unlike = [_unlike(self.board, plugin, what) for plugin, what in self.board.unlike().items()]
        return [sentence for sentence, holds in said.items() if holds and sentence] + unlike


def _unlike(board: Board, plugin: str, what: str) -> str:
    columns = list(board.known.of({plugin}).columns)
    return (
        f"Don't compare {listed(columns)} between these runs: {plugin} scored some of them on another scale. "
        f"They differ in {what}; Provenance says which."
    )


def build(boards: Sequence[Board], cache: Path) -> str:
    """The page.

    Args:
        boards: one for each dataset.
        cache: folder of prepared corpora, for transcripts; without its corpus, an utterance is shown by its id.

    Raises:
        BenchmarkError: a file of a run is damaged.
    """
    return render([_part(board, SPOKEN // len(boards), transcripts(board, cache)) for board in boards])


def _part(board: Board, limit: int, text: Callable[[str], str | None]) -> Part:
    sentences: list[sounds.SpokenSentence] = []
    speaking = 0
    if board.speaks:
        with progress(f"Speech of {board.name}", 1.0) as show:
            sentences, speaking = sounds.sentences(board, text, limit, PICTURED, show)
    best, found = choices(board), findings(board)
    keys = figures.legend((index, _labelled(board, name)) for index, name in figures.adapting(board))
    return Part(
        board, best, found, dissent(board, found) if found else [], tables.leaderboard(board),
        tables.references(board), tables.meanings(board), keys,
        figures.curves(board), figures.costs(board, best.points if best else {}),
        figures.spaces(board), sentences, [] if board.speaks else heard(board), speaking, tables.speakers(board), tables.failures(board),
        _corpus(board), tables.shared(board),
        {contender.name: tables.provenance(board, contender) for contender in board.contenders},
    )  # fmt: skip


def _corpus(board: Board) -> str:
    """Whose recordings are heard, under which licence, and what to cite; "" if the dataset's plugin is not here."""
    name = board.contenders[0].results[0]["config"].get("dataset", {}).get("name", board.name)
    try:
        card: DatasetCard = registry.load("dataset", name, board.plugins).card
    except BenchmarkError:
        return ""
    return f"{card.title}, licence {card.licence}. Citation: {card.citation.rstrip('.')}."


def _labelled(board: Board, name: str) -> str:
    """A contender's name, and what readers of a chart must know of it."""
    note = board.note(name)
    return f"{name} ({note})" if note else name


def transcripts(board: Board, cache: Path) -> Callable[[str], str | None]:
    """Gives an utterance's text from the prepared corpus of the runs' dataset, or None if the cache lacks it."""
    version = board.contenders[0].results[0]["data_version"].partition("+")[0]  # the dataset's own
    for path in sorted(cache.glob("corpora/*/corpus.json")):
        try:
            if is_of_version(read_json(path, "prepared corpus"), version):
                corpus = Corpus(path.parent)
                return lambda utterance: corpus.text(utterance) if utterance in corpus else None
        except (BenchmarkError, AttributeError):
            # Damage to another corpus does not concern this report.
            continue
    return lambda utterance: None


def render(parts: Sequence[Part]) -> str:
    """Fill the templates. Text by runs and users is escaped; hashes pin what a browser may load and run."""
    style, chart, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "chart.css", "script.js"))
    style += chart
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment().get_template("page.html").render(parts=parts, policy=policy, style=Markup(style), script=Markup(script))


def environment() -> jinja2.Environment:
    """Reads the templates; whatever they are given is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
