"""Which config keys take text: those that a schema or signature annotates as str or Path."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segbench.config import schema
from segbench.config.compare_schema import CompareConfig
from segbench.config.places import is_group
from segbench.config.signatures import signature_of
from segbench.config.targets import PIPELINE
from segbench.errors import UnknownTargetError

TEXT, LIST, OTHER, NULL = "text", "list of text", "list or dict of something else", "null"
_LISTS = ("list", "List", "Sequence", "Iterable", "tuple", "Tuple")
_DICTS = ("dict", "Dict", "Mapping")
Kinds = frozenset[str]
NEITHER: Kinds = frozenset()


def kinds_of(annotation: ast.expr | None) -> Kinds:
    """The kinds of values an annotation takes, if text or a list of text is among them; else none.

    `str | None` takes TEXT and NULL. An annotation that also takes numbers (`int | str`) returns
    none, because `1` is a number there.
    """
    found = _kinds(annotation)
    return found if found & {TEXT, LIST} else NEITHER


def _kinds(annotation: ast.expr | None) -> Kinds:
    match annotation:
        case ast.Constant(value=None):
            return frozenset({NULL})
        case ast.Constant(value=str() as text):  # a quoted annotation
            return _kinds(ast.parse(text, mode="eval").body)
        case ast.Name(id="str" | "Path") | ast.Attribute(attr="Path" | "PathLike"):
            return frozenset({TEXT})
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _any_of([left, right])
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _any_of([inner, ast.Constant(value=None)])
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=options)):
            return _any_of(options)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            options = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            words = all(isinstance(getattr(o, "value", None), str | None) for o in options)
            return frozenset({TEXT, NULL}) if words else NEITHER
        case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in _LISTS:
            item = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
            return frozenset({LIST if _kinds(item) == {TEXT} else OTHER})
        case ast.Subscript(value=ast.Name(id=name)) if name in _DICTS:
            return frozenset({OTHER})
        case ast.Name(id=name) if name in (*_LISTS, *_DICTS):
            return frozenset({OTHER})
        case _:
            return NEITHER


def _any_of(options: list[ast.expr]) -> Kinds:
    found = [_kinds(option) for option in options]
    return frozenset().union(*found) if all(found) else NEITHER


def kinds_at(
    key: str, schema: type, values: Mapping[str, Any], beside: Mapping[str, Sequence[str]]
) -> Kinds:
    """The kinds of values that a key of a composed config takes.

    Args:
        key: a dotted key such as `data.root`.
        schema: the dataclass of the top level.
        values: the config as plain containers, unresolved.
        beside: for a top-level key, further targets whose arguments are in the same node as those
            of its `_target_`.
    """
    parts = key.split(".")
    if len(parts) == 1:
        return kinds_of(field_annotations(schema).get(key))
    node: Any = values
    for depth, part in enumerate(parts[:-1], start=1):
        node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping) and "_target_" in node:
            targets = [str(node["_target_"]), *beside.get(part, ())]
            found = [_of_parameter(target, parts[depth:]) for target in targets]
            return next((kinds for kinds in found if kinds), NEITHER)
    return NEITHER


def field_annotations(schema: type) -> dict[str, ast.expr]:
    """The annotation of each field of a dataclass."""
    return {f.name: ast.parse(str(f.type), mode="eval").body for f in fields(schema)}


def _of_parameter(target: str, parts: list[str]) -> Kinds:
    """The kinds that a parameter takes, or an entry of a parameter that is a dict of text."""
    try:
        signature = signature_of(target)
    except UnknownTargetError:
        return NEITHER
    parameter = signature.parameters.get(parts[0]) if signature else None
    if parameter is None:
        return NEITHER
    if len(parts) == 1:
        return kinds_of(parameter.annotation)
    return _of_entry(parameter.annotation) if len(parts) == 2 else NEITHER


def _of_entry(annotation: ast.expr | None) -> Kinds:
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _of_entry(left) or _of_entry(right)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[_, item])) if (
            name in _DICTS
        ):
            return kinds_of(item)
        case _:
            return NEITHER


def _schema_of(config_name: str) -> type:
    return schema.SCHEMAS.get(config_name, schema.TrainConfig)  # a study is a training


def kinds_of_verb(config_name: str) -> Callable[[str], Kinds]:
    """The kinds of values that top-level keys and config groups take."""

    def kinds(key: str) -> Kinds:
        if is_group(key):
            return frozenset({TEXT, LIST})
        return kinds_at(key, _schema_of(config_name), {}, {})

    return kinds


def kinds_of_config(config_name: str, config: DictConfig) -> Callable[[str], Kinds]:
    """The kinds of values that all keys take, once the targets are known."""
    of_verb = kinds_of_verb(config_name)
    config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    values: Any = OmegaConf.to_container(config, resolve=False)

    def kinds(key: str) -> Kinds:
        head, _, rest = key.partition(".")
        if head == "compare" and rest:
            return kinds_at(rest, CompareConfig, {}, {})
        if not rest or head == "hydra":
            return of_verb(key)
        return kinds_at(key, _schema_of(config_name), values, {"data": PIPELINE})

    return kinds
