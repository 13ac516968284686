"""The package works uninstalled, installed and installed in place, beside Hugging Face's top-level ``datasets``.

Beside a stand-in of it always, beside the real one where it is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

FOLDERS = ("algorithms", "benchmark", "datasets", "leaderboards")
STAND_IN = "class Value:\n    def __init__(self, dtype): self.dtype = dtype\n"
IMPORTS = (
    "import benchmark, datasets, benchmark.algorithms, benchmark.datasets, benchmark.leaderboards\n"
    "from benchmark.datasets import speechocean762\n"
    "from benchmark.plugins import registry\nfrom benchmark.settings import config\n"
    "assert datasets.Value('int64').dtype == 'int64', datasets\n"
    "print(benchmark.__file__, registry.get('dataset', 'speechocean762').path, len(config.presets()))\n"
)


@pytest.fixture(scope="module")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds, so that building leaves nothing behind in the real one."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(repository / folder, copy / folder, ignore=ignore)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / file, copy / file)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the copy without a network."""
    out = tmp_path_factory.mktemp("wheel")
    pip(checkout.parent, "wheel", "--no-build-isolation", "--wheel-dir", str(out), str(checkout))
    (built,) = out.glob("*.whl")
    return built


def pip(where: Path, action: str, *arguments: str) -> None:
    words = [sys.executable, "-m", "pip", action, "--no-deps", "--no-index", "--disable-pip-version-check", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, cwd=where)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(params=["stand-in", "real"])
def packages(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder to install packages into; another project's top-level ``datasets`` lies in it, or in this environment."""
    folder = tmp_path / "site"
    folder.mkdir()
    if request.param == "stand-in":
        (folder / "datasets").mkdir()
        (folder / "datasets" / "__init__.py").write_text(STAND_IN)
        return folder
    try:
        metadata.distribution("datasets")
    except metadata.PackageNotFoundError:
        pytest.skip("Hugging Face's datasets is not installed here (pip install datasets); tested beside a stand-in only")
    return folder


def python(where: Path, path: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(path)}
    words = [sys.executable, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, cwd=where, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def works(where: Path, packages: Path, source: Path) -> None:
    """Both ``datasets`` import as they should, ``list`` finds everything, and it all comes from ``source``."""
    files = python(where, packages, "-c", IMPORTS).split()
    assert files[2] == "3" and all(Path(name).resolve().is_relative_to(source.resolve()) for name in files[:2]), files
    text = python(where, packages, "-m", "benchmark", "list")
    for name in ("reptile", "speechocean762", "fastspeech2", "griffin_lim", "mcd"):
        assert re.search(rf"^  {name}  ", text, re.MULTILINE), text


def test_the_wheel_holds_the_harness_the_plugins_and_their_data_and_nothing_else(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"
    assert all(name.startswith(("benchmark/", info)) for name in names), sorted(names)
    tracked = {
        file.relative_to(repository).as_posix()
        for folder in FOLDERS
        for pattern in ("*.py", "*.yaml", "*.json", "*.csv", "*.md", "*.txt", "*.html", "*.css", "*.svg", "*.js", "*.safetensors")
        for file in (repository / folder).rglob(pattern)
        if not {"runs", "tuning"} & set(file.relative_to(repository).parts)  # what leaderboards are computed from stays in the repository
    }
    assert "benchmark/models/card.md" in tracked
    expected = {name if name.startswith("benchmark/") else f"benchmark/{name}" for name in tracked}
    assert {name for name in names if name.startswith("benchmark/")} == expected
    assert {"benchmark/settings/presets/smoke.yaml", "benchmark/algorithms/reptile.py", "benchmark/datasets/sentences/de.txt"} <= expected
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in names)


def test_no_folder_of_plugins_is_a_regular_package(repository: Path) -> None:
    for folder in ("algorithms", "datasets", "leaderboards"):
        assert not (repository / folder / "__init__.py").exists(), f"{folder}/ would hide another top-level package"


def test_installed_from_the_wheel(wheel: Path, packages: Path, tmp_path: Path) -> None:
    pip(tmp_path, "install", "--target", str(packages), str(wheel))
    works(tmp_path, packages, packages / "benchmark")
    script = packages / "bin" / "benchmark"
    assert "reptile" in python(tmp_path, packages, str(script), "list")
    ours = {path.name for path in packages.iterdir() if not path.name.endswith(".dist-info")} - {"bin"}
    assert ours - {"datasets"} == {"benchmark"} and not list((packages / "datasets").glob("speechocean762*"))


def test_installed_in_place(checkout: Path, packages: Path, tmp_path: Path) -> None:
    pip(tmp_path, "install", "--no-build-isolation", "--target", str(packages), "--editable", str(checkout))
    # .pth files count only in site directories, which a --target folder is not.
    start = "import site, sys; site.addsitedir(sys.argv.pop(1)); sys.argv.pop(0); "
    files = python(tmp_path, packages, "-c", start + f"exec({IMPORTS!r})", str(packages)).split()
    assert all(Path(name).resolve().is_relative_to(checkout.resolve()) for name in files[:2]), files
    run = start + "from benchmark.cli import main; sys.exit(main(sys.argv))"
    assert "reptile" in python(tmp_path, packages, "-c", run, str(packages), "list")


def test_not_installed_at_all(checkout: Path, packages: Path) -> None:
    works(checkout, packages, checkout)


def test_the_versions_agree(repository: Path) -> None:
    import benchmark

    text = (repository / "pyproject.toml").read_text()
    assert f'version = "{benchmark.__version__}"' in text
