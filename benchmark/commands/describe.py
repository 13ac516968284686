"""Describe one plugin: its docstring, its options with their defaults, and where its source is.

NAME is a plugin's name, KIND/NAME if plugins of several kinds share it, or the path of a plugin file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from benchmark.commands._options import name_or_place
from benchmark.plugins import registry

OPTION_PREFIX = {"algorithm": "algo", "metric": "metrics.{name}"}
"""The prefix of a plugin's options on the command line, if it is not the kind."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", type=name_or_place, metavar="NAME", help="a plugin's name, KIND/NAME, or the path of a .py file")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the description."""
    found = registry.describe(registry.resolve(args.name, args.plugin))
    info = found.info
    if args.json:
        top = {"name": info.name, "kind": info.kind, "origin": info.origin, "path": str(info.path or "")}
        fields = [dataclasses.asdict(field) for field in found.fields]
        print(json.dumps(top | {"docstring": found.docstring, "config": fields, "facts": found.facts}, indent=2))
        return 0
    columns = max(60, shutil.get_terminal_size((120, 24)).columns)
    print(f"{info.name} ({info.kind}, {info.origin})\nsource: {info.where}\n")
    print(found.docstring or "It has no docstring.")
    facts = {name: value for name, value in found.facts.items() if value not in ({}, (), "")}
    if facts:
        print("\nfacts:")
    for name, value in facts.items():
        for depth, line in enumerate(_lines(name, value)):
            indent = "  " if not depth else "    "
            print(textwrap.fill(line, columns, initial_indent=indent, subsequent_indent=f"{indent}    "))
    print("\noptions:" if found.fields else "\nIt has no options.")
    prefix = OPTION_PREFIX.get(info.kind, info.kind).format(name=info.name)
    for field in found.fields:
        default = "required" if field.default is None else f"default {field.default}"
        print(f"  --{prefix}.{field.name} ({field.type}, {default})")
        print(textwrap.fill(field.doc, columns, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return 0


def _lines(name: str, value: Any) -> list[str]:
    """A fact as lines of text; a mapping has one more line per name."""
    from benchmark.results.columns import in_words, read

    if not isinstance(value, Mapping):
        return [f"{name}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}"]
    columns = dict(read(value))
    return [f"{name}:", *(f"{each}: {in_words(columns[each]) if each in columns else what}" for each, what in value.items())]
