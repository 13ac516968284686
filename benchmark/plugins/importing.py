"""Importing plugins' modules, and finding their files without importing them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchmarkError, text_of

if TYPE_CHECKING:
    from benchmark.plugins.registry import PluginInfo

FILE_MODULE = "benchmark_plugins_"
"""Prefix of the import names of ``--plugin`` files."""


@lru_cache(maxsize=64)
def module_name(file: Path) -> str:
    """An import name that is the same in every process, in a package of the file's folder, so that the file can import its neighbours."""
    folder = hashlib.sha256(str(file.parent).encode()).hexdigest()[:8]
    return f"{FILE_MODULE}{folder}.{file.stem.replace('-', '_').replace('.', '_')}"


def import_module_of(info: PluginInfo) -> Any:
    """Import the plugin's module; any error becomes one sentence."""
    with _one_sentence(info, "can't be imported"):
        if info.origin == "file" and info.module not in sys.modules:
            return _import_file(info)
        return importlib.import_module(info.module)


def class_of(info: PluginInfo, base: type) -> type[Any]:
    """Import a plugin and return its class.

    Raises:
        BenchmarkError: its file fails to run, has no ``PLUGIN``, or that is not a complete subclass of ``base``.
    """
    value: Any = import_module_of(info)
    with _one_sentence(info, "can't be used"):  # a metaclass or a module's __getattr__ may fail
        for part in info.attribute.split("."):
            value = getattr(value, part, None)
        if value is None:
            raise BenchmarkError(f"Plugin {info.where} has no '{info.attribute}': end it with 'PLUGIN = YourClass'.")
        if not (isinstance(value, type) and issubclass(value, base)):
            raise BenchmarkError(f"{info.attribute} in {info.where} is not a subclass of {base.__module__}.{base.__qualname__}.")
        if inspect.isabstract(value):
            missing = ", ".join(f"{method}()" for method in sorted(getattr(value, "__abstractmethods__", ())))
            raise BenchmarkError(f"{value.__name__} in {info.where} must still define {missing}.")
    return value


@contextmanager
def _one_sentence(info: PluginInfo, failure: str) -> Iterator[None]:
    """Turns whatever a plugin's code raises into one sentence that names its file; an interruption stays one."""
    try:
        yield
    except BenchmarkError:
        raise
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"while plugin {info.where} was imported") from error
    except BaseException as error:
        reason = text_of(error).partition("\n")[0]
        told = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        raise BenchmarkError(f"Plugin {info.where} {failure}: {told} (--debug shows the traceback).") from error


def _import_file(info: PluginInfo) -> ModuleType:
    """Run a ``--plugin`` file as a module of a package made of the files beside it (an ``__init__.py`` there is not run)."""
    assert info.path is not None
    package = info.module.partition(".")[0]
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(info.path.parent)]
    spec = importlib.util.spec_from_file_location(info.module, info.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[info.module] = module  # before it runs, because dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[info.module]
        raise
    return module


def imported_files() -> list[str]:
    """The ``--plugin`` files that this process has imported, for :func:`register` in another one."""
    every = [module for name, module in list(sys.modules.items()) if name.startswith(FILE_MODULE)]
    # The others are modules that plugins import from beside them.
    return [str(module.__file__) for module in every if hasattr(module, "PLUGIN")]


def locate(module: str) -> Path | None:
    """The module's file, without importing its parent packages (as ``importlib.util.find_spec`` would)."""
    first, *rest = module.split(".")
    spec: ModuleSpec | None = None
    try:
        spec = importlib.util.find_spec(first)
        name = first
        for part in rest:
            if spec is None:
                return None
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
