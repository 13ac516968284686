"""Drills: does what is stored stay what was measured, and is every mistake answered with one sentence?

    python -m tools.drill kills        # runs killed outright at random moments end in the undisturbed bytes
    python -m tools.drill damage       # damaged files are found, mended, or harmless
    python -m tools.drill inputs       # bad input is refused with one sentence, in bounded time and memory
    python -m tools.drill all --seed 1 -o drill.txt

Exits with 1 if a case went wrong, and prints each that did. The same seed draws the same cases. Ctrl-C ends it with what it has so far.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from benchmark.commands._options import place, positive
from benchmark.plumbing.files import write_text
from benchmark.plumbing.progress import progress
from tools.drill import damage, inputs, kills
from tools.drill.outcome import Outcome, failed, table
from tools.drill.scene import built

DRILLS: Mapping[str, tuple[Callable[[Path, int, int], Iterator[Outcome]], int, int]] = {
    "kills": (kills.drill, 50, 8),
    "damage": (lambda root, seed, count: damage.drill(built(root), seed, count), 200, 40),
    "inputs": (lambda root, seed, count: inputs.drill(built(root), seed, count), 300, 150),
}  # fmt: skip
"""Each drill, and the number of its cases, usually and with ``--short``."""


def main() -> int:
    """Do the drills and print their table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.drill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("drill", choices=(*DRILLS, "all"), help="which drill")
    parser.add_argument("--seed", type=int, default=0, help="of the cases (default: 0)")
    parser.add_argument("--count", type=positive, metavar="N", help="cases of each drill (default: 50 kills, 200 damages, 300 inputs)")
    parser.add_argument("--short", action="store_true", help="fewer cases: about five minutes for all drills")
    parser.add_argument("-o", "--output", type=place, metavar="FILE", help="write the table to a file too")
    args = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="drill-") as folder, suppress(KeyboardInterrupt):
        for name in DRILLS if args.drill == "all" else (args.drill,):
            drill, usual, short = DRILLS[name]
            count = args.count or (short if args.short else usual)
            with progress(f"Drill: {name}", count) as show:
                for done, outcome in enumerate(drill(Path(folder), args.seed, count), 1):
                    outcomes.append(outcome)
                    show(min(done, count))
    text = table(outcomes)
    print(text)
    if args.output:
        write_text(args.output, f"{text}\n")
    return 1 if failed(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
