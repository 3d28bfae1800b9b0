"""Every config key with its type, default and meaning, from schema, YAML and signatures.

The meaning of a key of a verb is the comment beside or above its field in the schema. That of a key
of a component is its entry under Args in the docstring of the target or in that of its module, or
the comment beside it in the YAML.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any

import yaml
from griffe import Docstring, DocstringSectionKind
from hydra.utils import get_object
from omegaconf import MISSING as MANDATORY

from segbench.config.signatures import Signature, signature_of
from segbench.config.targets import PIPELINE, in_yaml, target_nodes
from tools.config_files import Option, node_of, option, options

_FIELD = re.compile(r"^    (\w+): ([^#]*)(?:#\s?(.*))?$")
_SHARED = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """A key of the config.

    Attributes:
        name: dotted below the verb or the target.
        type: what it accepts.
        defaults: the default, and the options that have it; one entry if all have the same.
        meaning: one or two sentences; empty if nothing documents it.
    """

    name: str
    type: str
    defaults: Mapping[str, tuple[str, ...]]
    meaning: str


@dataclass(frozen=True)
class Target:
    """A class or function that a group builds.

    Attributes:
        name: dotted.
        options: the options that name it.
        keys: its keys in these options.
    """

    name: str
    options: tuple[Option, ...]
    keys: tuple[Key, ...] = field(default=())


@cache
def targets(group: str) -> list[Target]:
    """The targets of a group, also nested ones, in the order of their options."""
    found: dict[str, list[tuple[Option, Mapping[str, Any]]]] = {}
    for one in options(group).values():
        for _, node in target_nodes(one.values, group):
            found.setdefault(node["_target_"], []).append((one, node))
    meanings = {name: documented(name) for name in found}
    comments = {k: c for one in options(group).values() for k, c in one.comments.items()}
    return [
        Target(name, _once(o for o, _ in uses), tuple(_keys_of(name, uses, meanings, comments)))
        for name, uses in found.items()
    ]


def schema_keys(schema: type, composed: Mapping[str, Any]) -> list[Key]:
    """The top-level keys of a verb.

    Args:
        schema: the dataclass of the verb.
        composed: values of the verb's YAML, which replace the defaults of the schema.
    """
    comments = _field_comments(schema)
    return [
        Key(
            entry.name,
            _field_type(entry),
            {shown(composed.get(entry.name, _field_default(entry))): ()},
            comments.get(entry.name, ""),
        )
        for entry in fields(schema)
    ]


def is_published(one: Option) -> bool:
    """Whether an option is a published data set, which has a page of its own."""
    return bool(one.base and one.values.get("about"))


@cache
def pipeline_keys() -> list[Key]:
    """The keys that every data set has."""
    found = option("pipeline", "default")
    meanings = {target: documented(target) for target in PIPELINE}
    return [
        key
        for target in PIPELINE
        for key in _keys_of(target, [(found, found.values)], meanings, found.comments)
        if key.name in _annotations(target)
    ]


def keys_beside(verb: str, name: str) -> list[Key]:
    """The keys that the YAML of a verb sets below a group, for all its options."""
    node = node_of(verb, name)
    return [Key(k, _kind(v), {shown(v): ()}, node.comments[k]) for k, v in node.values.items()]


@cache
def documented(target: str) -> dict[str, str]:
    """What the docstring of a target says of each argument; arguments may share an entry."""
    meanings: dict[str, str] = {}
    for text in _signature(target).docs:
        for section in Docstring(text).parse("google", warnings=False):
            if section.kind is DocstringSectionKind.parameters:
                for item in section.value:
                    names = re.split(r"\s*,\s*", item.name)
                    prose = _plain(item.description)
                    is_vague = len(names) > 1 and prose.startswith("see ")
                    for name in names:
                        meanings.setdefault(name, "" if is_vague else prose)
    return _of_module(target) | meanings


def _of_module(target: str) -> dict[str, str]:
    """What the docstring of the module says of arguments that its functions share."""
    text = inspect.getdoc(importlib.import_module(target.rpartition(".")[0])) or ""
    return {match[1]: " ".join(match[2].split()) for match in _SHARED.finditer(text)}


def _keys_of(
    target: str,
    uses: list[tuple[Option, Mapping[str, Any]]],
    meanings: Mapping[str, Mapping[str, str]],
    comments: Mapping[str, str],
) -> Iterator[Key]:
    types = _annotations(target)
    foreign = {"_target_"}
    if target.startswith("segbench.data.sources."):
        foreign |= {key.name for key in pipeline_keys()} - set(types)
    names = dict.fromkeys(name for _, node in uses for name in node if name not in foreign)
    for name in names:
        defaults: dict[str, tuple[str, ...]] = {}
        for one, node in uses:
            if name in node and not is_published(one):
                text = shown(node[name])
                defaults[text] = (*defaults.get(text, ()), one.name)
        beside = [one.comments[name] for one, _ in uses if name in one.comments]
        others = {m[name] for m in meanings.values() if m.get(name)}
        agreed = others if len(others) == 1 else ()  # of another target, it may mean something else
        said = [meanings[target].get(name), *beside, *agreed, comments.get(name)]
        if len(defaults) == 1:
            defaults = dict.fromkeys(defaults, ())
        value = next(node[name] for _, node in uses if name in node)
        yield Key(
            name, types.get(name) or _kind(value), defaults, next(filter(None, said), "") or ""
        )


def _once(found: Iterable[Option]) -> tuple[Option, ...]:
    return tuple({one.name: one for one in found}.values())


def _field_comments(schema: type) -> dict[str, str]:
    """The comment of each field: beside it, or above it unless it begins with a capital letter."""
    comments: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(schema).splitlines():
        match = _FIELD.match(line)
        if match:
            beside = [match[3]] if match[3] else []
            comments[match[1]] = " ".join([*above, *beside])
            above = []
        elif line.startswith("    # "):
            heads = not above and line[6].isupper()
            above = [] if heads else [*above, line[6:]]
        else:
            above = []
    return comments


def _field_default(entry: Field[Any]) -> Any:
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return entry.default


def _field_type(entry: Field[Any]) -> str:
    if entry.metadata.get("choices"):
        return " or ".join(entry.metadata["choices"])
    known = _written(str(entry.type))
    low, high = entry.metadata.get("low"), entry.metadata.get("high")
    if low is None:
        return known
    return f"{known}, at least {low:g}" if high is None else f"{known}, {low} to {high}"


def _annotations(target: str) -> dict[str, str]:
    parameters = _signature(target).parameters.items()
    return {name: _written(ast.unparse(p.annotation)) for name, p in parameters if p.annotation}


@cache
def _signature(target: str) -> Signature:
    """The signature from source, or else, as for star imports, of what can be imported."""
    if found := signature_of(target):
        return found
    target = f"{get_object(target).__module__}.{target.rpartition('.')[2]}"
    return signature_of(target) or Signature({})


def _written(annotation: str) -> str:
    """An annotation in the words of YAML."""
    bare = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", annotation)
    bare = re.sub(r"\bPath\b", "str", bare).replace("Iterable[", "list[")
    text = in_yaml(ast.parse(bare, mode="eval").body)
    return "" if text == "Any" else text


def _kind(value: Any) -> str:
    return "" if value is None else type(value).__name__


def shown(value: Any) -> str:
    """A value as it is written on the command line or in a YAML."""
    if value is MISSING or value == MANDATORY:
        return "required"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _plain(text: str) -> str:
    """A description on one line, without the default that Lightning appends."""
    text = re.sub(r":\w+:`~?([^`<]*?)(?: <[^`]*)?`", r"`\1`", text.replace("``", "`"))
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*Defaults?(?: to|:| is) `[^`]*`\.?", "", text)
