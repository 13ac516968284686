"""Tuned values: what ``tune`` chose on validation speakers, kept by dataset and preset, and laid over the preset by ``run``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from benchmark import config, registry
from benchmark.errors import BenchmarkError, UsageError
from benchmark.files import write_text
from benchmark.settings import RunSettings

FOLDER = Path(__file__).resolve().parent / "tuned"
HEADER = "# Chosen on validation speakers and written by `python -m benchmark tune`; `run` lays them over the preset.\n"


def tuned_file(settings: RunSettings) -> Path:
    """The file for the settings' dataset and preset."""
    return FOLDER / f"{settings.dataset.name}-{settings.preset}.yaml"


def parse(arguments: Sequence[str], plugins: registry.Plugins = (), also: Iterable[str] = ()) -> RunSettings:
    """A run's settings: defaults < preset < tuned values < ``--config`` < command line; arguments as of :func:`config.parse`."""
    settings = config.parse(RunSettings, arguments, plugins, also)
    section = _section(settings)
    if not section:
        return settings
    layer = {"algo": {"name": settings.algo.name, **section["values"]}}
    return config.parse(RunSettings, arguments, plugins, also, [(f" in {tuned_file(settings)}", layer)])


def tuned_values(settings: RunSettings) -> dict[str, Any] | None:
    """Which of the algorithm's options are as tuned ("values"; the user may have given others), after how many "trials"."""
    section = _section(settings)
    options = config.plain(settings.algo.config)
    values = {name: value for name, value in section["values"].items() if options.get(name) == value} if section else {}
    return {"values": values, "trials": section["trials"]} if values else None


def write_tuned(settings: RunSettings, section: Mapping[str, Any]) -> list[str]:
    """Put an algorithm's section into its file.

    Args:
        settings: name dataset, preset and algorithm.
        section: "values", "trials", and what else is to be remembered.

    Returns:
        the algorithms there that were given another number of trials.
    """
    path = tuned_file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several algorithms may be tuned at once.
        with FileLock(path.with_name(f".{path.name}.lock")):
            sections = {**_read(path), settings.algo.name: dict(section)}
            write_text(path, HEADER + yaml.safe_dump(dict(sorted(sections.items())), sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise BenchmarkError(f"Could not write {path}: {error.strerror or error}; make its folder writable and run tune again.") from error
    return [name for name, other in sections.items() if other["trials"] != section["trials"]]


def _section(settings: RunSettings) -> dict[str, Any]:
    return _read(tuned_file(settings)).get(settings.algo.name, {})


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    sections = config.read_yaml(path)
    for name, section in sections.items():
        if not isinstance(section, dict) or not isinstance(section.get("values"), dict) or not isinstance(section.get("trials"), int):
            raise UsageError(f"{path} holds no 'values' and 'trials' for {name}; restore the file or tune {name} again.")
    return sections
