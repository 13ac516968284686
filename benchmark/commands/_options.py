"""Options and arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plugins.registry import normalise

if TYPE_CHECKING:
    from benchmark.data.enough import Need, Sizes
    from benchmark.running.hardware import Hardware
    from benchmark.settings.schema import RunSettings


def positive(text: str) -> int:
    """A whole number from 1 on.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text}")
    return int(text)


def whole(text: str) -> int:
    """A whole number from 0 on.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text}")
    return int(text)


def add_adaptation_steps(parser: argparse.ArgumentParser) -> None:
    """Declare ``--steps`` of a command that uses a finished run; :func:`check_adaptation_steps` checks it."""
    parser.add_argument("--steps", type=int, metavar="N", help="adaptation steps (default: the largest number that the run was scored at)")


def check_adaptation_steps(steps: int | None) -> None:
    """Refuse a negative number.

    Raises:
        UsageError: it is negative.
    """
    from benchmark.errors import UsageError

    if steps is not None and steps < 0:
        raise UsageError(f"--steps must be at least 0, not {steps}.")


def place(text: str) -> Path:
    """A path that names something.

    Raises:
        argparse.ArgumentTypeError: it is empty, or no path.
    """
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError("must be a path, not empty" if not text.strip() else "must be a path, without NUL")
    return Path(text)


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
        roots[name] = Path(path)
    return roots


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cache``."""
    parser.add_argument("--cache", type=place, metavar="DIR", help="folder that runs share (default: $BENCHMARK_CACHE or ~/.cache/…)")


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


def consecutive(settings: RunSettings, count: int) -> list[RunSettings]:
    """The settings of runs that differ in the seed, which counts up.

    Raises:
        UsageError: it would count beyond the largest seed.
    """
    from dataclasses import replace

    from benchmark.errors import UsageError
    from benchmark.settings.ranges import MAX_SEED

    if settings.seed + count - 1 > MAX_SEED:
        raise UsageError(f"--seeds {count} counts beyond the largest seed, {MAX_SEED}; start from a smaller --seed.")
    return [replace(settings, seed=settings.seed + number) for number in range(count)]


def run_folder(name: Path, output: Path) -> Path:
    """The run folder with this path, or with this name in ``output``."""
    if name.is_dir():
        return name.resolve() if name.name in ("", "..") else name  # a run is named after its folder
    return output / name if (output / name).is_dir() else name


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
