"""``python -m benchmark``."""

import sys

from benchmark.cli import main

# Worker processes import this module again under another name.
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
