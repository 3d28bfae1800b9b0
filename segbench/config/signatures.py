"""Reads the signature behind a dotted name from its source file, without importing it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from segbench.config import did_you_mean
from segbench.errors import UnknownTargetError


@dataclass(frozen=True)
class Parameter:
    """One parameter of a target: its annotation (None: not annotated) and if it is required."""

    annotation: ast.expr | None
    required: bool


@dataclass(frozen=True)
class Signature:
    """The parameters of a target.

    Attributes:
        parameters: the parameters by name.
        is_open: whether it takes `**kwargs`.
        is_function: whether it is a function, not a class.
        docs: the docstrings of the function, or of the class and its constructor.
    """

    parameters: Mapping[str, Parameter]
    is_open: bool = False
    is_function: bool = False
    docs: tuple[str, ...] = ()


def signature_of(target: str) -> Signature | None:
    """Reads the signature of a dotted name from source.

    Returns:
        The signature, or None if it cannot be read from source.

    Raises:
        UnknownTargetError: the module does not exist, is not valid Python, or does not define
            the name.
    """
    module, _, name = target.rpartition(".")
    if not module:
        raise UnknownTargetError(f"'{target}' is not a dotted path like package.module.Class")
    file = _module_file(module)
    if file is None:
        return None
    return _find(file, module, name)


def has_method(target: str, method: str) -> bool:
    """Whether the class behind a dotted name, or a class of its file that it inherits from, has it.

    False for what is no class, or cannot be read from source.

    Raises:
        UnknownTargetError: there is no such module.
    """
    module, _, name = target.rpartition(".")
    file = _module_file(module) if module else None
    classes = {n.name: n for n in _parse(file).body if isinstance(n, ast.ClassDef)} if file else {}
    waiting = [name]
    while waiting:
        node = classes.pop(waiting.pop(), None)
        if node is not None:
            if any(isinstance(i, ast.FunctionDef) and i.name == method for i in node.body):
                return True
            waiting += [base.id for base in node.bases if isinstance(base, ast.Name)]
    return False


def _module_file(module: str) -> Path | None:
    """The source file of a dotted module; None if it is not written in Python."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UnknownTargetError(f"there is no package '{top}'; is it installed?")
    folders = [Path(place) for place in spec.submodule_search_locations or []]
    file = Path(spec.origin) if spec.origin else None
    for depth, part in enumerate(rest, start=2):
        found = [f / part / "__init__.py" for f in folders] + [f / f"{part}.py" for f in folders]
        found = [candidate for candidate in found if candidate.is_file()]
        if not found:
            if any((folder / part).is_dir() for folder in folders):
                folders = [folder / part for folder in folders]
                file = None
                continue
            compiled = any(list(folder.glob(f"{part}.*")) for folder in folders)
            if file and (compiled or part[0].isupper()):
                return None  # a compiled module, or a class inside a module
            siblings = {p.stem for folder in folders for p in folder.glob("*") if p.stem[0] != "_"}
            parent = ".".join([top, *rest][: depth - 1])
            raise UnknownTargetError(
                f"there is no module '{part}' in '{parent}'{did_you_mean(part, siblings)}"
            )
        file = found[0]
        folders = [file.parent] if file.name == "__init__.py" else []
    return file if file and file.suffix == ".py" else None


@lru_cache(maxsize=64)
def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise UnknownTargetError(f"{file}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:  # not UTF-8, or with null bytes
        raise UnknownTargetError(f"{file}: is not Python code ({error})") from None


def _find(file: Path, module: str, name: str, depth: int = 0) -> Signature | None:
    """The signature of `name` in a source file; follows explicit re-exports."""
    tree = _parse(file)
    has_star = False
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef():
                names.add(node.name)
                if node.name == name:
                    return replace(_from_function(node, skip_first=False), is_function=True)
            case ast.ClassDef():
                names.add(node.name)
                if node.name == name:
                    found = _from_class(node, tree)
                    docs = (ast.get_docstring(node) or "",)
                    return found and replace(found, docs=docs + found.docs)
            case ast.ImportFrom():
                for alias in node.names:
                    has_star |= alias.name == "*"
                    if (alias.asname or alias.name) == name and depth < 6:
                        return _follow(file, module, node, alias.name, depth)
            case ast.Assign(targets=[ast.Name(id=assigned)]) if assigned == name:
                return None
            case ast.If() | ast.Try():
                has_star = True
    if has_star:
        return None
    raise UnknownTargetError(f"'{module}' has no '{name}'{did_you_mean(name, names)}")


def _follow(
    file: Path, module: str, node: ast.ImportFrom, name: str, depth: int
) -> Signature | None:
    source = node.module or ""
    if node.level:
        package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
        source = ".".join(package[: len(package) - node.level + 1] + ([source] if source else []))
    try:
        found = _module_file(source)
        return _find(found, source, name, depth + 1) if found else None
    except UnknownTargetError:
        return None


def _from_class(node: ast.ClassDef, tree: ast.Module) -> Signature | None:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _from_function(item, skip_first=True)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        return Signature(
            {
                f.target.id: Parameter(f.annotation, f.value is None)
                for f in fields
                if isinstance(f.target, ast.Name)
            }
        )
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    for other in tree.body:
        if isinstance(other, ast.ClassDef) and other.name in bases and other is not node:
            return _from_class(other, tree)
    return None


def _from_function(node: ast.FunctionDef, skip_first: bool) -> Signature:
    arguments = node.args
    positional = (arguments.posonlyargs + arguments.args)[1 if skip_first else 0 :]
    first_default = len(positional) - len(arguments.defaults)
    parameters = {
        argument.arg: Parameter(argument.annotation, position < first_default)
        for position, argument in enumerate(positional)
    }
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[argument.arg] = Parameter(argument.annotation, default is None)
    is_open, docs = arguments.kwarg is not None, (ast.get_docstring(node) or "",)
    return Signature(parameters, is_open, docs=docs)
