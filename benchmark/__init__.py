"""Few-shot TTS benchmark: interchangeable meta-learning strategies, one protocol, numbers that can be cited."""

import warnings as _warnings
from pathlib import Path as _Path

__version__ = "0.1.0"
RELEASED = 2026
"""Year of this version, for citations."""

# In a bare checkout `benchmark.algorithms`, `.datasets` and `.leaderboards` lie beside this package, not inside it;
# an installed package has them mapped there by setuptools (pyproject.toml).
_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "algorithms").is_dir():
    __path__.append(str(_root))

# pyworld and webrtcvad look up their own versions through pkg_resources, which setuptools comments on at each start.
_warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
