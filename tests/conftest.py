"""What all tests share: one thread each, no network, and real speech where the machine has it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Before torch, numpy and numba are imported: parallel tests with a thread per core each stall one another.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
# Ray's workers would wait for whatever else the other tests have at work.
os.environ.setdefault("RAY_worker_niceness", "0")

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
    """What the tests that run everything share, parallel ones too: a prepared corpus, tiny pretrained backbones."""
    base = tmp_path_factory.getbasetemp()
    # Of pytest-xdist's processes each has a folder of its own in the one of them all.
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"


@pytest.fixture
def own_cache(cache: Path, tmp_path: Path) -> Path:
    """A cache of this test's own, for one that looks what is in it: nothing but the embedded corpus, prepared."""
    from benchmark.running.preparation import open_corpus

    corpus = open_corpus("espeak", None, None, cache, 1, ()).folder
    own = tmp_path / "own-cache"
    (own / "corpora").mkdir(parents=True)
    (own / "corpora" / corpus.name).symlink_to(corpus)
    return own


@pytest.fixture
def in_this_process() -> Iterator[None]:
    """Runs start no worker processes."""
    from tests.cli_helpers import scoring_here

    with scoring_here():
        yield
