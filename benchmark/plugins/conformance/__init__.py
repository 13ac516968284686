"""The conformance suite: requirements for plugins, one file per kind. ``check`` runs it on yours, the tests on all built-in ones."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import text_of
from benchmark.plugins import registry
from benchmark.plugins.conformance.requirement import Requirement, require


@dataclass(frozen=True)
class Verdict:
    """A requirement, and what is wrong if it is not met."""

    requirement: str
    problem: str | None


def check(info: registry.PluginInfo, plugin: type[Any], config: Any = None, plugins: registry.Plugins = ()) -> Iterator[Verdict]:
    """Try a plugin on small synthetic data, requirement by requirement.

    Args:
        info: the plugin.
        plugin: its class, imported.
        config: of the plugin; the default one if None.
        plugins: ``--plugin`` files; an algorithm is tried on their backbones too.
    """
    kind = importlib.import_module(f"{__name__}.{info.kind}")
    requirements: Callable[[type[Any], Any, registry.Plugins], Iterator[Requirement]] = kind.requirements
    every = [
        Requirement("has a docstring", lambda: require(inspect.getdoc(plugin), "the class has none")),
        Requirement("its Config survives a round trip", lambda: _round_trip(plugin, config), vital=True),
        *requirements(plugin, config, plugins),
    ]
    for each in every:
        try:
            each.attempt()
            yield Verdict(each.name, None)
        except Exception as error:  # a plugin may fail in any way; each becomes one line
            yield Verdict(each.name, (text_of(error) or type(error).__name__) + _place(error, info))
            if each.vital:
                yield Verdict("all the rest", "not tried until this is fixed")
                return


def _place(error: Exception, info: registry.PluginInfo) -> str:
    """The line of the plugin's own file that raised it or led to it; "" if none did."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if info.path and Path(frame.filename) == info.path]
    return f" ({info.path.name}, line {frames[-1].lineno}, in {frames[-1].name})" if info.path and frames else ""


def _round_trip(plugin: type[Any], config: Any) -> None:
    value = config if config is not None else plugin.Config()
    require(type(value)(**asdict(value)) == value, "Config(**asdict(config)) differs from config")
