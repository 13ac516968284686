"""Leaderboards as text to read, and as BibTeX to cite."""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins.registry import Plugins
from benchmark.plumbing.words import listed
from benchmark.results import cells
from benchmark.results.columns import ARROWS, KnownColumns, known, shown
from benchmark.results.leaderboard import run_folder
from benchmark.results.leaderboard_file import metrics_in, read
from benchmark.results.leaderboard_rules import SETTING, marks_of
from benchmark.settings.config import said

STYLES = {"table": "simple", "md": "github", "latex": "latex_booktabs", "csv": ""}
"""Formats, and tabulate's names for them."""
UNFIT = {
    "preliminary": "fewer than three seeds", "limited": "not all test speakers",
    "uncommitted": "made from changed or unknown code, or with a plugin from elsewhere",
}  # fmt: skip
"""Why rows must not be cited, by status."""
LATEX = {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}


def show(
    path: Path, shots: int | None = None, steps: int | None = None, style: str = "table", run_ids: Collection[str] | None = None,
    metrics: Sequence[str] = (), sort: str = "", plugins: Plugins = (), beside: Collection[str] = (),
) -> str:  # fmt: skip
    """A leaderboard as text: means ± half the width of their intervals, then notes that a reader needs.

    Args:
        path: the CSV file.
        shots, steps: only rows with these numbers. Algorithms without a support set (0 shots) or adaptation steps (0 steps only)
            have one value for all, and are always shown.
        style: one of ``STYLES``.
        run_ids: only rows made from these runs.
        metrics: columns to show; empty: the headline columns, which fit a terminal's width; "all": all.
        sort: column to sort by, ascending, or descending with a "-" before it; citable rows stay first.
        plugins: ``--plugin`` files, for the meanings of their metrics' columns.
        beside: metric plugins whose columns are all shown beside the headline.

    Raises:
        BenchmarkError: there is no readable table.
        UsageError: the table has no such metric or column, or no row with these shots and steps.
    """
    every = read(path)
    grid: dict[tuple[str, ...], set[str]] = {}
    for row in every:
        grid.setdefault(_who(row), set()).add(row["steps"])

    def wanted(row: dict[str, str]) -> bool:
        return (
            (shots is None or int(row["shots"]) in (0, shots))
            and (steps is None or int(row["steps"]) == steps or grid[_who(row)] == {"0"})
            and (run_ids is None or bool(set(row["run_ids"].split()) & set(run_ids)))
        )

    asked = [row for row in every if shots in (None, int(row["shots"])) and steps in (None, int(row["steps"]))]
    if every and not asked:
        has = " and ".join(f"{','.join(map(str, sorted({int(row[name]) for row in every})))} {name}" for name in ("shots", "steps"))
        wish = " and ".join(f"{count} {name}" for count, name in ((shots, "shots"), (steps, "steps")) if count is not None)
        raise UsageError(f"{path} has no row of {wish}; it has {has}.")
    rows = [row for row in every if wanted(row)]
    if sort:
        rows = _sorted(path, rows, sort)
    available = metrics_in(rows)
    for metric in metrics:
        if rows and metric not in (*available, "all"):
            raise UsageError(f"{path} has no metric {metric!r}; it has {', '.join(available)}, or say all.")
    if "all" in metrics:
        metrics = available
    elif not metrics:
        tried = [metric for metric in available if any(row[metric] or row[f"{metric}_failed"] not in ("", "0") for row in rows)]
        metrics = shown(tried, known(plugins), beside)
    header = ["algorithm", "shots", "steps", "seeds", *metrics, "failed"]
    names = _names(rows)
    table = [
        [name, row["shots"], row["steps"], row["seeds"], *(interval(row, metric) for metric in metrics), failed_in(row, available)]
        for name, row in zip(names, rows, strict=True)
    ]
    if style == "csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([header, *table])
        return buffer.getvalue().rstrip("\n")
    from tabulate import tabulate

    found = known(plugins).of({pair.partition("=")[0] for row in rows for pair in row["metric_versions"].split()})
    header = [f"{name} {ARROWS[found.higher_is_better(name)]}".strip() for name in header]
    sides = ["left"] + ["right"] * (len(header) - 1)
    text = tabulate(table, header, tablefmt=STYLES[style], disable_numparse=True, colalign=sides if table else None)
    if style != "latex":
        return "\n".join([text, "", *_legend(rows, metrics, found)])
    return _latex(text, _legend(rows, metrics, found), len(header))


def _latex(text: str, notes: Sequence[str], columns: int) -> str:
    """The tabular environment with numbers in math mode, and the notes as its last lines: a paper's readers need them too."""
    text = re.sub(r"(-?[\d.]+) ± ([\d.]+)", r"$\1 \\pm \2$", text)
    lines = [f"\\multicolumn{{{columns}}}{{p{{0.95\\linewidth}}}}{{\\footnotesize {_escaped(note)}}} \\\\\n" for note in notes]
    body, end, _ = text.partition("\\end{tabular}")
    whole = f"% needs \\usepackage{{booktabs}}\n{body}{''.join(lines)}{end}"
    for sign, command in LATEX.items():
        whole = whole.replace(sign, command)
    return whole


def _escaped(text: str) -> str:
    """Text escaped for LaTeX."""
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda found: words.get(found[0], f"\\{found[0]}"), text)


def _legend(rows: Sequence[dict[str, str]], metrics: Sequence[str], found: KnownColumns) -> list[str]:
    """Notes that a reader of the table needs."""
    lines = ["↑: higher is better, ↓: lower."]
    if any(row[f"{metric}_lo"] for row in rows for metric in metrics):
        lines.insert(0, "±: half the width of the 95 % interval, which may be asymmetric (bounds: the CSV file).")
    elif metrics:
        lines.insert(0, "No intervals: they need at least two speakers.")
    if any(failed_in(row, metrics_in(rows)) for row in rows):
        lines.append("failed: the most utterances that any one metric could not score.")
    if those := ", ".join(metric for metric in metrics if found.off_on_real_speech(metric)):
        lines.append(f"{those}: recordings don't score perfectly either; read it against the row of ground_truth.")
    lines += _roles(rows)
    lines += [f"{status}: {reason}; not to be cited." for status, reason in UNFIT.items() if any(status in marks_of(row) for row in rows)]
    for name in SETTING:
        kinds: dict[str, dict[str, None]] = {}
        for row in rows:
            kinds.setdefault(row[name], {})[row["algorithm"]] = None
        if len(kinds) > 1:
            each = "; ".join(f"{kind}: {', '.join(those)}" for kind, those in kinds.items())
            lines.append(f"Rows differ in {name}, so don't rank them together ({each}).")
    if any(row["synthetic"] == "true" for row in rows):
        lines.append("synthetic voices: not to be cited as speech.")
    lines += configurations(rows)
    return [*lines, "Columns and metrics are defined in leaderboards/README.md."]


def _roles(rows: Sequence[dict[str, str]]) -> list[str]:
    """A line that names the toplines and floors, if there are any."""
    from benchmark.plugins import fit

    found: dict[str, dict[str, None]] = {}
    for row in rows:
        with suppress(BenchmarkError):  # it comes from a plugin file that was not given
            found.setdefault(fit.role(row["algorithm"]), {})[row["algorithm"]] = None
    named = [f"{role}s: {', '.join(found[role])}" for role in fit.ROLES if role in found]
    return [f"For scale, {'; '.join(named)}."] if named else []


def cite(path: Path, algorithm: str, shots: int | None = None, steps: int | None = None, committed: bool = True) -> str:
    """BibTeX for an algorithm's rows, with what they were made from.

    Args:
        path: the CSV file.
        algorithm: its name, or one of its configurations, ``reptile:d37ca7c2``.
        shots, steps: only rows with these numbers.
        committed: whether the table is one of the benchmark's; if not, the entry says so.

    Raises:
        BenchmarkError: there is no readable table.
        UsageError: the table has no such rows, or has rows that must not be cited.
    """
    from benchmark import RELEASED, __version__
    from benchmark.plugins.registry import suggest

    rows = read(path)
    algorithm, _, digest = algorithm.partition(":")
    every = [row for row in rows if row["algorithm"] == algorithm]
    if not every:
        raise UsageError(f"{path} has no rows of {algorithm}{suggest(algorithm, sorted({row['algorithm'] for row in rows}))}")
    mine = [row for row in every if row["options"].startswith(digest)]
    if not mine:
        raise UsageError(f"{path} has no configuration {digest!r} of {algorithm}; it has {_labels(every)}.")
    mine = [row for row in mine if (shots is None or int(row["shots"]) == shots) and (steps is None or int(row["steps"]) == steps)]
    if not mine:
        raise UsageError(f"{path} has no row of {algorithm} with these shots and steps; leave out --shots and --steps to cite all.")
    if len({_who(row) for row in mine}) > 1:
        raise UsageError(f"{algorithm} has several configurations in {path}; cite one of them: {' '.join(configurations(mine))}")
    if bad := [row for row in mine if row["status"] != "ok" or row["synthetic"] == "true"]:
        status = bad[0]["status"]
        reasons = listed([UNFIT.get(mark, "unknown") for mark in sorted(marks_of(bad[0]))])
        reason = "synthetic voices" if bad[0]["synthetic"] == "true" else f"status {status}: {reasons}"
        raise UsageError(f"The rows of {algorithm} in {path} are not to be cited ({reason}).")
    first = mine[0]
    runs = list(dict.fromkeys(name for row in mine for name in row["run_ids"].split()))
    origin = _commits(path, runs) + ("" if committed else f", from {path.name}, which is not a table of the benchmark's repository")
    place = [f"{count} {what}" for count, what in ((shots, "shots"), (steps, "steps")) if count is not None]
    suffix = f"-{first['options']}" * (len({_who(row) for row in every}) > 1) + "".join(f"-{each.replace(' ', '-')}" for each in place)
    return "\n".join([
        f"@misc{{few-shot-tts-benchmark-{path.stem}-{algorithm}{suffix},",
        "  author = {{Few-Shot TTS Benchmark}},",
        f"  title = {{Few-Shot {{TTS}} Benchmark: {_escaped(algorithm)} on {path.stem}{''.join(f', {each}' for each in place)}}},",
        f"  year = {{{RELEASED}}},",
        f"  note = {{Version {__version__}, protocol {first['protocol_version']}, data {first['data_version']}, "
        f"episodes {first['manifest_hash'][:12]}, preset {first['preset']}{_escaped(origin)}; runs {_escaped(', '.join(runs))}}},",
        "}",
    ])  # fmt: skip


def _commits(path: Path, runs: Sequence[str]) -> str:
    """The commits of those runs that are at hand."""
    from benchmark.results.result import read_result

    commits: dict[str, None] = {}
    for folder in filter(None, (run_folder(path, run_id) for run_id in runs)):
        with suppress(BenchmarkError):  # verify reports damage
            commits[str(read_result(folder)["git_commit"])[:12]] = None
    return f", code {', '.join(commits)}" * bool(commits)


def _labels(rows: Sequence[dict[str, str]]) -> str:
    return ", ".join(f"{algorithm}:{digest}" for algorithm, digest, *_ in dict.fromkeys(map(_who, rows)))


def _who(row: dict[str, str]) -> tuple[str, ...]:
    return row["algorithm"], row["options"], row["preset"], row["backbone"], row["vocoder"]


def _names(rows: Sequence[dict[str, str]]) -> list[str]:
    """Algorithms, with their options' digest if several configurations are shown, and their status unless it is ok."""
    kinds: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        kinds.setdefault(row["algorithm"], set()).add(_who(row))
    return [
        row["algorithm"]
        + (f":{row['options']}" if len(kinds[row["algorithm"]]) > 1 else "")
        + ("" if row["status"] == "ok" else f" ({row['status']})")
        for row in rows
    ]


def configurations(rows: Sequence[dict[str, str]]) -> list[str]:
    """How an algorithm's configurations differ, one line each; for a single configuration, the settings that its user chose."""
    kinds: dict[str, dict[tuple[str, ...], set[str]]] = {}
    for row in rows:
        pairs = {*row["settings"].split(" "), *(f"{name}={row[name]}" for name in SETTING)} - {""}
        kinds.setdefault(row["algorithm"], {})[_who(row)] = pairs
    lines = []
    for algorithm, settings in kinds.items():
        shared = set.intersection(*settings.values())
        for (_, digest, *_rest), pairs in settings.items() if len(settings) > 1 else ():
            lines.append(f"{algorithm}:{digest}: {' '.join(sorted(pairs - shared)) or 'other budgets or metrics'}.")
        if len(settings) == 1 and (own := _own_choice(next(row for row in rows if row["algorithm"] == algorithm))):
            lines.append(f"{algorithm}: with {' '.join(own)}, neither its defaults nor tuned.")
    return lines


def _own_choice(row: dict[str, str]) -> list[str]:
    """A row's settings that are neither the algorithm's defaults nor tuned; none if the algorithm is not found."""
    from benchmark.plugins import registry

    try:
        fields = registry.describe(registry.get("algorithm", row["algorithm"])).fields
    except BenchmarkError:
        return []
    tuned, defaults = set(row["tuned"].split(" ")), {}
    for field in fields:
        with suppress(ValueError, SyntaxError):  # a default that is not a literal can't be compared
            defaults[field.name] = said({field.name: ast.literal_eval(field.default or "")})
    own = [each for each in row["settings"].split(" ") if each not in tuned]
    return [each for each in own if (name := each.partition("=")[0]) in defaults and each != defaults[name]]


def _sorted(path: Path, rows: list[dict[str, str]], sort: str) -> list[dict[str, str]]:
    column, falling = sort.removeprefix("-"), sort.startswith("-")
    if rows and column not in rows[0]:
        near = get_close_matches(column, list(rows[0]), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "'--metrics all --format csv' shows all columns."
        raise UsageError(f"{path} has no column {column!r} to sort by; {hint}")

    # Numbers sort as numbers; rows without a value come last either way.
    filled = [row for row in rows if row[column]]
    numeric = all(cells.NUMBER.fullmatch(row[column]) for row in filled)
    filled.sort(key=lambda row: float(row[column]) if numeric else row[column], reverse=falling)
    return sorted([*filled, *(row for row in rows if not row[column])], key=lambda row: row["status"] != "ok")


def failed_in(row: dict[str, str], metrics: Sequence[str]) -> str:
    """The most utterances that any one metric could not score."""
    return str(max((int(row[f"{metric}_failed"] or 0) for metric in metrics), default=0) or "")


def interval(row: dict[str, str], metric: str) -> str:
    if not row[metric]:
        return "-"
    if not row[f"{metric}_lo"]:
        return f"{float(row[metric]):.3f}"
    return f"{float(row[metric]):.3f} ± {(float(row[f'{metric}_hi']) - float(row[f'{metric}_lo'])) / 2:.3f}"
