"""Options and arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A whole number from 1 on.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, not {text}")
    return int(text)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Declare where a corpus and what runs share lie, and how many processes may work."""
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where the corpus lies (default: $BENCHMARK_DATA/NAME)")
    add_cache(parser)
    add_workers(parser)


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cache``."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="what runs share (default: $BENCHMARK_CACHE or ~/.cache/…)")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declare ``--workers``."""
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: one a core)")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declare ``--engine``."""
    parser.add_argument("--engine", choices=("local", "ray"), default="local",
                        help="work in processes of this machine (default), or in tasks of Ray here or at $RAY_ADDRESS")  # fmt: skip


def run_folder(name: Path, output: Path) -> Path:
    """The run folder of that path, or of that name in ``output``."""
    if name.is_dir():
        return name.resolve() if name.name in ("", "..") else name  # a folder's name is its run's
    return output / name if (output / name).is_dir() else name
