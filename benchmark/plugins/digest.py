"""Digests of a plugin's code, without anything that can't change a number.

Comments, docstrings, formatting, import lines and the location of files don't count. A name imported under an alias counts under its
original name ("from .losses import triplet as loss": ``triplet``).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from benchmark.plugins import source
from benchmark.plugins.registry import PluginInfo, source_file

SHARED = ("algorithms", "backbones", "datasets", "inner_loop", "learning", "metrics", "scoring", "vocoders")
"""The parts of ``benchmark`` that count in plugins' digests; the rest counts by its versions (:mod:`benchmark.running.identity`)."""
UNSEEN = ("ctx", "kind", "type_comment")
"""Fields of syntax trees that don't affect what the code does."""


def source_digest(info: PluginInfo) -> str:
    """SHA-256 (hexadecimal) of the code of a plugin, of the files beside it that it imports and of the shared code that it imports.

    Imports an entry point if its file can't be found otherwise.
    """
    return code_digest(files(info))


def code_digest(paths: Iterable[Path]) -> str:
    """SHA-256 (hexadecimal) of files' code, whatever their order."""
    return hashlib.sha256("\0".join(sorted(filter(None, map(code, paths)))).encode()).hexdigest()


def files(info: PluginInfo) -> set[Path]:
    """The files that count in a plugin's digest, its own among them."""
    start = source_file(info)
    top, *inside = info.module.split(".")
    # package/part/plugin.py, imported as package.part.plugin, is two folders below the folder that holds its package.
    root = start.parent if info.origin == "file" else start.parents[len(inside) + (start.name == "__init__.py")]

    def find(module: str) -> Path | None:
        first, *rest = module.split(".")
        if first == "benchmark":
            return source.harness_file(module) if rest and rest[0] in SHARED else None
        if info.origin == "file":
            beside = rest if first == top else [first, *rest]
            return source.module_file(root, beside) if beside else None
        return source.module_file(root, [first, *rest]) if first == top else None

    found, queue = {start}, [(info.module, start)]
    while queue:
        for module in _imports(*queue.pop()):
            path = find(module)
            if path is not None and path not in found:
                found.add(path)
                queue.append((module, path))
    return found


def code(path: Path) -> str:
    """A file's code in a notation that is the same for all versions of Python; "" if it does nothing.

    Raises:
        BenchmarkError: it can't be read or is not Python.
    """
    tree = source.read(path).tree
    names = {
        alias.asname: alias.name.rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module)  # "from . import x" names a movable file
        for alias in node.names
        if alias.asname
    }
    return _written(tree.body, names)


def _written(node: Any, names: dict[str, str]) -> str:
    """A part of a syntax tree as text, with imported names under their original names."""
    if isinstance(node, list):
        parts = [_written(each, names) for each in node if not _silent(each)]
        return f"[{','.join(parts)}]" if parts else ""
    if isinstance(node, ast.Name):
        return f"Name({names.get(node.id, node.id)})"
    if isinstance(node, ast.AST):
        fields = [(name, _written(value, names)) for name, value in ast.iter_fields(node) if name not in UNSEEN]
        return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields if text)})"
    return "" if node is None else ascii(node)


def _silent(node: Any) -> bool:
    """Whether a statement does nothing or only imports."""
    if _for_types(node):
        return not node.orelse and all(map(_silent, node.body))
    bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # a docstring, or "..."
    return bare or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _for_types(node: Any) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _imports(module: str, path: Path) -> Iterator[str]:
    """Import names of all modules that a file may import when it runs, along with classes and functions."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    queue: list[ast.AST] = [source.read(path).tree]
    while queue:
        node = queue.pop()
        queue += node.orelse if isinstance(node, ast.If) and _for_types(node) else ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:  # beyond the top-level package, so it fails at run time
                continue
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
