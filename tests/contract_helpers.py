"""The conformance suite for options of an algorithm: on one backbone, because the default options are tried on all."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from benchmark.plugins import conformance, registry
from benchmark.plugins.conformance.tiny import tiny_backbone


def unmet(name: str, config: Any) -> set[str]:
    """The requirements that an algorithm with these options does not meet on the default backbone."""
    info, every = registry.get("algorithm", name), registry.find
    module = type(tiny_backbone()).__module__.rpartition(".")[2]

    def find(kind: str, plugins: registry.Plugins = ()) -> dict[str, registry.PluginInfo]:
        return {each: found for each, found in every(kind, plugins).items() if kind != "backbone" or each == module}

    with patch.object(registry, "find", find):
        return {each.requirement for each in conformance.check(info, registry.load_info(info), config) if each.problem}
