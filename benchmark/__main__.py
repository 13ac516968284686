"""``python -m benchmark``."""

import os
import sys

# Threads that wait by spinning take the cores from those they wait for, wherever there are more threads than idle cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# But sleeping at once costs more than a short look: with 2000 turns an idle machine trains 1.6 times as fast as with none (which a
# crowded one prefers, by 1.3), and with hundreds of thousands, the library's own choice, a crowded one stalls.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from benchmark.cli import main

# Worker processes import this module again under another name.
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
