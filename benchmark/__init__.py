"""Few-shot TTS benchmark: interchangeable meta-learning strategies, one protocol, numbers that can be cited."""

import warnings as _warnings
from pathlib import Path as _Path

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
