"""What all tests share: one thread each, no network, and real speech where the machine has it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Before torch, numpy and numba are imported: parallel tests with a thread per core each stall one another.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest  # noqa: E402

# Started in the background, a process ignores Ctrl-C, and so do its children; the tests of Ctrl-C are to work there too.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return ROOT


@pytest.fixture(scope="session")
def speechocean762_root() -> Path:
    """Real speech: ``$BENCHMARK_DATA/speechocean762``, else the folder beside the checkout; skips where it is absent."""
    data = os.environ.get("BENCHMARK_DATA")
    root = Path(data) / "speechocean762" if data else ROOT.parent / "shared" / "data" / "speechocean762"
    if not root.is_dir():
        pytest.skip(f"needs the corpus speechocean762 at {root} (set BENCHMARK_DATA to the folder that holds it)")
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests that run everything share: a prepared corpus, tiny pretrained backbones."""
    return tmp_path_factory.mktemp("cache")
