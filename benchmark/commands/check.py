"""Check whether a plugin fits: the suite that the tests run over every built-in one.

Takes a plugin's name, KIND/NAME, or a file. Exits with 1 if a requirement is not met.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("target", metavar="NAME|FILE", help="a plugin's name, KIND/NAME, or path/to/plugin.py")


def run(args: argparse.Namespace) -> int:
    """Print each requirement and whether it is met."""
    from benchmark.plugins import conformance, fit, registry

    info = registry.resolve(args.target, args.plugin)
    plugin = registry.load_info(info)
    print(f"{info.kind} {info.name} ({info.where})")
    failed = 0
    for outcome in conformance.check(info, plugin):
        failed += outcome.problem is not None
        print(
            f"  {'ok   ' if outcome.problem is None else 'WRONG'}  {outcome.requirement}{f': {outcome.problem}' if outcome.problem else ''}"
        )
    if note := fit.note(info, [*args.plugin, *([str(info.path)] if info.origin == "file" else [])]):
        print(f"  note   {note}")
    print(f"{failed} requirement(s) not met." if failed else "It fits.")
    return 1 if failed else 0
