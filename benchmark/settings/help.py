"""The text of ``--help`` on a settings dataclass and the plugins chosen with it; imports no plugin."""

from __future__ import annotations

import dataclasses
import inspect
import shutil
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.plugins import registry, source
from benchmark.settings.config import presets, read_preset
from benchmark.settings.reader import plugin_fields


def settings_help(settings_type: Any, arguments: Sequence[str], plugins: registry.Plugins = ()) -> str:
    """The settings' options with types, defaults and meanings, then those of the plugins named in ``arguments``.

    Args:
        settings_type: the dataclass.
        arguments: the command line, for the plugins' names.
        plugins: ``--plugin`` files.
    """
    preset = _preset(settings_type, arguments)
    lines = ["settings (YAML keys of --config FILE, or options):"]
    lines += _entry("config", "file", "", "YAML file with any of these settings")
    groups: list[str] = []
    for key, each in plugin_fields(settings_type):
        kind, default = each.metadata["kind"], ",".join(each.metadata.get("default", ()))
        found = registry.find(kind, plugins)
        many = bool(each.metadata.get("many"))
        instead = "the problem's" if each.metadata.get("default_names") else "none" if many else None
        default = preset.get(key, default)
        lines += _entry(key, kind, default or instead, ", ".join(found))
        chosen = _chosen(key, arguments) or ("" if many else default)
        for name in map(registry.normalise, chosen.split(",") if many else [chosen]):
            if name not in found:
                continue
            groups += ["", f"settings of {kind} {name}:"]
            description = registry.describe(found[name])
            prefix = f"{key}.{name}" if many else key
            for option in description.fields:
                own = f"{prefix}.{option.name}"
                groups += _entry(own, option.type, preset.get(f"{key}.{name}.{option.name}", option.default), option.doc)
            groups += [] if description.fields else ["  none"]
    lines += _own(settings_type, "", preset)
    return "\n".join([*lines, *groups])


def _chosen(key: str, arguments: Sequence[str]) -> str:
    for index, word in enumerate(arguments):
        if word.startswith(f"--{key}="):
            return word.partition("=")[2]
        if word == f"--{key}" and index + 1 < len(arguments):
            return arguments[index + 1]
    return ""


def _preset(settings_type: Any, arguments: Sequence[str]) -> dict[str, str]:
    """The values of the preset that is chosen, or the default one, as text by option; none for settings without presets."""
    default = next((each.default for each in dataclasses.fields(settings_type) if each.name == "preset"), "")
    name = _chosen("preset", arguments) or default
    return dict(_flat(read_preset(name), "")) if name in presets() else {}


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _own(kind: Any, prefix: str, preset: Mapping[str, str]) -> Iterator[str]:
    """The fields that are not plugins, including those of nested dataclasses."""
    hints = typing.get_type_hints(kind)
    texts = _texts(kind)
    for each in dataclasses.fields(kind):
        if "kind" in each.metadata:
            continue
        if dataclasses.is_dataclass(hints[each.name]):
            yield from _own(hints[each.name], f"{prefix}{each.name}.", preset)
            continue
        default: Any = each.default
        factory: Any = each.default_factory
        if factory is not dataclasses.MISSING:
            default = factory()
        key = f"{prefix}{each.name}"
        text = preset.get(key, _text(default))
        doc = texts[each.name].doc or (", ".join(presets()) if each.name == "preset" else "")
        yield from _entry(key, texts[each.name].type, None if default is dataclasses.MISSING else text, doc)


def _texts(kind: Any) -> dict[str, source.ConfigField]:
    """The fields of the class and its bases, as their source documents them."""
    texts: dict[str, source.ConfigField] = {}
    for each in reversed(inspect.getmro(kind)):
        if isinstance(each, type) and dataclasses.is_dataclass(each):
            text = source.read(Path(inspect.getfile(each)))
            texts |= {field.name: field for field in source.class_fields(text, each.__name__)}
    return texts


def _entry(key: str, kind: str, default: str | None, doc: str) -> list[str]:
    columns = max(60, shutil.get_terminal_size((120, 24)).columns)
    note = f" (default {default})" if default else " (required)" if default is None else ""
    head = f"  --{key} {kind.replace(' ', '')}"
    tail = f"{doc.rstrip('.')}{note}"
    if len(head) > 42:
        return [head, textwrap.fill(tail, columns, initial_indent=" " * 44, subsequent_indent=" " * 44)]
    return [textwrap.fill(tail, columns, initial_indent=f"{head:44}", subsequent_indent=" " * 44)]
