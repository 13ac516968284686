"""Options and arguments that several commands share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plugins.registry import normalise
from benchmark.plumbing.durations import seconds
from benchmark.plumbing.files import is_there
from benchmark.settings.ranges import MOST

if TYPE_CHECKING:
    from benchmark.data.enough import Need, Sizes
    from benchmark.running.hardware import Hardware


def positive(text: str) -> int:
    """A whole number from 1 to ``MOST``; see :func:`whole`."""
    return whole(text, 1)


def whole(text: str, least: int = 0) -> int:
    """A whole number from ``least`` to ``MOST``, in plain digits.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if re.fullmatch("-?[0-9]{1,10}", text) and least <= int(text) <= MOST:
        return int(text)
    bound = f"at most {MOST}" if re.fullmatch("[0-9]{10,}", text) else f"at least {least}"
    raise argparse.ArgumentTypeError(f"must be a whole number, {bound}, not {text}")


def columns(text: str) -> list[str]:
    """Names between commas, each once.

    Raises:
        argparse.ArgumentTypeError: there is none.
    """
    found = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise argparse.ArgumentTypeError("names no column; try gap_closed, or mcd,per")
    return found


def duration(text: str) -> float:
    """Seconds, as :func:`benchmark.plumbing.durations.seconds` reads them.

    Raises:
        argparse.ArgumentTypeError: it is no time.
    """
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_adaptation_steps(parser: argparse.ArgumentParser) -> None:
    """Declare ``--steps`` of a command that uses a trained model."""
    parser.add_argument("--steps", type=whole, metavar="N", help="adaptation steps (default: the most that the run was scored at)")


def add_trained(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """Declare ``--model``, ``--run`` and ``--cache``, for :func:`benchmark.running.finished.trained_model`.

    Args:
        parser: of the command.
        otherwise: what happens without ``--model`` and ``--run``.
    """
    parser.add_argument("--model", type=place, metavar="FILE", help=f"trained model, a file that 'export' wrote ({otherwise})")
    parser.add_argument("--run", type=place, metavar="RUN", dest="folder", help="folder of a finished run, to use instead of a file")
    parser.add_argument("--cache", type=place, metavar="DIR", help="of --run, the cache that it was made with (default: as for 'run')")


def place(text: str) -> Path:
    """A path that names something, which may be there or not.

    Raises:
        argparse.ArgumentTypeError: it is empty, or nothing can ever be there (its name is too long, say, or links lead in a circle).
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("must be a path, not empty")
    try:
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be a path, not {text} ({getattr(error, 'strerror', None) or error})") from error
    return Path(text)


def name_or_place(text: str) -> str:
    """A name, or a path as :func:`place` takes it, still as text."""
    place(text)
    return text


def directory(text: str) -> Path:
    """A path of a folder, which may be there or not.

    Raises:
        argparse.ArgumentTypeError: it is no path, or something else is there.
    """
    path = place(text)
    if is_there(path) and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, and {text} is none")
    return path


def add_places(parser: argparse.ArgumentParser) -> None:
    """Declare the corpus's folder, the cache and the number of processes."""
    parser.add_argument("--data-root", type=place, metavar="DIR", help="folder of the corpus (default: $BENCHMARK_DATA/NAME)")
    add_cache(parser)
    add_workers(parser)


def add_pretrain_root(parser: argparse.ArgumentParser) -> None:
    """Declare ``--pretrain-root``."""
    parser.add_argument("--pretrain-root", type=_roots, default={}, metavar="DIR",
                        help="folder of --pretrain.dataset; of several: NAME=DIR,… (default: $BENCHMARK_DATA/NAME)")  # fmt: skip


def _roots(text: str) -> dict[str, Path]:
    """Data roots by dataset from NAME=DIR,NAME=DIR; from DIR, that of "".

    Raises:
        argparse.ArgumentTypeError: there are several, and one is not named, or two are named alike.
    """
    roots: dict[str, Path] = {}
    for part in text.split(","):
        name, named, path = part.partition("=")
        name, path = (normalise(name), path) if named and "/" not in name else ("", part)
        if name in roots or (roots and "" in (name, *roots)):
            raise argparse.ArgumentTypeError(f"of several must be NAME=DIR,NAME=DIR, each name once, not {text}")
        roots[name] = directory(path)
    return roots


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cache``."""
    parser.add_argument("--cache", type=directory, metavar="DIR", help="folder that runs share (default: $BENCHMARK_CACHE or ~/.cache/…)")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declare ``--workers``."""
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one per core)")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declare ``--engine``."""
    parser.add_argument("--engine", choices=("local", "ray"), default="local",
                        help="run in processes on this machine (default), or as Ray tasks, here or at $RAY_ADDRESS")  # fmt: skip


def add_hardware(parser: argparse.ArgumentParser) -> None:
    """Declare the hardware options, in Lightning's terms."""
    group = parser.add_argument_group("hardware, in Lightning's terms")
    group.add_argument("--accelerator", default="auto", metavar="NAME", help="auto (default), cpu, gpu, cuda or mps")
    group.add_argument("--devices", type=positive, default=1, metavar="N", help="number that train together (default: 1)")
    group.add_argument("--strategy", default="auto", metavar="NAME",
                       help="for several devices: auto (default), ddp_spawn, or ddp, which starts the program once per device")  # fmt: skip
    group.add_argument("--precision", default="32-true", metavar="NAME", help="for training: 32-true (default) or bf16-mixed")


def hardware_of(args: argparse.Namespace) -> Hardware:
    """The hardware that ``add_hardware``'s options name.

    Raises:
        UsageError: it can't be had.
    """
    from benchmark.running.hardware import Hardware

    return Hardware(args.accelerator, args.devices, args.strategy, args.precision)


def usual_needs(crosses: bool = False) -> tuple[list[Sizes], Need]:
    """What runs ask of speakers unless they are told otherwise: for episodes, each of the default preset's shots, and for tasks.

    Args:
        crosses: support and queries are in two languages.
    """
    from benchmark.data.enough import Sizes, for_task
    from benchmark.settings.config import read_preset
    from benchmark.settings.schema import EvaluationSettings, MetaSettings, RunSettings

    preset = read_preset(RunSettings.preset)
    evaluation, meta = EvaluationSettings(**preset.get("evaluation", {})), MetaSettings(**preset.get("meta", {}))
    shots = preset.get("shots", RunSettings.shots)
    return [Sizes(each, evaluation.queries, evaluation.episodes) for each in shots], for_task(meta.support, meta.query, crosses)
