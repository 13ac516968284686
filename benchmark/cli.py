"""The command line: finds the subcommand, runs it, and turns errors into one sentence and an exit status."""

from __future__ import annotations

import argparse
import ast
import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from benchmark.commands._options import name_or_place
from benchmark.errors import BenchmarkError, UsageError, text_of
from benchmark.plugins import registry

PROGRAM = "python -m benchmark"
COMMANDS = Path(__file__).resolve().parent / "commands"
INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells expect."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST = 2000
"""Most characters of a sentence; values that a user gave may be longer."""
LONG_WORD = re.compile(r"\S{300,}")
INTERRUPTION = "Interrupted; run the same command again to resume."


class Parser(argparse.ArgumentParser):
    """Raises :class:`UsageError` where argparse would print its usage and exit; accepts no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message."""
        raise UsageError(f"{message[:1].upper()}{message[1:].rstrip('.')} ({self.prog} --help lists the options).")


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: the words after ``python -m benchmark``.

    Returns:
        exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    # OpenMP's threads spin while they wait for each other, by default; several programs on the same cores then take many times longer.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    common = Parser(add_help=False, prog=PROGRAM)
    _add_common(common)
    debug = "--debug" in arguments
    try:
        if empty := next((word for word in arguments if word.startswith("--") and word.endswith("=--")), ""):
            raise UsageError(f"{empty[:-3]} has no value: '--' is none.")  # argparse would take the default
        known, rest = common.parse_known_args(arguments)
        status = _dispatch(rest, known)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as error:
        when = " ".join(text_of(error).split())
        return _say(INTERRUPTION.replace(";", f" {when};") if when else INTERRUPTION, INTERRUPTED, debug)
    except BrokenPipeError:
        # The program that reads our output (head, less) has exited, so nobody would see a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BenchmarkError as error:
        return _say(f"error: {' '.join(text_of(error).split()) or type(error).__name__}", error.exit_status, debug)
    except SystemExit:  # --help
        raise
    except BaseException as error:  # a plugin may raise any
        if isinstance(error, OSError) and error.errno in FULL:
            where = f" ({error.filename})" if error.filename else ""
            return _say(f"error: The disk is full{where}; free some space and run the same command again.", 1, debug)
        if _is_out_of_memory(error):
            advice = "choose smaller sizes of the model, of batches or of tasks, or fewer --workers"
            return _say(f"error: The memory does not suffice; {advice}.", 1, debug)
        reason = " ".join(text_of(error).split())
        reason = f"{type(error).__name__}: {reason[:400]}" if reason else type(error).__name__
        return _say(f"error: Unexpected {reason} (run it again with --debug for the traceback).", 1, debug)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of this machine or of a GPU, could not hold what was asked for; torch says so in several ways."""
    signs = ("allocate memory", "out of memory", "Storage size calculation overflowed", "invalid array shape", "array is too big")
    return isinstance(error, MemoryError) or any(sign in text_of(error) for sign in signs)


def commands() -> dict[str, str]:
    """The first line of each subcommand's docstring, read without importing it."""
    result = {}
    for path in sorted(COMMANDS.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_bytes())) or ""
        result[path.stem] = text.partition("\n")[0]
    return result


def _dispatch(arguments: list[str], known: argparse.Namespace) -> int:
    """Find the command, parse its options, run it."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if arguments else UsageError.exit_status
    if arguments[0] == "--version":
        import benchmark

        print(benchmark.__version__)
        return 0
    name = arguments[0]
    if name.startswith("-"):
        raise UsageError(f"Unknown option '{name}'; the command comes first: {PROGRAM} COMMAND [options].")
    if registry.normalise(name) not in commands():
        raise UsageError(f"There is no command '{name}'{registry.suggest(name, commands())}")
    module = importlib.import_module(f"benchmark.commands.{registry.normalise(name)}")
    return _run(module, name, arguments[1:], known)


def _run(module: ModuleType, name: str, arguments: list[str], known: argparse.Namespace) -> int:
    """Parse a command's own options; leave the rest to its settings dataclass."""
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    _add_common(parser.add_argument_group("common options"))
    takes_settings = hasattr(module, "settings")
    if takes_settings and not {"-h", "--help"}.isdisjoint(arguments):
        from benchmark.settings.help import settings_help

        print(parser.format_help())
        print(settings_help(module.settings(), arguments, known.plugin))
        return 0
    args, rest = parser.parse_known_args(arguments)
    parsers = [parser, *(chosen for action in parser._actions if isinstance(action, argparse._SubParsersAction)
                         for name, chosen in action.choices.items() if name in arguments)]  # fmt: skip
    for action in (action for each in parsers for action in each._actions if action.option_strings):
        if getattr(args, action.dest, None) == "" != action.default:
            raise UsageError(f"{action.option_strings[-1]} has no value: '' is none.")
    options = list(dict.fromkeys(option for each in parsers for option in each._option_string_actions if option.startswith("--")))
    if rest and not takes_settings:
        what = "option" if rest[0].startswith("-") else "argument"
        near = registry.suggest(rest[0].partition("=")[0], options) if what == "option" else "."
        raise UsageError(f"'{name}' takes no {what} '{rest[0]}'{near}")
    args.plugin, args.debug, args.settings, args.options = known.plugin, known.debug, rest, options
    return int(module.run(args) or 0)


def _add_common(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument(
        "--plugin", action="append", default=[], type=name_or_place, metavar="FILE", help="use the plugin in this file; may be repeated"
    )


def _overview() -> str:
    lines = [f"usage: {PROGRAM} COMMAND [options] [--plugin FILE] [--debug]", "", "commands:"]
    found = commands()
    width = max(map(len, found))
    lines += [f"  {name:{width}}  {summary}" for name, summary in found.items()]
    return "\n".join([*lines, "", f"{PROGRAM} COMMAND --help describes one."])


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:80]}…{word[0][-40:]}"


def _say(message: str, status: int, debug: bool) -> int:
    """Print the sentence, after the traceback if ``debug``; returns ``status``.

    It may quote what a user gave: control characters, which a terminal would obey, are escaped, and very long words are shortened.
    """
    with suppress(OSError):  # stdout may be a file on the full disk
        sys.stdout.flush()
    if debug:
        traceback.print_exc()
    message = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in LONG_WORD.sub(_shortened, message))
    print(message if len(message) <= LONGEST else f"{message[: LONGEST - 200]} … {message[-200:]}", file=sys.stderr)
    return status
