"""Facts about a plugin, read from its source file's syntax tree without importing or running anything."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import benchmark
from benchmark.errors import BenchmarkError

MOST_BYTES = 1 << 20
"""Largest file that is read as a plugin."""


@dataclass(frozen=True)
class ConfigField:
    """A field of a plugin's ``Config``.

    Attributes:
        name: of the field.
        type: source text, without the limits of ``Annotated``.
        default: source text; None if a value is required.
        doc: its meaning.
    """

    name: str
    type: str
    default: str | None
    doc: str


@dataclass(frozen=True)
class Source:
    """A parsed module.

    Attributes:
        path: the file.
        tree: its syntax tree.
        imports: the full dotted name of each name imported outside functions and classes ("Algorithm" →
            "benchmark.algorithm.Algorithm"); with leading dots for a relative import (".helper.Base").
    """

    path: Path
    tree: ast.Module
    imports: dict[str, str]


def read(path: Path) -> Source:
    """Parse a file.

    Raises:
        BenchmarkError: it can't be read or is not Python; the message names file and line.
    """
    with bounded(path):
        try:
            status = path.stat()
            if status.st_size > MOST_BYTES:
                raise BenchmarkError(f"Plugin file {path} is larger than {MOST_BYTES} bytes; keep data in files of their own.")
            return _parse(path, status.st_mtime_ns, status.st_size)
        except OSError as error:
            raise BenchmarkError(f"Plugin file {path} can't be read: {error.strerror or error}.") from error
        except SyntaxError as error:
            raise BenchmarkError(f"Plugin file {path} is not valid Python: {error.msg} (line {error.lineno}).") from error
        except ValueError as error:
            raise BenchmarkError(f"Plugin file {path} is not a Python source file: {error}.") from error


@contextmanager
def bounded(path: Path) -> Iterator[None]:
    """Turns the error of an expression that is too large, or of a number with too many digits, into one sentence."""
    try:
        yield
    except (RecursionError, MemoryError) as error:
        raise BenchmarkError(f"Plugin file {path} holds an expression that is too large to be read; split it.") from error
    except ValueError as error:  # of whole numbers with thousands of digits, which hexadecimal can write
        raise BenchmarkError(f"Plugin file {path} holds a value that can't be read: {error}.") from error


@lru_cache(maxsize=256)
def _parse(path: Path, _mtime: int, _size: int) -> Source:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    imports: dict[str, str] = {}
    for node in _top_level(tree):
        if isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (f"{node.module}." if node.module else "")
            imports |= {alias.asname or alias.name: f"{origin}{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                imports[alias.asname or top] = alias.name if alias.asname else top
    return Source(path, tree, imports)


def _top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements outside functions and classes; a walk through all expressions would take most of the time of ``list``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            yield node
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _top_level(node)


def plugin_name(source: Source, variable: str = "PLUGIN") -> str | None:
    """The dotted name of the class in the file's last top-level ``PLUGIN = Class``; None if there is no such line."""
    for node in reversed(source.tree.body):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            return _dotted(node.value)
    return None


Place = tuple[Path, str]
"""A dotted name in a file."""


def find_class(source: Source, dotted: str, before: frozenset[Place] = frozenset()) -> tuple[Source, ast.ClassDef] | None:
    """The class definition behind a (dotted, possibly imported) name in ``source``, and the file that holds it.

    Args:
        source: a file.
        dotted: name of the class.
        before: the names that led here; files that import a name from one another define it nowhere.
    """
    first, *rest = dotted.split(".")
    found = _class_in(source.tree.body, first)
    if found is None:
        if first not in source.imports or (source.path, dotted) in before:
            return None
        return _find_origin(source, ".".join([source.imports[first], *rest]), before | {(source.path, dotted)})
    for name in rest:
        found = _class_in(found.body, name)
        if found is None:
            return None
    return source, found


def lineage(source: Source, dotted: str) -> Iterator[tuple[Source, ast.ClassDef]]:
    """The class and then its bases, each once, nearest first, as far as they are in the plugin's or the harness's source."""
    seen: set[Place] = set()
    pending = [(source, dotted)]
    while pending:
        found = find_class(*pending.pop())
        if found is None or (found[0].path, found[1].name) in seen:
            continue
        where, node = found
        seen.add((where.path, node.name))
        yield found
        pending += [(where, name) for base in reversed(node.bases) if (name := _dotted(base))]


def origins(source: Source, dotted: str) -> Iterator[str]:
    """Dotted import names of the class's bases ("benchmark.algorithm.Algorithm"), nearest first."""
    if find_class(source, dotted) is None:
        yield from _imported(source, dotted)
    for where, node in lineage(source, dotted):
        for name in filter(None, map(_dotted, node.bases)):
            yield from _imported(where, name)


def _imported(source: Source, dotted: str) -> Iterator[str]:
    """The import name of a name that a file imports and does not define."""
    first, _, rest = dotted.partition(".")
    if first in source.imports and _class_in(source.tree.body, first) is None:
        yield f"{source.imports[first]}.{rest}".strip(".")


def docstring(source: Source, dotted: str | None) -> str:
    """The class's docstring, else the file's, else nothing."""
    found = find_class(source, dotted) if dotted else None
    return (ast.get_docstring(found[1]) if found else None) or ast.get_docstring(source.tree) or ""


def config_fields(source: Source, dotted: str) -> list[ConfigField]:
    """The fields of the plugin's ``Config``, inherited ones first."""
    for where, node in lineage(source, dotted):
        if _class_in(node.body, "Config"):
            return class_fields(where, f"{node.name}.Config")
    return []


def class_fields(source: Source, dotted: str) -> list[ConfigField]:
    """The fields of a dataclass, inherited ones first."""
    fields: dict[str, ConfigField] = {}
    for _, node in reversed(list(lineage(source, dotted))):
        fields |= {field.name: field for field in _own_fields(node)}
    return list(fields.values())


def facts(source: Source, dotted: str) -> dict[str, Any]:
    """Literal class attributes, inherited ones included.

    ``version = "1"`` is {"version": "1"}; ``columns = {"mcd": Column(unit="dB")}`` is {"columns": {"mcd": {"unit": "dB"}}};
    ``card = DatasetCard(title="VCTK")`` is {"card.title": "VCTK"}. A constant of the file, or one that it imports from the harness, counts
    as its value. Values that are not literals are given as source text.
    """
    result: dict[str, Any] = {}
    for where, node in reversed(list(lineage(source, dotted))):
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name, value = statement.targets[0].id, statement.value
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
                name, value = statement.target.id, statement.value
            else:
                continue
            if isinstance(value, ast.Call):
                parts = {word.arg: _literal(word.value, where) for word in value.keywords if word.arg}
                result |= {f"{name}.{key}": part for key, part in parts.items()}
            elif not name.startswith("_"):
                result[name] = _literal(value, where)
    return result


def harness_file(module: str) -> Path | None:
    """The file of a module inside the package ``benchmark``, found without importing anything."""
    parts = module.split(".")
    if parts[0] != "benchmark":
        return None
    return next((path for root in benchmark.__path__ if (path := module_file(Path(root), parts[1:]))), None)


def module_file(root: Path, parts: Sequence[str]) -> Path | None:
    """The file of the module or package ``parts`` below a folder; None if there is none."""
    path = root.joinpath(*parts)
    return next((each for each in (path.parent / f"{path.name}.py", path / "__init__.py") if each.is_file()), None)


def _find_origin(source: Source, origin: str, before: frozenset[Place]) -> tuple[Source, ast.ClassDef] | None:
    """The class with an import name in the harness ("benchmark.algorithms.reptile.Reptile") or beside the file (".helper.Base")."""
    name = origin.lstrip(".")
    parts, level = name.split("."), len(origin) - len(name)
    for cut in range(len(parts) - 1, 0, -1):
        beside = module_file(source.path.parents[max(level, 1) - 1], parts[:cut])
        path = beside if level else harness_file(".".join(parts[:cut])) or beside
        if path is not None:
            return find_class(read(path), ".".join(parts[cut:]), before)
    return None


def _class_in(body: list[ast.stmt], name: str) -> ast.ClassDef | None:
    return next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)


def _dotted(node: ast.expr | None) -> str | None:
    """``a.b.C`` (or ``a.b.C[...]``) as text; None for any other expression."""
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    if isinstance(node, ast.Attribute):
        left = _dotted(node.value)
        return left and f"{left}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _literal(node: ast.expr, source: Source) -> Any:
    """A literal's value; inside a dict, a call with only keywords becomes a dict of them."""
    if isinstance(node, ast.Name) and (constant := _constant(source, node.id)):
        return _literal(constant, source)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return {key: _literal(value, source) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and node.keywords and not node.args and all(word.arg for word in node.keywords):
        return {word.arg: _literal(word.value, source) for word in node.keywords if word.arg}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, ArithmeticError):  # no literal, or one of a list in a set, say
        return ast.unparse(node)


def _constant(source: Source, name: str) -> ast.expr | None:
    """The value of a literal constant that the file defines, or imports from the harness."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return None if isinstance(node.value, ast.Name) else node.value
    module, _, there = source.imports.get(name, "").rpartition(".")
    path = harness_file(module)
    return _constant(read(path), there) if path and path != source.path else None


class _WithoutLimits(ast.NodeTransformer):
    """Turns ``Annotated[int, Ge(2)]`` into ``int``."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if (_dotted(node.value) or "").rpartition(".")[2] == "Annotated" and isinstance(node.slice, ast.Tuple):
            return node.slice.elts[0]
        return node


def _own_fields(config: ast.ClassDef) -> Iterator[ConfigField]:
    """Annotated attributes; a field's ``doc`` is the string below it, else its entry under ``Attributes:``."""
    from docstring_parser import parse

    described = {item.arg_name: item.description or "" for item in parse(ast.get_docstring(config) or "").params}
    for index, node in enumerate(config.body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        kind = ast.unparse(_WithoutLimits().visit(copy.deepcopy(node.annotation)))
        if "ClassVar" in kind:
            continue
        doc, default = described.get(node.target.id, ""), node.value
        following = config.body[index + 1] if index + 1 < len(config.body) else None
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            doc = str(following.value.value)
        if isinstance(default, ast.Call) and _dotted(default.func) in ("field", "dataclasses.field"):
            words = {word.arg: word.value for word in default.keywords}
            factory = words.get("default_factory")
            default = words.get("default") or (ast.Call(factory, [], []) if factory else None)
        yield ConfigField(node.target.id, kind, ast.unparse(default) if default else None, " ".join(doc.split()))
