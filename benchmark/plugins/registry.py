"""Finding plugins: built-in files, then entry points, then files given with ``--plugin``.

A plugin's name is its file's name (a dash on the command line stands for an underscore). :func:`find` and
:func:`describe` only read source files; :func:`load` imports one.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import benchmark
from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import source
from benchmark.plugins.importing import class_of, import_module_of, locate, module_name
from benchmark.plugins.source import ConfigField
from benchmark.plumbing.names import fault


class Kind(NamedTuple):
    """Where a kind's base class and its built-in plugins are; ``package`` is also its entry-point group."""

    module: str
    base: str
    package: str


KINDS = {
    "algorithm": Kind("benchmark.algorithm", "Algorithm", "benchmark.algorithms"),
    "dataset": Kind("benchmark.dataset", "Dataset", "benchmark.datasets"),
    "backbone": Kind("benchmark.backbone", "Backbone", "benchmark.backbones"),
    "vocoder": Kind("benchmark.vocoder", "Vocoder", "benchmark.vocoders"),
    "metric": Kind("benchmark.metric", "Metric", "benchmark.metrics"),
}

Plugins = Sequence[str | Path]
"""Plugin files given by the user."""


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was found but not imported.

    Attributes:
        name: as in tables and on the command line.
        kind: a key of ``KINDS``.
        module: import name; for a ``--plugin`` file it is derived from the path.
        attribute: the module's variable that holds the class.
        path: its source file; None for an entry point whose file can't be found without importing it.
        origin: "built-in", "entry point of DISTRIBUTION" or "file".
    """

    name: str
    kind: str
    module: str
    attribute: str
    path: Path | None
    origin: str

    @property
    def where(self) -> str:
        """The file, or the module if there is none, for messages."""
        return str(self.path) if self.path else f"{self.module} ({self.origin})"

    @property
    def summary(self) -> str:
        """First line of the file's docstring, else of the class's; if the file can't be read, what is wrong with it."""
        if self.path is None:
            return ""
        try:
            text = source.read(self.path)
        except BenchmarkError as error:
            return f"BROKEN: {error}"
        name = source.plugin_name(text, self.attribute)
        if name is None and self.attribute == "PLUGIN":
            return "BROKEN: the file has no line 'PLUGIN = YourClass'"
        first = (source.docstring(text, None) or source.docstring(text, name or self.attribute)).strip().partition("\n")[0]
        return first.replace("``", "")


@dataclass(frozen=True)
class Description:
    """What ``describe`` shows, all of it read from source.

    Attributes:
        info: the plugin.
        docstring: of the class, else of the file.
        fields: of its ``Config``.
        facts: literal class attributes, such as a metric's version or a dataset's card.
    """

    info: PluginInfo
    docstring: str
    fields: list[ConfigField]
    facts: dict[str, Any]


def normalise(name: str) -> str:
    """``meta-sgd`` is ``meta_sgd``."""
    return name.strip().replace("-", "_")


def find(kind: str, plugins: Plugins = ()) -> dict[str, PluginInfo]:
    """All plugins of a kind, sorted by name.

    Args:
        kind: "algorithm", "dataset", "backbone", "vocoder" or "metric".
        plugins: files given with ``--plugin``; those of other kinds are ignored.

    Raises:
        UsageError: two plugins have one name, a name can't be one, or the kind of a ``--plugin`` file is unclear.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no kind of plugin called '{kind}'{suggest(kind, KINDS)}")
    found: dict[str, PluginInfo] = {}
    for info in [*_built_in(kind), *_entry_points(kind), *(each for each in _files(plugins) if each.kind == kind)]:
        if reason := fault(info.name):
            raise UsageError(f"The plugin {info.where} can't be called {info.name[:60]!r}, which {reason}; rename it.")
        if info.name in found:
            other = found[info.name]
            raise UsageError(f"Two {kind}s are called '{info.name}': {other.where} and {info.where}; rename one.")
        found[info.name] = info
    return dict(sorted(found.items()))


def get(kind: str, name: str, plugins: Plugins = ()) -> PluginInfo:
    """The plugin of that kind and name.

    Raises:
        UsageError: there is none; the message suggests the nearest name and lists all.
    """
    found = find(kind, plugins)
    if normalise(name) in found:
        return found[normalise(name)]
    if name.endswith(".py"):
        raise UsageError(f"To use a {kind} from a file, give --plugin {name}, and then {Path(name).stem} as its name.")
    raise UsageError(f"There is no {kind} called '{name}'{suggest(name, found)}")


def resolve(target: str, plugins: Plugins = ()) -> PluginInfo:
    """The plugin, of any kind, that ``NAME``, ``KIND/NAME`` or ``path/to/file.py`` means.

    Raises:
        UsageError: there is none, or plugins of several kinds have that name.
    """
    if target.endswith(".py"):
        info = from_file(target)
        # A built-in plugin's own file is the built-in plugin.
        return next((each for each in _built_in(info.kind) if each.path == info.path), info)
    kind, slash, name = target.partition("/")
    if slash and kind in KINDS:
        return get(kind, name, plugins)
    if Path(target).is_file():
        raise UsageError(f"{target} is not a Python file; the name of a plugin file ends in .py.")
    found = {each: find(each, plugins) for each in KINDS}
    kinds = [each for each in KINDS if normalise(target) in found[each]]
    if len(kinds) > 1:
        choice = " or ".join(f"{each}/{target}" for each in kinds)
        raise UsageError(f"Plugins of {len(kinds)} kinds are called '{target}'; use {choice}.")
    if not kinds:
        near = suggest(target, sorted(set().union(*found.values()))).partition(" There are: ")[0]
        raise UsageError(f"There is no plugin called '{target}'{near} 'list' shows all.")
    return found[kinds[0]][normalise(target)]


def load(kind: str, name: str, plugins: Plugins = ()) -> type[Any]:
    """Import the plugin of that kind and name and return its class."""
    return load_info(get(kind, name, plugins))


def load_info(info: PluginInfo) -> type[Any]:
    """Import a plugin and return its class.

    Raises:
        BenchmarkError: its file fails to run, has no ``PLUGIN``, or ``PLUGIN`` is not a complete class of the plugin's kind.
    """
    kind = KINDS[info.kind]
    return class_of(info, getattr(importlib.import_module(kind.module), kind.base))


def describe(info: PluginInfo) -> Description:
    """Docstring, config fields and facts, from source; empty if an entry point's source can't be found.

    Raises:
        BenchmarkError: the file can't be parsed or names no class.
    """
    if info.path is None:
        return Description(info, "", [], {})
    with source.bounded(info.path):
        text, name = _class_of(info, info.path)
        return Description(info, source.docstring(text, name), source.config_fields(text, name), source.facts(text, name))


def facts(info: PluginInfo) -> dict[str, Any]:
    """The facts alone, for ``list``, which has to be quick; arguments and errors as for :func:`describe`."""
    if info.path is None:
        return {}
    with source.bounded(info.path):
        return source.facts(*_class_of(info, info.path))


def _class_of(info: PluginInfo, path: Path) -> tuple[source.Source, str]:
    text = source.read(path)
    name = source.plugin_name(text, info.attribute) or info.attribute
    if source.find_class(text, name) is None and info.attribute == "PLUGIN":
        raise BenchmarkError(f"Plugin file {path} does not end in 'PLUGIN = YourClass', a class that it defines.")
    return text, name


def source_file(info: PluginInfo) -> Path:
    """The plugin's file; imports an entry point if its file can't be found otherwise."""
    return info.path or Path(str(inspect.getsourcefile(import_module_of(info))))


def register(plugins: Plugins) -> None:
    """Import the ``--plugin`` files, so that instances of their classes can be unpickled.

    A process that receives a plugin's objects calls this first (:mod:`benchmark.plumbing.workers` does).
    """
    for info in _files(plugins):
        load_info(info)


def from_file(path: str | Path) -> PluginInfo:
    """The plugin in a ``--plugin`` file; its base class, read from source, tells its kind.

    Raises:
        UsageError: there is no such file, or its kind is unclear.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file() or file.suffix != ".py":
        raise UsageError(f"There is no plugin file {path}; give the path of a .py file.")
    text = source.read(file)
    name = source.plugin_name(text)
    if name is None:
        raise UsageError(f"Plugin file {path} does not end in 'PLUGIN = YourClass'.")
    for origin in source.origins(text, name):
        for kind, (module, _, package) in KINDS.items():
            if origin.startswith((f"{module}.", f"{package}.")):
                return PluginInfo(normalise(file.stem), kind, module_name(file), "PLUGIN", file, "file")
    bases = ", ".join(f"{kind.module}.{kind.base}" for kind in KINDS.values())
    raise UsageError(f"Plugin file {path}: {name} must be a class in it that derives from one of {bases}.")


def suggest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest name, and all names."""
    every = list(names)
    near = get_close_matches(normalise(name).lower(), every, n=1, cutoff=0.5)
    question = f"; did you mean '{near[0]}'?" if near else "."
    return f"{question} There are: {', '.join(every) or 'none'}."


def _built_in(kind: str) -> list[PluginInfo]:
    """The plugins in the kind's folder, without files whose names start with "_"."""
    package = KINDS[kind].package
    folders = [Path(root, package.partition(".")[2]).resolve() for root in benchmark.__path__]
    return [
        PluginInfo(path.stem, kind, f"{package}.{path.stem}", "PLUGIN", path, "built-in")
        for folder in folders
        for path in sorted(folder.glob("*.py"))
        if not path.name.startswith("_")
    ]


def _entry_points(kind: str) -> list[PluginInfo]:
    """Entry points ``name = "module"`` (for its ``PLUGIN``) or ``name = "module:Class"``; duplicates on the path count once."""
    found = {}
    for entry in _entry_points_of(KINDS[kind].package, tuple(sys.path)):
        origin = f"entry point of {entry.dist.name}" if entry.dist else "entry point"
        name, attribute = normalise(entry.name), entry.attr or "PLUGIN"
        found[name, entry.value] = PluginInfo(name, kind, entry.module, attribute, locate(entry.module), origin)
    return list(found.values())


@lru_cache(maxsize=16)
def _entry_points_of(group: str, path: tuple[str, ...]) -> list[metadata.EntryPoint]:
    """The entry points of a group; cached, because they are asked for often and read slowly."""
    return list(_every_entry_point(path).select(group=group))


@lru_cache(maxsize=4)
def _every_entry_point(_path: tuple[str, ...]) -> Any:
    return metadata.entry_points()


def _files(plugins: Plugins) -> list[PluginInfo]:
    """The plugins in the ``--plugin`` files, without duplicates."""
    return list({info.path: info for info in map(from_file, plugins)}.values())
