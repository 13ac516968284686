"""List all plugins: algorithms, datasets, backbones, vocoders, metrics.

Only reads source files, so it is quick. It also lists broken plugins, and says what is wrong with them.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import textwrap

from benchmark.plugins import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("kind", nargs="?", metavar="KIND", help=f"one of {', '.join(registry.KINDS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print a JSON list of objects")


def run(args: argparse.Namespace) -> int:
    """Print a table, or JSON."""
    # Syntax trees are many small objects; looking for garbage among them would take a tenth of the time.
    gc.disable()
    try:
        return _list(args)
    finally:
        gc.enable()


def _list(args: argparse.Namespace) -> int:
    from benchmark.plugins import fit

    # People type "algorithms" first.
    asked = args.kind[:-1] if args.kind and args.kind[:-1] in registry.KINDS else args.kind
    kinds = [asked] if asked else list(registry.KINDS)
    found = [info for kind in kinds for info in registry.find(kind, args.plugin).values()]
    backbones = fit.readable_backbones(args.plugin)
    notes = [fit.note(info, backbones, args.plugin) for info in found]
    if args.json:
        keys = ("name", "kind", "summary", "origin")
        rows = [
            {key: getattr(info, key) for key in keys} | {"path": str(info.path or ""), "note": note}
            for info, note in zip(found, notes, strict=True)
        ]
        print(json.dumps(rows, indent=2))
        return 0
    width = max([len(info.name) for info in found], default=0)
    columns = max(60, shutil.get_terminal_size((120, 24)).columns)
    for kind in kinds:
        print(f"{kind}s:")
        for info, fits in zip(found, notes, strict=True):
            if info.kind == kind:
                remarks = [*([] if info.origin == "built-in" else [info.origin]), *([fits] if fits else [])]
                note = f" ({'; '.join(remarks)})" if remarks else ""
                head = f"  {info.name:{width}}  "
                indent = " " * len(head)
                print(textwrap.fill(f"{info.summary}{note}", columns, initial_indent=head, subsequent_indent=indent))
    return 0
