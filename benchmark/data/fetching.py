"""Downloading a published corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmark.errors import BenchmarkError


def fetch(title: str, root: Path, download: Callable[[], object]) -> None:
    """Make the folder and let ``download`` fill it.

    Args:
        title: of the corpus.
        root: the folder.
        download: calls a torchaudio dataset.

    Raises:
        BenchmarkError: the download fails, or there is no such part of the corpus.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        download()
    except (OSError, RuntimeError, ValueError) as error:
        raise BenchmarkError(f"{title} can't be downloaded into {root}: {error}. Run the same command again.") from error
