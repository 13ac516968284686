"""Names and numbers as parts of a sentence."""

from __future__ import annotations

from collections.abc import Collection


def listed(words: Collection[str], last: str = "and") -> str:
    """"a", "a and b" or "a, b and c"; "" for none. ``last`` stands before the last one, "or" for a choice."""
    every = list(words)
    return f" {last} ".join(filter(None, [", ".join(every[:-1]), *every[-1:]]))


def counted(number: int, one: str, several: str = "") -> str:
    """A number of things, "1 shot" or "5 shots"; ``several`` is the plural if it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def seeds_said(seeds: Collection[int]) -> str:
    """Seeds in words, "seeds 0, 1 and 2"."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed([str(seed) for seed in sorted(seeds)])}"
