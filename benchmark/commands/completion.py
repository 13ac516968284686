"""Print a script with which your shell completes commands, options and plugin names.

For bash, put ``eval "$(benchmark completion bash)"`` into ``~/.bashrc``; for zsh, the same with ``zsh`` into ``~/.zshrc``, after
compinit; for fish, ``benchmark completion fish | source`` into ``~/.config/fish/config.fish``. It completes the command
``benchmark``, not ``python -m benchmark``.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path

SHELLS = ("bash", "zsh", "fish", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the shell."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh, fish or tcsh")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from benchmark.errors import UsageError

    try:
        import shtab
    except ImportError as error:
        raise UsageError("Completion needs shtab; install it with pip install -e '.[completion]'.") from error
    whole = whole_parser(args.plugin)
    for parser in _parsers(whole):
        for action in parser._actions:
            if action.choices is None and action.option_strings[:1] != ["-h"]:
                place = {"DIR": shtab.DIRECTORY, "RUN": shtab.DIRECTORY, "FILE": shtab.FILE}.get(str(action.metavar))
                if place or action.type is Path:
                    action.complete = place or shtab.FILE  # type: ignore[attr-defined]  # where shtab looks
    print(shtab.complete(whole, shell=args.shell))
    return 0


def whole_parser(plugins: Iterable[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands with the options of their settings, and the names that can be given for plugins, tables and presets.

    Args:
        plugins: ``--plugin`` files, whose names can be given too.
    """
    from benchmark.cli import commands

    parser = argparse.ArgumentParser(prog="benchmark")
    actions = parser.add_subparsers()
    names = _names(tuple(plugins))
    for name, summary in commands().items():
        module = importlib.import_module(f"benchmark.commands.{name}")
        own = actions.add_parser(name, help=summary)
        module.add_arguments(own)
        own.add_argument("--plugin", metavar="FILE", help="use the plugin in this file")
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if hasattr(module, "settings"):
            _add_settings(own, module.settings())
    for each in _parsers(parser):
        for action in each._actions:
            if action.choices is None:
                action.choices = names.get(f"{action.dest} {action.metavar}") or names.get(str(action.metavar)) or names.get(action.dest)
    return parser


def _names(plugins: tuple[str, ...]) -> Mapping[str, list[str]]:
    """What can be given, by an argument's destination and metavar, by its metavar, or by its destination."""
    from benchmark.plugins import registry
    from benchmark.results.columns import known
    from benchmark.results.costs import COSTS
    from benchmark.results.leaderboard_file import title
    from benchmark.results.leaderboard_places import table_files
    from benchmark.settings.config import presets
    from benchmark.task import TASK_KINDS

    found = {kind: list(registry.find(kind, plugins)) for kind in registry.KINDS}
    every, columns = [name for names in found.values() for name in names], [*known(plugins).columns, *COSTS]
    tables = list(dict.fromkeys([*(path.stem for path in table_files(None)), *map(title, table_files(None, every=True))]))
    return {
        **found, "algo": found["algorithm"], "metrics": found["metric"], "preset": list(presets()), "task": list(TASK_KINDS),
        "vocoders": found["vocoder"], "TABLE": tables, "NAME|FILE": every, "name NAME": every,
        "KIND": list(registry.KINDS), "COLUMN": columns, "metrics A,B": columns,
        "RUN|ALGORITHM": found["algorithm"], "ALGORITHM[:OPTIONS]": found["algorithm"],
    }  # fmt: skip


def _add_settings(parser: argparse.ArgumentParser, settings: type) -> None:
    """The settings as options: the reader of settings takes them from the command line, so argparse does not know them."""
    from dataclasses import fields, is_dataclass
    from typing import get_type_hints

    hints = get_type_hints(settings)
    parser.add_argument("--config", metavar="FILE", help="YAML file with settings")
    for each in fields(settings):  # type: ignore[arg-type]  # settings are dataclasses
        inner = hints[each.name]
        nested = fields(inner) if is_dataclass(inner) and "kind" not in each.metadata else ()
        for name in [f"{each.name}.{field.name}" for field in nested] or [each.name]:
            if f"--{name}" not in parser._option_string_actions:
                parser.add_argument(f"--{name}")


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and those of its subcommands, at any depth, each once."""
    below = [own for action in parser._actions if isinstance(action, argparse._SubParsersAction) for own in action.choices.values()]
    return [parser, *(each for own in below for each in _parsers(own))]
