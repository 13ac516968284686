"""Who may import whom, read from source: contracts nothing above them, the harness no plugin by name."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmark.plugins import registry

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = (
    "algorithm", "backbone", "vocoder", "dataset", "metric", "problem", "task",
    "batch", "mel", "utterance", "audio", "parameters", "errors",
)  # fmt: skip
ABOVE = ("running", "results", "report", "commands")
HARNESS = ("data", "plugins", *ABOVE)
RANGES = "benchmark.settings.ranges"
"""Types of options, which import nothing of the project: any plugin may."""
FORBIDDEN = {
    **{name: (*HARNESS, "settings", "learning", "scoring", "problems") for name in CONTRACTS},
    "plumbing": (*HARNESS, "settings", "learning", "scoring", "problems", *(name for name in CONTRACTS if name != "errors")),
    "learning": (*HARNESS, "settings"), "scoring": (*ABOVE, "plugins", "settings"), "problems": (*HARNESS, "settings"),
    "algorithms": (*HARNESS, "settings"), "backbones": (*HARNESS, "settings"), "vocoders": (*HARNESS, "settings"),
    "metrics": (*ABOVE, "plugins", "settings"), "datasets": (*ABOVE, "plugins", "settings"),
    "data": (*ABOVE, "settings"), "settings": ("data", *ABOVE), "results": ("running", "report", "commands"),
    "report": ("running", "commands"), "running": ("report", "commands"), "plugins": ("report", "commands"),
}  # fmt: skip
PLUGINS = ("algorithms", "datasets", "backbones", "vocoders", "metrics")


@cache
def modules() -> dict[str, Path]:
    """Import names of the package's modules, and their files."""
    places = {"benchmark": ROOT / "benchmark", "benchmark.algorithms": ROOT / "algorithms", "benchmark.datasets": ROOT / "datasets"}
    found = {}
    for package, folder in places.items():
        for path in sorted(folder.rglob("*.py")):
            found[".".join([package, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """Every name of the package that a module imports, in functions and for type checking too."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            names = [".".join([*above, *([node.module] if node.module else []), alias.name]) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (each for each in names if each.startswith("benchmark.") and not within(each, RANGES))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("part", FORBIDDEN)
def test_what_lies_below_imports_nothing_above_it(part: str) -> None:
    members = {name: path for name, path in modules().items() if within(name, f"benchmark.{part}")}
    assert members
    wrong = [
        f"{name} imports {imported}"
        for name, path in members.items()
        for imported in imports(name, path)
        if any(within(imported, f"benchmark.{other}") for other in FORBIDDEN[part])
    ]
    assert not wrong


def test_the_types_of_options_import_nothing_of_the_project_but_errors() -> None:
    assert set(imports(RANGES, modules()[RANGES])) <= {"benchmark.errors.BenchmarkError", "benchmark.errors.UsageError"}


def test_the_harness_imports_no_plugin_by_name() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        if not any(within(name, f"benchmark.{kind}") for kind in PLUGINS)
        for imported in imports(name, path)
        if any(within(imported, f"benchmark.{kind}") for kind in PLUGINS)
    ]
    assert not wrong


def test_the_parts_that_serve_any_plugin_name_none() -> None:
    """Neither in strings; words that are a kind, a task or a part of a model as well are passed over."""
    names = {name for kind in registry.KINDS for name in registry.find(kind)} - {"metric", "style", "memory", "folder"}
    parts = ("plugins", "plumbing", "learning", "data", *CONTRACTS)
    wrong = []
    for name, path in modules().items():
        if any(within(name, f"benchmark.{part}") for part in parts):
            strings = (node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant))
            wrong += [f"{name} names {each}" for each in strings if each in names]
    assert not wrong


def test_no_two_classes_of_the_harness_share_a_name() -> None:
    named = Counter(
        node.name
        for name, path in modules().items()
        if not any(within(name, f"benchmark.{kind}") for kind in PLUGINS)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in named.items() if count > 1] == []
