"""The inner loop's old place, for plugins that import it from here."""

from benchmark.learning.inner_loop import *  # noqa: F403
