"""Tuned values: options that ``tune`` chose on validation speakers, by dataset, problem, task and preset; ``run`` lays them over it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UsageError
from benchmark.plugins import fit, registry
from benchmark.plumbing.files import SEAL, digest_of, write_text
from benchmark.plumbing.locks import locked
from benchmark.settings import config
from benchmark.settings.schema import RunSettings

FOLDER = Path(__file__).resolve().parent / "tuned"
HEADER = "# Chosen on validation speakers and written by `python -m benchmark tune`; `run` lays them over the preset.\n"


def tuned_name(settings: RunSettings, plugins: registry.Plugins = ()) -> str:
    """What a file of tuned values and a folder of trials are called: "espeak-small", "espeak-recognition-language-small"."""
    problem = fit.problem_of(settings.backbone.name, plugins).name
    apart = f"-{problem}" * (problem != "synthesis") + f"-{settings.task}" * (settings.task != RunSettings.task)
    return f"{settings.dataset.name}{apart}-{settings.preset}"


def tuned_file(settings: RunSettings, plugins: registry.Plugins = ()) -> Path:
    """The file for the settings: the benchmark's, or, for a plugin file, in a folder "tuned" beside it."""
    info = registry.get("algorithm", settings.algo.name, plugins)
    folder = FOLDER if info.origin == "built-in" or info.path is None else info.path.parent / FOLDER.name
    return folder / f"{tuned_name(settings, plugins)}.yaml"


def parse(arguments: Sequence[str], plugins: registry.Plugins = (), also: Iterable[str] = ()) -> RunSettings:
    """A run's settings: those of :func:`parse_untuned`, with tuned values over the preset.

    Raises:
        UsageError: a tuned value in use is not in the algorithm's search space (its code has changed, perhaps).
    """
    settings = parse_untuned(arguments, plugins, also)
    _, path, section = _section(settings, plugins)
    if not section:
        return settings
    name = settings.algo.name
    tuned = parse_untuned(arguments, plugins, also, [(f" in {path}", {"algo": {"name": name, **section["values"]}})])
    for option, choices in registry.load("algorithm", name, plugins).search_space.items():
        value = getattr(tuned.algo.config, option)
        # An option that the user overrides is the same in both.
        if value != getattr(settings.algo.config, option) and value not in choices and option not in section.get("given", ()):
            stale = f"{path} holds {config.said({option: value})} for {name}, which its search_space no longer has"
            raise UsageError(f"{stale}; tune {name} again, or remove its section there.")
    return tuned


def parse_untuned(
    arguments: Sequence[str], plugins: registry.Plugins = (), also: Iterable[str] = (), tuned: Sequence[tuple[str, Mapping[str, Any]]] = ()
) -> RunSettings:
    """Defaults < preset < what the preset says for the problem < ``tuned`` < ``--config`` < command line; see :func:`config.parse`."""
    settings = config.parse(RunSettings, arguments, plugins, also, tuned)
    own = config.read_preset(settings.preset, fit.problem_of(settings.backbone.name, plugins).name)
    return config.parse(RunSettings, arguments, plugins, also, [(f" in preset {settings.preset}", own), *tuned]) if own else settings


def tuned_values(settings: RunSettings, plugins: registry.Plugins = ()) -> dict[str, Any] | None:
    """The algorithm's options that tuning chose ("values"), and after how many "trials"; None if the user changed one of them.

    Options were chosen together, so with one of them changed the rest is nobody's choice. "dataset" and "task" are there too where these
    are another corpus's or another task's than the settings' own.
    """
    of, _, section = _section(settings, plugins)
    if not section or changed_values(settings, plugins):
        return None
    other = {"dataset": of.dataset.name} if of.dataset.name != settings.dataset.name else {}
    other |= {"task": of.task} if of.task != settings.task else {}
    return {"values": section["values"], "trials": section["trials"], **other}


def changed_values(settings: RunSettings, plugins: registry.Plugins = ()) -> dict[str, Any]:
    """The algorithm's tuned options that have other values than tuning chose: the user gave them."""
    chosen = _section(settings, plugins)[2].get("values", {})
    options = config.plain(settings.algo.config)
    return {name: options.get(name) for name, value in chosen.items() if options.get(name) != value}


def trials_behind(settings: RunSettings, plugins: registry.Plugins = ()) -> int:
    """The number of trials behind the values that :func:`write_tuned` would replace; 0 if there are none."""
    return int(_read(tuned_file(settings, plugins)).get(settings.algo.name, {}).get("trials", 0))


def write_tuned(settings: RunSettings, section: Mapping[str, Any], plugins: registry.Plugins = ()) -> list[str]:
    """Put an algorithm's section into its file.

    Args:
        settings: give dataset, problem, task, preset and algorithm.
        section: "values", "trials", and anything else to save.
        plugins: ``--plugin`` files.

    Returns:
        the algorithms, in this file and in the benchmark's, that had another number of trials.
    """
    path = tuned_file(settings, plugins)
    # Several algorithms may be tuned at once.
    with locked(path.with_name(f".{path.name}.lock"), f"Waiting for another process that writes {path}."):
        sections = {**_read(path), settings.algo.name: {**section, "backbone": settings.backbone.name}}
        write_text(path, _sealed(sections))
    every = {**_read(FOLDER / path.name), **sections}
    return [name for name, other in every.items() if other["trials"] != section["trials"]]


def _section(settings: RunSettings, plugins: registry.Plugins) -> tuple[RunSettings, Path, dict[str, Any]]:
    """Settings that differ from these in dataset and task at most, their file, and the algorithm's values there; {} if there are none.

    Another backbone has other groups and rates, so it has none. The dataset's own file comes first, then its file for tasks by speaker,
    then that of the corpus that it is pretrained on, if that is one corpus.
    """
    pretrained = settings.pretrain.dataset if len(settings.pretrain.dataset) == 1 else ()
    for dataset, task in itertools.product((settings.dataset, *pretrained), dict.fromkeys((settings.task, RunSettings.task))):
        of = replace(settings, dataset=dataset, task=task)
        path = tuned_file(of, plugins)
        section = _read(path).get(settings.algo.name, {})
        if section and section.get("backbone", RunSettings.backbone.name) == settings.backbone.name:
            return of, path, section
    return settings, path, {}


def _sealed(sections: Mapping[str, Any]) -> str:
    """The text of a file with these sections; the digest comes first, so that no end can be lost unseen."""
    text = yaml.safe_dump(dict(sorted(sections.items())), sort_keys=False, allow_unicode=True)
    return f"{HEADER}{SEAL}: {_digest(yaml.safe_load(text))}\n{text}"


def _digest(sections: Mapping[str, Any]) -> str:
    """Of all sections; "" if they hold what no section has, such as a date."""
    try:
        return digest_of(sections)
    except (TypeError, ValueError):
        return ""


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a file, its digest checked; files that carry none were written by hand, or before there were digests."""
    if not path.is_file():
        return {}
    sections = config.read_yaml(path)
    digest = sections.pop(SEAL, None)
    if not sections or (digest is not None and digest != _digest(sections)):
        raise UsageError(
            f"{path} was changed or damaged: its digest does not match; restore it, or remove its line '{SEAL}' if the change is meant."
        )
    for name, section in sections.items():
        if not isinstance(section, dict) or not isinstance(section.get("values"), dict) or not isinstance(section.get("trials"), int):
            raise UsageError(f"{path} holds no 'values' and 'trials' for {name}; restore the file or tune {name} again.")
    return sections
