"""Settings: frozen dataclasses, filled from preset < tuned values < ``--config`` file < command line, and written back as YAML.

A command's settings are a tree of dataclasses. Fields declared with :func:`plugin` or :func:`plugins` choose plugins,
whose own ``Config`` fields then join the tree:

    @dataclass(frozen=True, kw_only=True)
    class RunSettings:
        algo: Plugin = plugin("algorithm")                              # required
        backbone: Plugin = plugin("backbone", "fastspeech2")
        metrics: tuple[Plugin, ...] = plugins("metric", ("mcd", "pesq"))
        preset: str = "small"                                           # a field of this name enables presets
        shots: tuple[int, ...] = (5, 10)
        pretrain: PretrainSettings = field(default_factory=PretrainSettings)

    settings = parse(RunSettings, ["--algo", "reptile", "--algo.inner_lr", "0.01", "--shots", "5,10"])
    settings.algo.name, settings.algo.config.inner_lr, settings.pretrain.steps

In YAML that is ``algo: reptile`` or ``algo: {name: reptile, inner_lr: 0.01}``, ``metrics: [mcd, pesq]`` or
``metrics: {mcd: {}, per: {epochs: 3}}``; ``metrics.per: {epochs: 3}`` sets an option of per without choosing it, for runs
that choose it. Choosing another plugin drops the options of the one before. A value out of range is a ``ValueError`` whose
message starts with the field's name ("inner_lr must be above 0, not -1"), from :class:`benchmark.settings.ranges.Checked`
or the dataclass's own ``__post_init__``.

jsonargparse reads and checks the values; this module collects its input and turns its errors into one sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, TypeVar, cast

from benchmark.errors import UsageError
from benchmark.plugins import registry
from benchmark.plumbing.files import is_file, is_there
from benchmark.problems import PROBLEMS
from benchmark.settings.ranges import MOST_BITS, has_huge
from benchmark.settings.reader import DefaultNames, Plugin, Reader, plugin_fields

__all__ = [
    "Plugin", "flat", "from_dict", "later", "parse", "plain", "plugin", "plugins", "presets", "read_preset", "read_yaml", "said", "to_dict",
    "to_yaml",
]  # fmt: skip

PRESETS = Path(__file__).resolve().parent / "presets"
MOST_BYTES, MOST_NESTED = 100_000, 20
"""Limits of a config file."""
S = TypeVar("S")


def plugin(kind: str, default: str | None = None) -> Any:
    """A settings field that chooses one plugin; required if there is no default name."""
    if default is None:
        return field(metadata={"kind": kind})
    return field(default=Plugin(default), metadata={"kind": kind, "default": (default,)})


def plugins(kind: str, default: Sequence[str] | DefaultNames) -> Any:
    """A settings field that chooses any number of plugins, in the order given.

    Args:
        kind: of plugin.
        default: names, or a function that returns them from what is given for the other fields, by field (plugins' names, and the
            text of each value that is not a default), and the plugin files.
    """
    if callable(default):
        return field(default=(), metadata={"kind": kind, "default_names": default, "many": True})
    metadata = {"kind": kind, "default": tuple(default), "many": True}
    return field(default=tuple(Plugin(name) for name in default), metadata=metadata)


def later(default: Any) -> Any:
    """A settings field that came later: with its default it is left out of :func:`to_dict`, so that runs keep the names that they had."""
    return field(default=default, metadata={"later": True})


def parse(
    settings_type: type[S],
    arguments: Sequence[str],
    plugins: registry.Plugins = (),
    also: Iterable[str] = (),
    over_preset: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> S:
    """Settings from the command line over ``--config FILE`` over ``--preset NAME``.

    Args:
        settings_type: the dataclass.
        arguments: ``--key value`` or ``--key=value``; ``--flag`` alone is true; dashes in keys stand for underscores.
        plugins: ``--plugin`` files.
        also: options that the command takes itself, for suggestions.
        over_preset: more layers, directly above the preset: the place of each (" in FILE", for errors) and its values.

    Raises:
        UsageError: an unknown key, plugin or preset, a wrong type or a value out of range; broken YAML.
    """
    names = {each.name: each for each in dataclasses.fields(cast(Any, settings_type))}
    pairs = list(_pairs(arguments, {"config", "preset", *(key for key, _ in plugin_fields(settings_type))}))
    given = dict(pairs)
    files = [value for key, value in pairs if key == "config"]
    layers: list[tuple[str, Mapping[str, Any]]] = [(f" in {path}", read_yaml(Path(path))) for path in files]
    if "preset" in names:
        chosen = [str(layer["preset"]) for _, layer in layers if "preset" in layer]
        preset = given.get("preset", chosen[-1] if chosen else names["preset"].default)
        layers = [(f" in preset {preset}", read_preset(str(preset))), *over_preset, *layers]
    pairs = [pair for pair in pairs if pair[0] != "config"]
    return cast(S, Reader(settings_type, plugins, also).read(layers, pairs))


def from_dict(settings_type: type[S], values: Mapping[str, Any], where: str, plugins: registry.Plugins = ()) -> S:
    """Settings from the output of :func:`to_dict`, without a preset below them.

    Args:
        settings_type: the dataclass.
        values: nested mapping.
        where: the file they come from, for errors.
        plugins: ``--plugin`` files.
    """
    return cast(S, Reader(settings_type, plugins).read([(f" in {where}", values)], []))


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as nested mappings of plain values, including every plugin's options.

    An empty list of plugins is left out, and so is a field that came later and has its default (:func:`later`).
    """
    result: dict[str, Any] = {}
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if (each.metadata.get("many") and not value) or (each.metadata.get("later") and value == each.default):
            continue
        if each.metadata.get("many"):
            result[each.name] = {chosen.name: plain(chosen.config) or {} for chosen in value}
        elif "kind" in each.metadata:
            result[each.name] = {"name": value.name} | (plain(value.config) or {})
        elif dataclasses.is_dataclass(value):
            result[each.name] = to_dict(value)
        else:
            result[each.name] = plain(value)
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by the names of the command line, "algo.inner_lr"; groups that hold nothing are left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def to_yaml(settings: Any) -> str:
    """The settings as YAML that ``--config`` reads back to the same settings."""
    import yaml

    return str(yaml.safe_dump(to_dict(settings), sort_keys=False, allow_unicode=True))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping.

    Raises:
        UsageError: it is missing, too long, not YAML or more than settings need (the message names the line), or not a mapping.
    """
    import yaml

    if is_there(path) and not (is_file(path) or path.is_dir()):  # reading from a pipe or a device might never end
        raise UsageError(f"Config file {path} can't be read: it is no file.")
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"Config file {path} is longer than {MOST_BYTES} bytes; settings take less.")
        text = content.decode("utf-8-sig")
        _refuse_bombs(path, text)
        value = yaml.safe_load(text)
        if has_huge(value):  # errors could not even print it
            raise UsageError(f"Config file {path} holds a whole number of more than {MOST_BITS} bits; settings take smaller ones.")
    except OSError as error:
        raise UsageError(f"Config file {path} can't be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UsageError(f"Config file {path} is not valid YAML: {line}{problem or 'unexpected character'}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"Config file {path} is not UTF-8 text.") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:  # of dates, tags and numbers that are none
        raise UsageError(f"Config file {path} holds a value that can't be read: {error}.") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"Config file {path} must hold 'key: value' lines, not a {type(value).__name__}.")
    return {str(key): each for key, each in value.items()}


def _refuse_bombs(path: Path, text: str) -> None:
    """Refuse aliases, by which a short file stands for an endless one, and deep nesting, before anything is built from the file."""
    import yaml

    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        where = f"Config file {path}, line {event.start_mark.line + 1 if event.start_mark else 0}"
        if isinstance(event, yaml.AliasEvent):
            raise UsageError(f"{where}, refers to another value by '*{str(event.anchor)[:40]}'; write the value there.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_NESTED:
            raise UsageError(f"{where}, nests values more than {MOST_NESTED} deep; settings take fewer levels.")


def presets() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str, problem: str = "") -> dict[str, Any]:
    """A preset's mapping; with a problem, what the preset says for that problem alone, under its name.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in presets():
        raise UsageError(f"There is no preset called '{name}'{registry.suggest(name, presets())}")
    every = read_yaml(PRESETS / f"{name}.yaml")
    parts = {each: every.pop(each, {}) for each in PROBLEMS}
    return parts[problem] if problem else every


def _pairs(arguments: Sequence[str], valued: Collection[str]) -> Iterator[tuple[str, str]]:
    """Option keys and their values, as text; keys not in ``valued`` may be flags."""
    queue = list(arguments)
    while queue:
        token = queue.pop(0)
        if not token.startswith("--") or token == "--":
            raise UsageError(f"Unexpected argument '{token}': write options as --key value, with commas between values, --steps 0,5,20.")
        key, equals, value = token[2:].partition("=")
        key = key.replace("-", "_")
        if not equals:
            if key in valued and (not queue or queue[0].startswith("--")):
                raise UsageError(f"--{key} needs a value: --{key} {'FILE' if key == 'config' else 'NAME'}.")
            value = queue.pop(0) if queue and not queue[0].startswith("--") else "true"
        yield key, value


def said(values: Mapping[str, Any]) -> str:
    """Values as options, "inner_lr=0.2 groups=decoder,output"."""
    each = {name: plain(value) for name, value in values.items()}
    return " ".join(f"{name}={(','.join(map(str, value)) or '[]') if isinstance(value, list) else value}" for name, value in each.items())


def plain(value: Any) -> Any:
    """Plain values that YAML and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value) if each.init}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, PurePath) else value
