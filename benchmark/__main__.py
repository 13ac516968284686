"""``python -m benchmark``, and the console script."""

import os
import sys

# With more threads than idle cores, threads that spin while they wait take cores from the threads they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Spinning briefly still pays: with 2000 spins, training on an idle machine is 1.6 times as fast as with none. On a busy machine
# it is 1.3 times as fast with none, and it stalls with the library's default of hundreds of thousands.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from benchmark.cli import main


def script() -> int:
    """The console script ``benchmark``: like ``python -m benchmark``, but runs no files of the working directory.

    Worker processes start with ``python -c``, which would; Python 3.11 and later can be told not to.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    return main(sys.argv[1:])


# Worker processes import this module again under another name.
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
