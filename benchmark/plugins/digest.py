"""Digests of a plugin's code, without anything that can't change a number.

Comments, docstrings, formatting, import lines and the location of files don't count. An imported name counts as what it stands for,
whatever its alias and wherever it is imported from again: "numpy.log", "benchmark.learning.recall.Recall"; for files beside the plugin,
which may be moved and renamed, the code of the file and the name in it.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from benchmark.plugins import source
from benchmark.plugins.importing import FILE_MODULE
from benchmark.plugins.registry import PluginInfo, source_file

SHARED = (
    "algorithms", "backbones", "datasets", "learning", "metrics", "scoring", "vocoders",
    "data.aligner", "data.corpus_aligner",
)  # fmt: skip
"""The parts of ``benchmark`` that count in plugins' digests; ``duration_error`` measures with the aligner.

The rest counts by its versions (:mod:`benchmark.running.identity`).
"""
UNSEEN = ("ctx", "kind", "type_comment")
"""Fields of syntax trees that don't affect what the code does."""
MARK = "\0"
"""Surrounds the path of a file beside the plugin in its code; no syntax tree writes one."""
STAR = "*"

Find = Callable[[str], Path | None]
"""The file of a module that counts in the digest, by import name; None if it is from elsewhere."""


def source_digest(info: PluginInfo) -> str:
    """SHA-256 (hexadecimal) of the code of a plugin, of the files beside it that it imports and of the shared code that it imports.

    Imports an entry point if its file can't be found otherwise.
    """
    with source.bounded(source_file(info)):
        find = _finder(info)
        return _digest(_files(info, find), find)


def code_digest(paths: Iterable[Path]) -> str:
    """SHA-256 (hexadecimal) of the code of files of the harness, whatever their order."""
    return _digest(dict.fromkeys(paths, ""), _shared)


def _digest(modules: Mapping[Path, str], find: Find) -> str:
    """The digest of files, given with their import names."""
    written = _Writer(find)
    texts = {path: written.code(path, module) for path, module in modules.items()}
    # A file is named by its code, which names other files. As many rounds as there are files carry every difference to all.
    tokens = dict.fromkeys(texts, "")
    for _ in texts:
        tokens = {path: hashlib.sha256(_filled(text, tokens).encode()).hexdigest() for path, text in texts.items()}
    return hashlib.sha256(MARK.join(sorted(_filled(text, tokens) for text in texts.values() if text)).encode()).hexdigest()


def _filled(text: str, tokens: Mapping[Path, str]) -> str:
    """A file's code with the tokens of the files that it names; those read only by type checkers have none."""
    return re.sub(f"{MARK}([^{MARK}]*){MARK}", lambda found: tokens.get(Path(found[1]), ""), text)


def _shared(module: str) -> Path | None:
    """The file of a module in the shared parts of ``benchmark``."""
    return source.harness_file(module) if f"{module}.".startswith(tuple(f"benchmark.{part}." for part in SHARED)) else None


def _finder(info: PluginInfo) -> Find:
    """Finds the files that count in a plugin's digest."""
    start = source_file(info)
    top, *inside = info.module.split(".")
    # package/part/plugin.py, imported as package.part.plugin, is two folders below the folder that holds its package.
    root = start.parent if info.origin == "file" else start.parents[len(inside) + (start.name == "__init__.py")]

    def find(module: str) -> Path | None:
        first, *rest = module.split(".")
        if first == "benchmark":
            return _shared(module)
        if info.origin == "file":
            beside = rest if first == top else [first, *rest]
            return source.module_file(root, beside) if beside else None
        return source.module_file(root, [first, *rest]) if first == top else None

    return find


def _files(info: PluginInfo, find: Find) -> dict[Path, str]:
    """The files that count in a plugin's digest, its own among them, and their import names."""
    start = source_file(info)
    found, queue = {start: info.module}, [(info.module, start)]
    while queue:
        for module in _imports(*queue.pop()):
            path = find(module)
            if path is not None and path not in found:
                found[path] = module
                queue.append((module, path))
    return found


class _Writer:
    """Writes code in a notation that is the same for all versions of Python, wherever the files are.

    Args:
        find: finds files that count.
    """

    def __init__(self, find: Find) -> None:
        self.find = find
        self.bound: dict[tuple[Path, str], dict[str, list[str]]] = {}

    def code(self, path: Path, module: str) -> str:
        """A file's code; "" if it does nothing.

        Raises:
            BenchmarkError: it can't be read or is not Python.
        """
        bound = self._bound(path, module)
        stars = [self._reference(f"{name}.{STAR}") for name in bound.get(STAR, ())]
        names = {name: self._either(origins) for name, origins in bound.items() if name != STAR}
        return "".join([*stars, self._written(source.read(path).tree.body, names, bound)])

    def _bound(self, path: Path, module: str) -> dict[str, list[str]]:
        """What imports in a file bind each name to, as import names in order; once if they agree. "*": modules imported whole."""
        if (path, module) in self.bound:
            return self.bound[path, module]
        found: dict[str, list[str]] = {}
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(source.read(path).tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    origin = alias.name if alias.asname else alias.name.partition(".")[0]
                    found.setdefault(alias.asname or origin, []).append(origin)
            elif isinstance(node, ast.ImportFrom):
                base = _base(node, package)
                for alias in node.names:
                    if alias.name == STAR:
                        found.setdefault(STAR, []).append(base)
                    else:
                        found.setdefault(alias.asname or alias.name, []).append(f"{base}.{alias.name}")
        self.bound[path, module] = {name: origins if len({*origins}) > 1 else origins[:1] for name, origins in found.items()}
        return self.bound[path, module]

    def _either(self, origins: Iterable[str], seen: frozenset[str] = frozenset()) -> str:
        return "|".join(self._reference(origin, seen) for origin in origins)

    def _reference(self, name: str, seen: frozenset[str] = frozenset()) -> str:
        """What an import name stands for, followed through files that only import it."""
        if name.startswith("."):
            return name
        parts = name.split(".")
        found = [
            (path, parts[end:], ".".join(parts[:end])) for end in range(1, len(parts) + 1) if (path := self.find(".".join(parts[:end])))
        ]
        for path, rest, module in found:  # what a package imports hides its module of that name
            if rest and name not in seen and (origins := self._bound(path, module).get(rest[0])):
                return self._either([".".join([origin, *rest[1:]]) for origin in origins], seen | {name})
        if parts[0] == "benchmark" or not found:
            # A plugin file's package is named after its folder.
            return name.partition(".")[2] if name.startswith(FILE_MODULE) else name
        path, rest, _ = found[-1]
        return ".".join([f"{MARK}{path}{MARK}", *rest])

    def _written(self, node: Any, names: Mapping[str, str], bound: Mapping[str, list[str]]) -> str:
        """A part of a syntax tree as text, with imported names as what they stand for."""
        if isinstance(node, list):
            parts = [self._written(each, names, bound) for each in node if not _silent(each)]
            return f"[{','.join(parts)}]" if parts else ""
        if isinstance(node, ast.Name):
            return f"Name({names.get(node.id, node.id)})"
        if isinstance(node, ast.Attribute) and (dotted := _dotted(node)) and dotted[0] in names:
            return f"Name({self._either('.'.join([origin, *dotted[1:]]) for origin in bound[dotted[0]])})"
        if isinstance(node, ast.AST):
            fields = [(name, self._written(value, names, bound)) for name, value in ast.iter_fields(node) if name not in UNSEEN]
            return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields if text)})"
        return "" if node is None else ascii(node)


def _dotted(node: ast.expr) -> list[str]:
    """The parts of ``a.b.c``; none for any other expression."""
    if isinstance(node, ast.Attribute):
        left = _dotted(node.value)
        return [*left, node.attr] if left else []
    return [node.id] if isinstance(node, ast.Name) else []


def _base(node: ast.ImportFrom, package: str) -> str:
    """The import name of what a "from" line imports from; with its dots if it leads beyond the top-level package, where it must fail."""
    name = "." * node.level + (node.module or "")
    try:
        return resolve_name(name, package)
    except ImportError:
        return name


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
            base = _base(node, package)
            if base.startswith("."):
                continue
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
