"""Which plugins fit together: algorithm and backbone, metrics and problem, task and dataset. Checked before anything runs.

Plugins declare it (``Algorithm.needs``, ``Backbone.supports``, ``Metric.needs``, ``Dataset.tasks``); nothing is found out by running
them. Declarations are read from source, so that ``list`` answers without importing torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from benchmark import problems
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.words import listed
from benchmark.problem import Problem
from benchmark.task import TASK_KINDS

CAPABILITIES: Mapping[str, str] = {"speaker_vector": "a speaker vector", "durations": "durations"}
"""What a backbone may support, in words."""
ON_PROBLEM: Mapping[str, str] = {"synthesis": "a backbone that makes speech", "recognition": "a backbone that transcribes"}
"""Algorithms that work on one problem only need it by its name."""
INPUTS: Mapping[str, str] = {
    "aligned": "aligned speech",
    "speech": "synthesised speech",
    "reference": "a recording to compare with",
    "transcript": "a transcript",
    "centroid": "real speech of the target",
    "text": "recognised text",
    **{kind: f"tasks by {kind}" for kind in TASK_KINDS},
}
"""What metrics may need, in words."""
SUPPORT = ("mels", "transcripts")
"""What every run's support set has; only ``say`` may lack transcripts."""
NEEDS = (*SUPPORT, *CAPABILITIES, *ON_PROBLEM)
"""What algorithms may need."""
ROLES = ("topline", "floor")
"""What rows that give the scale are; a method's have no role."""
DECLARED = ("needs", "supports", "problem", "tasks", "columns", "conditions_on", "role", "oracle", "uses_support", "extra")


@dataclass(frozen=True)
class Declared:
    """What a plugin's class declares, read from source or, if there is none, from the class (``DECLARED`` attributes alone)."""

    facts: Mapping[str, Any]

    def words(self, name: str) -> tuple[str, ...]:
        """A sequence of words."""
        return tuple(self.facts.get(name) or ())


def declared(kind: str, name: str, plugins: registry.Plugins = ()) -> Declared:
    """The declarations of the plugin of that kind and name."""
    return _declared(kind, name, tuple(str(path) for path in plugins))


@lru_cache(maxsize=256)
def _declared(kind: str, name: str, plugins: tuple[str, ...]) -> Declared:
    info = registry.get(kind, name, plugins)
    if info.path is not None:
        return Declared(MappingProxyType(registry.facts(info)))
    plugin = registry.load_info(info)
    return Declared({key: getattr(plugin, key, None) for key in DECLARED})


def problem_of(backbone: str, plugins: registry.Plugins = ()) -> Problem:
    """The problem that a backbone solves."""
    return problems.get(str(declared("backbone", backbone, plugins).facts.get("problem")))


def own_metrics(backbone: str, plugins: registry.Plugins = (), task: str = "speaker") -> list[str]:
    """The metrics that a run with this backbone and task uses by default."""
    there, problem = registry.find("metric", plugins), problem_of(backbone, plugins)
    return [name for name in (*problem.metrics, *problem.task_metrics.get(task, ())) if name in there]


def lacking(needs: Iterable[str], backbone: str, plugins: registry.Plugins = ()) -> list[str]:
    """The needs of an algorithm that a backbone does not meet."""
    given = {*SUPPORT, problem_of(backbone, plugins).name, *declared("backbone", backbone, plugins).words("supports")}
    return [need for need in needs if need not in given]


def misfit(algorithm: str, backbone: str, plugins: registry.Plugins = (), needs: Sequence[str] | None = None) -> str:
    """Why an algorithm can't work on a backbone, as one sentence; "" if it can.

    Args:
        algorithm, backbone: names.
        plugins: ``--plugin`` files.
        needs: of the algorithm as configured; None for its class's.
    """
    wanting = lacking(declared("algorithm", algorithm, plugins).words("needs") if needs is None else needs, backbone, plugins)
    if not wanting:
        return ""
    return f"{algorithm} needs {in_words(wanting)}, which {backbone} does not have; choose another backbone or algorithm."


def fitting(names: Sequence[str], backbone: str, plugins: registry.Plugins = ()) -> list[str]:
    """The metrics among ``names`` that can be scored with a backbone, in some task."""
    given = {*problem_of(backbone, plugins).provides(declared("backbone", backbone, plugins).words("supports")), *TASK_KINDS}
    return [name for name in names if given.issuperset(declared("metric", name, plugins).words("needs"))]


def fitting_metrics(
    names: Sequence[str], backbone: str, plugins: registry.Plugins = (), task: str = "speaker"
) -> tuple[list[str], str]:
    """The metrics that can be scored with a backbone and a task, and a sentence about the others; "" if there are no others.

    Raises:
        UsageError: no metric can be scored.
    """
    supports = declared("backbone", backbone, plugins).words("supports")
    given = {*problem_of(backbone, plugins).provides(supports), task}
    without = {name: [need for need in declared("metric", name, plugins).words("needs") if need not in given] for name in names}
    kept = [name for name in names if not without[name]]
    left = {name: wanting for name, wanting in without.items() if wanting}
    if not left:
        return kept, ""
    wanting = list(dict.fromkeys(need for needs in left.values() for need in needs))
    verb = "needs" if len(left) == 1 else "need"
    said = f"{listed(list(left))}, which {verb} {in_words(wanting)}"
    why = f"{backbone} does {problem_of(backbone, plugins).name}"
    if TASK_KINDS.keys() >= set(wanting):
        why = f"the task is {task}"
    elif wanting == ["aligned"]:
        why = f"{backbone} has no durations"
    if not kept:
        raise UsageError(f"{why}, so there is nothing to score with: leave out {said}.")
    return kept, f"{why}, so {said}, {'is' if len(left) == 1 else 'are'} left out."


def role(algorithm: str, plugins: registry.Plugins = ()) -> str:
    """One of ``ROLES`` if an algorithm's rows give the scale, "" if it is a method.

    Raises:
        BenchmarkError: it is not found, or its file can't be read.
    """
    facts = declared("algorithm", algorithm, plugins).facts
    return str(facts.get("role") or ("topline" if facts.get("oracle") else "floor" if facts.get("uses_support") is False else ""))


def is_oracle(algorithm: str, plugins: registry.Plugins = ()) -> bool:
    """Whether an algorithm plays recordings, so that no model speaks; False for one whose plugin is not found."""
    try:
        return bool(declared("algorithm", algorithm, plugins).facts.get("oracle"))
    except BenchmarkError:
        return False


def check_task(task: str, dataset: str, plugins: registry.Plugins = ()) -> None:
    """Refuse a task that a dataset does not have.

    Raises:
        UsageError: it does not.
    """
    known = declared("dataset", dataset, plugins).words("tasks") or ("speaker",)
    if task not in known:
        raise UsageError(f"{dataset} has no --task {task}; it has {listed(known)}.")


def check_encoders(algorithm: str, encoder: str | None, ranked_with: Mapping[str, str | None]) -> None:
    """Refuse to rank an algorithm by the pretrained encoder that conditions it.

    Args:
        algorithm: its name.
        encoder: that it ``conditions_on``, if any.
        ranked_with: metrics and the encoders that they score with.

    Raises:
        UsageError: a metric scores with that encoder.
    """
    for metric, ranks_with in ranked_with.items():
        if encoder is not None and ranks_with == encoder:
            raise UsageError(
                f"{algorithm} conditions on the encoder {encoder}, and {metric} ranks with the same one, so the score would "
                f"prove nothing: leave {metric} out of --metrics; metrics that rank with other encoders may stay."
            )


def readable_backbones(plugins: registry.Plugins = ()) -> list[str]:
    """The names of all backbones whose files can be read."""
    return [info.name for info in registry.find("backbone", plugins).values() if not info.summary.startswith("BROKEN")]


def note(info: registry.PluginInfo, backbones: Sequence[str], plugins: registry.Plugins = ()) -> str:
    """The note of ``list`` on how a plugin fits ``backbones``; "" if it fits all or its file can't be read."""
    try:
        facts = declared(info.kind, info.name, plugins)
        if info.kind == "algorithm":
            out = [name for name in backbones if lacking(facts.words("needs"), name, plugins)]
            return f"needs {in_words(_beyond(facts.words('needs')))}: not on {listed(out)}" if out else ""
        if info.kind == "backbone":
            supports = in_words(facts.words("supports"))
            return f"{facts.facts.get('problem')}{f', has {supports}' if supports else ''}"
        if info.kind == "metric":
            out = [name for name in backbones if not fitting([info.name], name, plugins)]
            extra = facts.facts.get("extra")
            beside = [f"pip install -e '.[{extra}]'"] if extra else []
            return "; ".join([*([f"needs {in_words(facts.words('needs'))}: not on {listed(out)}"] if out else []), *beside])
        if info.kind == "dataset":
            tasks = facts.words("tasks")
            return f"tasks: {', '.join(tasks)}" if len(tasks) > 1 else ""
    except BenchmarkError:
        return ""
    return ""


def _beyond(needs: Iterable[str]) -> list[str]:
    return [need for need in needs if need not in SUPPORT]


def in_words(needs: Iterable[str]) -> str:
    """Needs in words, for a sentence."""
    words = {**CAPABILITIES, **ON_PROBLEM, **INPUTS}
    return listed([words.get(need, need) for need in needs])
