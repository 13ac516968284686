"""A leaderboard's card: Markdown with front matter in YAML, as hubs of data sets read it, made from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.dataset import DatasetCard
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.words import counted, listed
from benchmark.results.costs import COSTS
from benchmark.results.leaderboard_file import metrics_in, read, task_of, title
from benchmark.results.leaderboard_names import who
from benchmark.results.leaderboard_rules import MIN_SEEDS, problem_of, role_of

CATEGORIES = {"synthesis": "text-to-speech", "recognition": "automatic-speech-recognition"}
SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"))
VERSIONS = ("protocol_version", "data_version", "training_version", "evaluation_version", "benchmark_version")


def card(path: Path, plugins: registry.Plugins = ()) -> str:
    """The card of the table at a path.

    Args:
        path: the CSV file, named after its dataset.
        plugins: ``--plugin`` files, for their dataset.

    Raises:
        BenchmarkError: there is no readable table.
        UsageError: it has no rows, or its dataset's plugin is not found.
    """
    import yaml

    rows = read(path)
    if not rows:
        raise UsageError(f"{path} has no rows to describe; add runs with 'leaderboard add'.")
    corpus, problem = corpus_card(path, plugins), problem_of(rows[0]).name
    language = "multilingual" if task_of(path).name in ("language", "cross_lingual") else corpus.language.partition("-")[0]
    front = {
        "pretty_name": f"Few-Shot TTS Benchmark: {title(path)}", "license": "apache-2.0",
        "language": [language], "annotations_creators": ["machine-generated"],
        "task_categories": [CATEGORIES[problem]], "size_categories": [next(size for most, size in SIZES if len(rows) < most)],
        "tags": ["benchmark", "leaderboard", "few-shot-learning", "meta-learning", "speech", *["synthetic"] * _is_synthetic(rows)],
        "configs": [{"config_name": "default", "data_files": path.name}],
    }  # fmt: skip
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=120).strip()
    return f"---\n{head}\n---\n\n{_text(path, rows, corpus, problem)}"


def corpus_card(path: Path, plugins: registry.Plugins) -> DatasetCard:
    """The card of a table's dataset, by the table's name: "espeak-style", or "folder_an4" of a plugin that reads several corpora.

    Raises:
        UsageError: there is no such plugin.
    """
    name = path.stem.partition("-")[0]  # no dataset's name has a dash
    plugin, _, label = name.partition("_")
    for known, which in ((name, ""), (plugin, label)):
        try:
            found: DatasetCard = registry.load("dataset", known, plugins).card
        except BenchmarkError:
            continue
        return replace(found, title=f"{which}, recordings read by the dataset {known}") if which else found
    raise UsageError(f"{path} is named after no dataset plugin that can be read ({name}); give its file with --plugin.")


def _is_synthetic(rows: Sequence[Mapping[str, str]]) -> bool:
    return any(row["synthetic"] == "true" for row in rows)


def _text(path: Path, rows: Sequence[dict[str, str]], corpus: DatasetCard, problem: str) -> str:
    methods, noun = _algorithms(rows, ""), task_of(path).noun
    others = "The models learned from other corpora too; the command in `leaderboards/README.md` names them. "
    joined = others * any("+" in row["data_version"] for row in rows)
    cited = f"Citation: {corpus.citation.rstrip('.')}. " if corpus.citation else ""
    preliminary = sum(row["status"] != "ok" for row in rows)
    citable = (
        "These are synthetic voices: the rows say whether code works, and nothing about speech. Don't cite them as if they did."
        if _is_synthetic(rows)
        else f"Rows with the status `ok` rest on {MIN_SEEDS} seeds or more and may be cited"
        + (f"; {preliminary} of {len(rows)} are preliminary and must not." if preliminary else ".")
    )
    facts = {
        "Rows": f"{len(rows)}, one for each algorithm, number of sentences (shots) and number of adaptation steps",
        "Algorithms": f"{counted(len({who(row) for row in rows if not role_of(row)}), 'configuration')} of {listed(methods)}",
        **{f"{role.capitalize()}s": listed(_algorithms(rows, role)) for role in ("topline", "floor")},
        "Shots": _numbers(rows, "shots"), "Steps": _numbers(rows, "steps"), "Seeds": _numbers(rows, "seeds"),
        f"{noun.capitalize()}s scored": _numbers(rows, "speakers"), "Presets": _values(rows, "preset"),
        "Backbones": _values(rows, "backbone"), "Vocoders": _values(rows, "vocoder"),
        "Scores": listed([f"`{name}`" for name in metrics_in(rows)]), "Costs": listed([f"`{name}`" for name in COSTS]),
        **{f"`{name}`": _values(rows, name) for name in VERSIONS},
        "`manifest_hash`": listed(sorted({row["manifest_hash"][:16] for row in rows})),
    }  # fmt: skip
    table = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items() if value)]
    return "\n".join([
        f"# Few-Shot TTS Benchmark: {title(path)}", "",
        f"Results, not recordings: how well a model of speech {problem} does for {noun}s that it never heard, after a few of their "
        "sentences and a little compute, and what that costs. "
        "`leaderboards/README.md` defines every column, `docs/protocol.md` says how it is measured and what the numbers can't say.",
        "", *table, "", "## Use", "", citable, "",
        "```", f'pandas.read_csv("{path.name}")', f"python -m benchmark leaderboard show {title(path)}",
        f"python -m benchmark leaderboard best {title(path)} --shots {max(int(row['shots']) for row in rows)} --budget 5s",
        f"python -m benchmark leaderboard verify {title(path)}", "```", "",
        "`verify` computes each row again from its runs, which `runs/` keeps.", "",
        "## The corpus", "",
        f"{corpus.title}; licence: {corpus.licence}. {corpus.how_to_get} {cited}{joined}"
        f"Its {noun}s are divided into training, validation and test {noun}s; the rows are about the last. The table holds no recording.",
        "",
    ])  # fmt: skip


def _algorithms(rows: Sequence[dict[str, str]], role: str) -> list[str]:
    return [f"`{name}`" for name in sorted({row["algorithm"] for row in rows if role_of(row) == role})]


def _numbers(rows: Sequence[Mapping[str, str]], column: str) -> str:
    return ", ".join(map(str, sorted({int(row[column]) for row in rows})))


def _values(rows: Sequence[Mapping[str, str]], column: str) -> str:
    return ", ".join(sorted({row[column] for row in rows}))
