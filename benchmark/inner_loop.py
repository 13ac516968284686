"""The inner loop under its first address, for plugins that import it from here."""

from benchmark.learning.inner_loop import *  # noqa: F403
