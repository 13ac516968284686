"""Options and arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.running.hardware import Hardware


def positive(text: str) -> int:
    """A whole number from 1 on.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text}")
    return int(text)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Declare the corpus's folder, the cache and the number of processes."""
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the corpus (default: $BENCHMARK_DATA/NAME)")
    add_cache(parser)
    add_workers(parser)


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cache``."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder that runs share (default: $BENCHMARK_CACHE or ~/.cache/…)")


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


def run_folder(name: Path, output: Path) -> Path:
    """The run folder with this path, or with this name in ``output``."""
    if name.is_dir():
        return name.resolve() if name.name in ("", "..") else name  # a run is named after its folder
    return output / name if (output / name).is_dir() else name
