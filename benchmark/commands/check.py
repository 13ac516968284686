"""Check whether a plugin meets the requirements, with the suite that tests every built-in plugin.

Takes a plugin's name, KIND/NAME, or a file. With --data-root it also reads a dataset's data once and reports hours, speakers, what
can't be used and why, and one voice under two ids; the dataset's options (--dataset.language de) say how to read them. Exits with 1 if a
requirement is not met or a run could not use the data.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.commands._options import name_or_place, place

if TYPE_CHECKING:
    from benchmark.plugins.registry import PluginInfo


def settings() -> type:
    """A dataset's options."""
    from benchmark.settings.schema import CheckSettings

    return CheckSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("target", type=name_or_place, metavar="NAME|FILE", help="a plugin's name, KIND/NAME, or path/to/plugin.py")
    parser.add_argument("--data-root", type=place, metavar="DIR", help="read a dataset's data too, from here")


def run(args: argparse.Namespace) -> int:
    """Print each requirement and whether it is met."""
    from benchmark.plugins import conformance, fit, registry

    info = registry.resolve(args.target, args.plugin)
    plugin = registry.load_info(info)
    plugins = [*args.plugin, *([str(info.path)] if info.origin == "file" else [])]
    config = _config(info, args, plugins)
    print(f"{info.kind} {info.name} ({info.where})")
    failed = 0
    for outcome in conformance.check(info, plugin, plugins=plugins):
        failed += outcome.problem is not None
        print(
            f"  {'ok   ' if outcome.problem is None else 'WRONG'}  {outcome.requirement}{f': {outcome.problem}' if outcome.problem else ''}"
        )
    if note := fit.note(info, fit.readable_backbones(plugins), plugins):
        print(f"  note   {note}")
    print(f"{failed} requirement(s) not met." if failed else "It fits.")
    if args.data_root is None:
        return 1 if failed else 0
    return 1 if _data(info.kind, info.name, config, args.data_root, plugins) or failed else 0


def _config(info: PluginInfo, args: argparse.Namespace, plugins: list[str]) -> Any:
    """The options of the dataset that is checked, as ``prepare`` takes them; None if none are given.

    Raises:
        UsageError: it is no dataset, or no data are read, or the options are wrong.
    """
    from benchmark.errors import UsageError
    from benchmark.settings import config
    from benchmark.settings.schema import CheckSettings

    if not args.settings:
        return None
    name = info.name if info.kind == "dataset" else "folder"
    parsed = config.parse(CheckSettings, ["--dataset", name, *args.settings], plugins, args.options)
    if info.kind != "dataset" or args.data_root is None:
        first = args.settings[0].partition("=")[0]
        raise UsageError(f"'check' takes {first} only for a dataset whose data it reads, with --data-root.")
    if parsed.dataset.name != info.name:
        raise UsageError(f"'check' was told to check {info.name} and to read {parsed.dataset.name}; leave out --dataset.")
    return parsed.dataset.config


def _data(kind: str, name: str, config: Any, root: Path, plugins: list[str]) -> int:
    """Print what a dataset's data hold; return the number of problems."""
    from benchmark.errors import UsageError

    if kind != "dataset":
        raise UsageError(f"--data-root is for datasets, but {name} is of kind {kind}; leave it out.")
    from benchmark.commands._options import usual_needs
    from benchmark.data.survey import survey
    from benchmark.plumbing.files import printable
    from benchmark.plumbing.progress import progress
    from benchmark.running.preparation import open_dataset

    dataset = open_dataset(name, config, root, plugins)
    print(f"{dataset.card.title}: {printable(root)}")
    with progress("Reading", 1) as show:
        found = survey(name, dataset, *usual_needs(), show)
    print("\n".join([*found.lines, *(f"  PROBLEM  {problem}" for problem in found.problems)]))
    print("A run can't use it." if found.problems else "A run can use it.")
    return len(found.problems)
