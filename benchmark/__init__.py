"""Few-shot TTS benchmark: interchangeable meta-learning strategies, one protocol, numbers that can be cited.

``benchmark.run``, ``compare``, ``leaderboard`` and ``voice`` do what the command line does (:mod:`benchmark.api`, ``docs/python.md``).
"""

import os as _os
import warnings as _warnings
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from benchmark.api import compare, leaderboard, run, voice

__all__ = ["compare", "leaderboard", "run", "voice"]

__version__ = "0.1.0"
RELEASED = 2026
"""Year of this version, for citations."""

# In a checkout, `benchmark.algorithms`, `.datasets` and `.leaderboards` lie beside this package.
# In an installed package setuptools maps them into it (pyproject.toml).
_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "algorithms").is_dir():
    __path__.append(str(_root))

# pyworld and webrtcvad import pkg_resources, and setuptools warns about that at each start.
_warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)

# Newer releases of onnxruntime than pyproject.toml allows report their use over the network unless this is set before they are loaded.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    """The Python API, imported when it is first asked for, because plugins and ``--help`` import this package too (PEP 562)."""
    if name in __all__:
        from benchmark import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
