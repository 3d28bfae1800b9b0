"""Checks every `_target_` of a config against the signature of what it names.

Signatures are read from the source files without importing them, so a typo is reported in a
fraction of a second instead of after the seconds that importing torch takes. A signature that
cannot be found this way (compiled code, star imports) is checked by `artifacts.build` on import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segbench.config import did_you_mean
from segbench.config.signatures import Signature, signature_of
from segbench.errors import UnknownTargetError

HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
# Arguments that the builder itself passes to the targets of a section; a config may not set them.
INJECTED = {
    "model": {"num_classes", "in_channels", "class_names"},
    "loss": {"ignore_index"},
    "optimizer": {"model", "params"},
    "scheduler": {"optimizer", "total_steps"},
    "trainer": {"callbacks", "logger", "precision", "deterministic", "default_root_dir"},
    "logger": {"save_dir"},
    "inference": {"model", "classes", "mean", "std", "value_range"},
    "data": {"source", "seed", "augment", "image_fill", "ignore_index", "limits", "further"},
}
# What the builder does with every model itself: keys beside the arguments of the target.
OF_EVERY_MODEL = {"freeze": "str | None", "checkpoint_activations": "bool"}
# In addition to the arguments of its source, a data config contains those of these targets.
PIPELINE = (
    "segbench.data.datamodule.SegmentationData",
    "segbench.data.transforms.Augmentation",
)


def check_targets(
    config: Mapping[str, Any],
    injected: Mapping[str, set[str]],
    beside: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Finds every wrong argument of every `_target_` in `config`.

    Args:
        config: a resolved config as plain containers.
        injected: for a top-level key, the arguments that segbench supplies to every target below
            it; a config that sets one of them is refused.
        beside: for a top-level key, further targets whose arguments are in the same node as those
            of its `_target_` (see `PIPELINE`).

    Returns:
        One sentence per problem; empty if there is none.
    """
    problems: list[str] = []
    for section, value in config.items():
        for path, node in target_nodes(value, str(section)):
            others = (beside or {}).get(str(section), ()) if path == section else ()
            problems += check_node(path, node, injected.get(str(section), set()), others)
    return problems


def check_node(
    path: str, node: Mapping[str, Any], injected: set[str], beside: Sequence[str] = ()
) -> list[str]:
    """Finds the wrong arguments of the one `_target_` node at `path`."""
    target = str(node["_target_"])
    try:
        signature = signature_of(target)
    except UnknownTargetError as error:
        return [f"{path}._target_: {error}"]
    if signature is None:
        return []
    if beside:
        injected = injected - set(signature.parameters)  # the target's own argument has priority
    for other in filter(None, map(signature_of, beside)):
        joined = {**other.parameters, **signature.parameters}
        signature = Signature(joined, signature.is_open)
    handed = _of_each_call(path, node, signature, injected)
    known = set(signature.parameters)
    problems = []
    for key, value in node.items():
        if key in HYDRA_KEYS:
            continue
        if path.split(".")[-1] == "model" and key in OF_EVERY_MODEL and key not in known:
            of_it = ast.parse(OF_EVERY_MODEL[key], mode="eval").body
            if not matches(value, of_it):
                problems.append(f"{path}.{key}: {_expected(of_it, value)}")
            continue
        if key in injected:
            own = "run_dir" if key == "default_root_dir" else key
            problems.append(
                f"{path}.{key}: must not be set here: write {own}= without trainer"
                if path == "trainer"
                else f"{path}.{key}: must not be set here: it comes from the data set; remove it"
            )
        elif key not in known and not signature.is_open:
            hint = did_you_mean(str(key), known - injected)
            problems.append(f"{path}.{key}: {target} has no argument '{key}'{hint}")
        elif key in known and (annotation := signature.parameters[str(key)].annotation):
            is_target = isinstance(value, Mapping) and "_target_" in value
            if not is_target and value != "???" and not matches(value, annotation):
                problems.append(f"{path}.{key}: {_expected(annotation, value)}")
    for key, parameter in signature.parameters.items():
        if parameter.required and key not in node and key not in injected | handed:
            problems.append(f"{path}.{key}: {target} requires this argument, but it is not set")
    return problems


def _of_each_call(
    path: str, node: Mapping[str, Any], signature: Signature, injected: set[str]
) -> set[str]:
    """Logits and mask of a function that is a loss itself, such as `F.cross_entropy`.

    `artifacts.build` does not call it but keeps it, with the arguments that the config sets.
    """
    if not (signature.is_function and path.split(".")[0] == "loss"):
        return set()
    given = set(node) | injected
    open_ones = [k for k, p in signature.parameters.items() if p.required and k not in given]
    return set(open_ones[:2]) if len(open_ones) > 1 else set()


def matches(value: Any, annotation: ast.expr) -> bool:
    """Whether a config value fits a simple annotation; True if the annotation is not understood."""
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as text):  # a quoted annotation
            return matches(value, ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return matches(value, left) or matches(value, right)
        case ast.Name(id="int"):
            return isinstance(value, int) and not isinstance(value, bool)
        case ast.Name(id="float"):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ast.Name(id="bool"):
            return isinstance(value, bool)
        case ast.Name(id="str" | "Path"):
            return isinstance(value, str)
        case ast.Name(id="list" | "tuple" | "Sequence"):
            return isinstance(value, list)
        case ast.Name(id="dict" | "Mapping"):
            return isinstance(value, Mapping)
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _matches_generic(value, name, inner)
        case _:
            return True


def _expected(annotation: ast.expr, value: Any) -> str:
    """What was expected instead of a value.

    With a hint where YAML took a name for a number or, like `no`, for a boolean.
    """
    wanted = in_yaml(annotation)
    text = f"expected {wanted}, got {value!r}"
    if "a list of str" not in wanted or not isinstance(value, list):
        return text
    if not any(isinstance(each, bool | int | float) for each in value):
        return text
    return f'{text}; names that look like numbers, and yes, no, on, off need quotes: ["1", "no"]'


def in_yaml(annotation: ast.expr) -> str:
    """Translates an annotation to YAML terms: `[int, int] or null`."""
    match annotation:
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=str() as text):  # a quoted annotation
            return in_yaml(ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{in_yaml(left)} or {in_yaml(right)}"
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return f"{in_yaml(inner)} or null"
        case ast.Subscript(value=ast.Name(id="Union" | "Literal"), slice=ast.Tuple(elts=options)):
            return " or ".join(
                str(option.value) if isinstance(option, ast.Constant) else in_yaml(option)
                for option in options
            )
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Constant(value=option)):
            return str(option)
        case ast.Subscript(value=ast.Name(id="list" | "Sequence"), slice=inner):
            return f"a list of {in_yaml(inner)}"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=items)):
            return f"[{', '.join(map(in_yaml, items))}]"
        case _:
            return ast.unparse(annotation)


def _matches_generic(value: Any, name: str, inner: ast.expr) -> bool:
    arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match name:
        case "Optional":
            return value is None or matches(value, inner)
        case "Union":
            return any(matches(value, argument) for argument in arguments)
        case "Literal":
            return any(value == getattr(argument, "value", None) for argument in arguments)
        case "list" | "Sequence":
            return isinstance(value, list) and all(matches(item, inner) for item in value)
        case "tuple":
            if not isinstance(value, list):
                return False
            if isinstance(arguments[-1], ast.Constant) and arguments[-1].value is Ellipsis:
                return all(matches(item, arguments[0]) for item in value)
            return len(value) == len(arguments) and all(map(matches, value, arguments))
        case "dict" | "Mapping":
            return isinstance(value, Mapping) and all(
                matches(item, arguments[-1]) for item in value.values()
            )
        case _:
            return True


def target_nodes(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields every mapping with a `_target_` in `value`, with its dotted path."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for key, item in value.items():
            yield from target_nodes(item, f"{path}.{key}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from target_nodes(item, f"{path}[{position}]")
