"""Turns layers of nested values into typed settings, for :mod:`benchmark.settings.config`."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from math import isfinite
from typing import Any

from benchmark.errors import BenchmarkError, UsageError
from benchmark.plugins import registry
from benchmark.plumbing.names import control_in
from benchmark.settings.ranges import MOST_BITS, has_huge, in_words, is_list

if typing.TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


DefaultNames = Callable[[Mapping[str, Sequence[str]], registry.Plugins], Sequence[str]]


@dataclass(frozen=True)
class Plugin:
    """A chosen plugin: its name and an instance of its ``Config``."""

    name: str
    config: Any = None


PLAIN_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""A number as everybody reads it."""


class Choice:
    """The choice of one plugin field so far, as layers are read."""

    def __init__(self, key: str, each: dataclasses.Field[Any]) -> None:
        self.key, self.kind, self.many = key, each.metadata["kind"], bool(each.metadata.get("many"))
        self.names: list[str] = list(each.metadata.get("default", ()))
        self.default_names: DefaultNames | None = each.metadata.get("default_names")
        self.types: dict[str, Any] = {}

    def choose(self, value: Any, where: str) -> dict[str, Any]:
        """Take one layer's value; returns the options in it, by plugin name."""
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")] if self.many else {"name": value}
        if self.many and isinstance(value, list):
            if twice := [name for place, name in enumerate(value) if name in value[:place]]:
                raise UsageError(f"{self.key}{where} names {twice[0]} twice.")
            value = dict.fromkeys(map(str, value))
        if not isinstance(value, dict):
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise UsageError(f"{self.key}{where} must be the name of {article} {self.kind}, not {value!r}.")
        if self.many:
            options = {registry.normalise(str(name)): each or {} for name, each in value.items()}
            self.names = list(options)
            return {name: each for name, each in options.items() if each}
        options = {str(name): each for name, each in value.items()}
        if "name" in options:
            self.names = [registry.normalise(str(options.pop("name")))]
        # Options given before any plugin was named are for the one that is finally chosen.
        return {self.names[0] if self.names else "": options}

    def groups(self) -> dict[str, str]:
        """The chosen names by their place in the tree ("algo", "metrics.per")."""
        return {f"{self.key}.{name}" if self.many else self.key: name for name in self.names}

    def find(self, found: registry.Plugins) -> list[registry.PluginInfo]:
        """The chosen plugins, not imported, so that a wrong name is refused before anything slow happens."""
        if not self.names and not self.many:
            every = ", ".join(registry.find(self.kind, found))
            raise UsageError(f"No {self.kind} is chosen: give --{self.key} NAME, where NAME is one of {every}.")
        return [registry.get(self.kind, name, found) for name in self.names]

    def load(self, infos: Iterable[registry.PluginInfo]) -> None:
        """Import the chosen plugins and keep their Config types."""
        for info in infos:
            name = info.name
            self.types[name] = getattr(registry.load_info(info), "Config", None)
            if not dataclasses.is_dataclass(self.types[name]):
                raise BenchmarkError(f"The {self.kind} in {info.where} must have a dataclass called Config.")
            if not self.many and "name" in {each.name for each in dataclasses.fields(self.types[name])}:
                raise BenchmarkError(f"Config in {info.where} can't have a field called 'name': rename it.")


class Reader:
    """Reads layers of values into one settings type."""

    def __init__(self, settings_type: Any, found: registry.Plugins = (), also: Iterable[str] = ()) -> None:
        self.type, self.found, self.also = settings_type, found, [name.lstrip("-") for name in also]
        self.choices = {key: Choice(key, each) for key, each in plugin_fields(settings_type)}
        self.leaves: dict[str, Any] = {}

    def read(self, layers: Sequence[tuple[str, Mapping[str, Any]]], pairs: Sequence[tuple[str, str]]) -> Any:
        """Settings from layers of (place, nested values) and the command line's pairs; later ones override earlier ones."""
        layers = [(where, self._lifted(layer)) for where, layer in layers]
        options = [self._choose(layer, where) for where, layer in layers]
        for key, value in pairs:
            if key in self.choices:
                self.choices[key].choose(value, "")
        items = [item for _, layer in layers for item in layer.items()]
        said: dict[str, tuple[str, ...]] = {key: (str(value),) for key, value in [*items, *pairs]}
        for choice in self.choices.values():
            if choice.default_names and not choice.names:
                every = said | {key: tuple(other.names) for key, other in self.choices.items()}
                choice.names = list(choice.default_names(every, self.found))
        found = {key: choice.find(self.found) for key, choice in self.choices.items()}
        for key, choice in self.choices.items():
            choice.load(found[key])
        parser = self._parser()
        values: Namespace | None = None
        for (where, layer), chosen in zip(layers, options, strict=True):
            plain = {key: value for key, value in layer.items() if not self._choice_of(key)}
            tree = plain | {key: each for key, each in self._current(chosen).items() if each}
            flat = dict(self._flatten(tree, where))
            values = self._checked(partial(parser.parse_object, _nest(flat), values), flat, where)
        given = {key: value for key, value in pairs if key not in self.choices}
        for key in given:
            self._require_known(key, "")
            if wrong := _no_plain_number(self.leaves[key], given[key]):
                raise UsageError(f"--{key} must be {in_words(self.leaves[key])}, not {given[key]!r}: write {wrong} as a plain number.")
        words = [f"--{key}={_as_list(value) if is_list(self.leaves[key]) else value}" for key, value in given.items()]
        values = self._checked(partial(parser.parse_args, words, values), given, "")
        return self._build(values.as_dict())

    def _lifted(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """A layer whose groups have handed up the plugins chosen in them: {"pretrain": {"dataset": x}} is {"pretrain.dataset": x}."""
        result = dict(layer)
        for key in self.choices:
            group, dot, name = key.partition(".")
            if dot and isinstance(inside := result.get(group), Mapping) and name in inside:
                result |= {group: {other: value for other, value in inside.items() if other != name}, key: inside[name]}
        return result

    def _choice_of(self, key: str) -> str:
        """The plugin field that a key sets, or sets an option of; "" if there is none."""
        return next((field for field in self.choices if key == field or key.startswith(f"{field}.")), "")

    def _choose(self, layer: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
        """The options for plugins in one layer: field → plugin name → options."""
        options = {key: choice.choose(layer[key], where) for key, choice in self.choices.items() if key in layer}
        for key, value in layer.items():
            field = self._choice_of(key)
            if field and field != key:
                options.setdefault(field, {})[key[len(field) + 1 :]] = value
        return options

    def _current(self, chosen: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """One layer's options for the finally chosen plugins, as nested in the settings tree."""
        result: dict[str, Any] = {}
        for key, options in chosen.items():
            choice = self.choices[key]
            kept = {name: each for name, each in options.items() if name in (*choice.names, "")}
            result[key] = kept if choice.many else next(iter(kept.values()), {})
        return result

    def _parser(self) -> ArgumentParser:
        from jsonargparse import ArgumentParser

        parser = ArgumentParser(exit_on_error=False, add_help=False, default_env=False)
        nested: dict[str, set[int | str]] = {}
        for key in self.choices:
            group, _, name = key.rpartition(".")
            nested.setdefault(group, set()).add(name)
        own = nested.pop("", set())
        parser.add_class_arguments(self.type, None, skip={*own, *nested}, instantiate=False)
        for group, names in nested.items():
            parser.add_class_arguments(typing.get_type_hints(self.type)[group], group, skip=names, instantiate=False)
        self.leaves = dict(_leaves(self.type, "", skip=self.choices))
        for choice in self.choices.values():
            for group, name in choice.groups().items():
                parser.add_class_arguments(choice.types[name], group, instantiate=False)
                self.leaves |= dict(_leaves(choice.types[name], f"{group}."))
        return parser

    def _flatten(self, tree: Mapping[str, Any], where: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """(dotted key, value) of every leaf.

        Raises:
            UsageError: the key is unknown, or a group was given a plain value.
        """
        for name, value in tree.items():
            key = f"{prefix}{name}"
            group = key in self.choices or any(each.startswith(f"{key}.") for each in self.leaves)
            if group and isinstance(value, Mapping):
                yield from self._flatten(value, where, f"{key}.")
            elif group:
                raise UsageError(f"{key}{where} must be a group of settings ('{key}: {{...}}'), not {value!r}.")
            else:
                self._require_known(key, where)
                yield key, _as_list(value) if is_list(self.leaves[key]) else value

    def _require_known(self, key: str, where: str) -> None:
        """Refuse a key that is not a leaf of the tree, and suggest the one that was probably meant."""
        if key in self.leaves:
            return
        dash = "" if where else "--"
        below = [leaf for leaf in self.leaves if leaf.startswith(f"{key}.")]
        if below:
            raise UsageError(f"{dash}{key} is a group of settings: give one of {dash}{f', {dash}'.join(below)}.")
        groups = {group: name for choice in self.choices.values() for group, name in choice.groups().items()}
        group = next((each for each in groups if key.startswith(f"{each}.")), "")
        if group:
            keys = [leaf for leaf in self.leaves if leaf.startswith(f"{group}.")]
            own = get_close_matches(key[len(group) + 1 :], [leaf[len(group) + 1 :] for leaf in keys], n=1, cutoff=0.6)
            of, near = f" of {groups[group]}", [f"{group}.{name}" for name in own]
        else:
            own = [leaf for leaf in self.leaves if not any(leaf.startswith(f"{each}.") for each in groups)]
            keys, of = [*self.choices, *own, *([] if where else [*self.also, "config"])], ""
            near = get_close_matches(key, [*keys, *self.leaves], n=1, cutoff=0.7)
            near = near or [leaf for leaf in self.leaves if leaf.rpartition(".")[2] == key.rpartition(".")[2]]
        hint = f"; did you mean '{dash}{near[0]}'?" if near else f". There are: {', '.join(keys) or 'none'}."
        raise UsageError(f"There is no setting '{dash}{key}'{of}{where}{hint}")

    def _checked(self, read: Callable[[], Namespace], given: Mapping[str, Any], where: str) -> Namespace:
        """Let jsonargparse read; its error about a wrong value becomes one sentence."""
        from argparse import ArgumentError

        try:
            return read()
        except ArgumentError as error:
            found = re.search(r'[Kk]ey "([^"]+)"', str(error)) or re.search(r"'([^']+)'", str(error))
            key = found.group(1) if found else ""
            dash = "" if where else "--"
            if key in given:
                expected = in_words(self.leaves[key])
                raise UsageError(f"{dash}{key}{where} must be {expected}, not {given[key]!r}.") from error
            if key in self.leaves:
                raise UsageError(f"The setting {key} has no value: give --{key} {in_words(self.leaves[key])}.") from error
            raise UsageError(f"Settings{where} can't be read: {' '.join(str(error).split())}.") from error
        except OverflowError as error:
            raise UsageError(f"A number{where or ' on the command line'} is too large; give a smaller one.") from error

    def _build(self, values: dict[str, Any]) -> Any:
        parts: dict[str, Any] = {}
        for key, choice in self.choices.items():
            group, _, name = key.rpartition(".")
            below = (values[group] if group else values).pop(name, None) or {}
            made = []
            for name in choice.names:
                group = f"{key}.{name}" if choice.many else key
                options = (below.get(name) or {}) if choice.many else below
                made.append(Plugin(name, _construct(choice.types[name], options, group, {})))
            parts[key] = tuple(made) if choice.many else made[0]
        return _construct(self.type, values, "", parts)


def plugin_fields(settings_type: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """The fields that choose plugins, by dotted key, those in groups of settings included."""
    hints = typing.get_type_hints(settings_type)
    for each in dataclasses.fields(settings_type):
        key = f"{prefix}{each.name}"
        if "kind" in each.metadata:
            yield key, each
        elif dataclasses.is_dataclass(hints[each.name]):
            yield from plugin_fields(hints[each.name], f"{key}.")


def _construct(kind: Any, values: Mapping[str, Any], group: str, parts: Mapping[str, Any]) -> Any:
    """An instance of a settings dataclass; an error of its ``__post_init__`` becomes one sentence."""
    hints = typing.get_type_hints(kind)
    filled = {name: part for name, part in parts.items() if "." not in name}
    for name, value in values.items():
        key = f"{group}.{name}".strip(".")
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            inside = {inner.removeprefix(f"{name}."): part for inner, part in parts.items() if inner.startswith(f"{name}.")}
            value = _construct(hints[name], value, key, inside)
        if has_huge(value):
            raise UsageError(f"{key} must be a whole number of at most {MOST_BITS} bits.")
        if hints[name] is float and isinstance(value, int):
            value = float(value)
        elif typing.get_origin(hints[name]) is tuple and isinstance(value, list):
            value = tuple(value)
        texts = value if isinstance(value, tuple) else [value]
        if any(isinstance(each, str) and control_in(each) for each in texts):
            raise UsageError(f"{key} must be text on one line, not {value!r}.")
        numbers = value if is_list(hints[name]) else [value]
        if any(isinstance(each, float) and not isfinite(each) for each in numbers):
            raise UsageError(f"{key} must be a finite number, not {value}.")
        filled[name] = value
    try:
        return kind(**filled)
    except ValueError as error:
        message = str(error).rstrip(".")
        joint = "." if message.partition(" ")[0] in hints else ": "
        raise UsageError(f"{group}{joint if group else ''}{message}.") from error


def _leaves(kind: Any, prefix: str, skip: Iterable[str] = ()) -> Iterator[tuple[str, Any]]:
    """(dotted key, type) of every field that is not itself a settings dataclass."""
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        if f"{prefix}{each.name}" in skip or not each.init:
            continue
        if dataclasses.is_dataclass(hints[each.name]):
            yield from _leaves(hints[each.name], f"{prefix}{each.name}.", skip)
        else:
            yield f"{prefix}{each.name}", hints[each.name]


def _no_plain_number(kind: Any, text: str) -> str:
    """A number that YAML would read and nobody would mean: 1_0 (10), 010 (8), 1:30 (90), digits of other scripts; "" if there is none."""
    parts = text.strip().removeprefix("[").removesuffix("]").split(",") if is_list(kind) else [text]
    if in_words(kind).rpartition("each item ")[2] not in ("a whole number", "a number"):
        return ""
    return next((part for part in map(str.strip, parts) if any(map(str.isnumeric, part)) and not PLAIN_NUMBER.fullmatch(part)), "")


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = key.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return tree


def _as_list(value: Any) -> Any:
    """A value as a list, also if it is written ``5,10`` or ``5``."""
    if isinstance(value, str):
        return value if value.lstrip().startswith("[") else f"[{value}]"
    return list(value) if isinstance(value, list | tuple) else [value]
