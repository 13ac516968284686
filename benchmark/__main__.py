"""``python -m benchmark``."""

import os
import sys

# Threads that wait by spinning take the cores from those they wait for, wherever there are more threads than idle cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmark.cli import main

# Worker processes import this module again under another name.
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
