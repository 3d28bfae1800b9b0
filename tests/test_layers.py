"""Imports run downward only; this reads every import of the package from its source.

verbs > publication > comparison | explanation | cost > training | evaluation > artifacts
      > inference > metrics | data | models | losses > config
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "segbench").rglob("*.py"))
# Used by all folders: these import nothing of segbench but each other.
NEUTRAL = {"errors", "system"}
VERBS = [
    f for f in FILES if f.parent.name == "segbench" and f.name[0] != "_" and f.stem not in NEUTRAL
]
MAX_LINES = 300
TRAINING = "segbench.training"

# What a layer may import of segbench, besides itself.
GROUND = {"data", "models", "losses", "metrics", "inference"}
MAY_IMPORT: dict[str, set[str]] = {
    **{module: set() for module in NEUTRAL},
    "api": {"train", "evaluate", "compare", "config", "artifacts"},
    "config": set(),
    "data": set(),
    "models": set(),
    "losses": set(),
    "metrics": {"data.classes", "data.sources.cityscapes_labels"},
    "inference": {
        "data.bands",
        "data.extras",
        "data.pixels",
        "data.volumes",
        "data.classes",
        "data.decoding",
        "data.folders",
        "data.lettering",
        "data.tiff",
    },
    "artifacts": {"config"} | GROUND,
    "training": {"config", "artifacts"} | GROUND,
    "evaluation": {"config", "artifacts"} | GROUND,
    "cost": {"config", "artifacts", "training"} | GROUND,
    "explanation": {"config", "artifacts"} | GROUND,
    "comparison": {"config", "artifacts", "data.classes", "metrics"},
    "publication": {"artifacts", "comparison"},
}
# Slow imports: verbs load them only after the config is checked.
HEAVY = {
    "albumentations",
    "cv2",
    "matplotlib",
    "numpy",
    "PIL",
    "pytorch_lightning",
    "scipy",
    "segmentation_models_pytorch",
    "sklearn",
    "tifffile",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
    "wandb",
}


class Import(NamedTuple):
    """One imported module, whether at module level, and its line."""

    module: str
    at_top: bool
    line: int


def _name(file: Path) -> str:
    """`training/task.py` for a file of the package."""
    return file.relative_to(ROOT / "segbench").as_posix()


@cache
def imports_of(file: Path) -> tuple[Import, ...]:
    """Every import of a file; `from a import b` counts as `a.b`, which may be a module."""
    return tuple(_imports(ast.parse(file.read_text(encoding="utf-8")), at_top=True))


def _imports(node: ast.AST, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, at_top, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import; write it in full"
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", at_top, child.lineno)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(child, at_top=False)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _imports(child, at_top and not inside)


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_imports_run_downward(file: Path) -> None:
    layer = _name(file).split("/")[0].removesuffix(".py")
    if layer not in MAY_IMPORT:
        return  # a verb, which may import everything
    own = {layer} if _name(file) != "data/classes.py" else set()
    wrong = []
    for found in imports_of(file):
        inside = found.module.removeprefix("segbench.")
        if inside == found.module or any(_is_below(inside, module) for module in NEUTRAL):
            continue
        if layer == "training" and inside.startswith("models.weights"):
            continue  # copies weights into any network; it builds none
        if not any(_is_below(inside, allowed) for allowed in MAY_IMPORT[layer] | own):
            wrong.append(f"line {found.line}: {found.module}")
    allowed = ", ".join(sorted(MAY_IMPORT[layer])) or "nothing"
    assert not wrong, f"{_name(file)}: {layer} may import {allowed} of segbench, not {wrong}"


def test_all_layers_are_known() -> None:
    folders = {f.parent.name for f in FILES if f.parent.parent.name == "segbench"}
    assert folders | NEUTRAL == set(MAY_IMPORT)


def test_the_root_lists_the_verbs() -> None:
    no_verbs = [_name(f) for f in VERBS if '__name__ == "__main__"' not in f.read_text("utf-8")]
    assert not no_verbs, f"{no_verbs}: a file of the root is a command; give it a room"


def test_of_the_verbs_only_train_imports_training() -> None:
    found = {_name(f) for f in VERBS for i in imports_of(f) if _is_below(i.module, TRAINING)}
    assert found == {"train.py"}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("hydra", ("config/", "artifacts/build.py")),
        ("omegaconf", ("config/", "artifacts/build.py")),
        ("wandb", ("training/tracking.py",)),
        ("pytorch_lightning", ("training/", "data/datamodule.py")),
        ("lightning", ()),
    ],
)
def test_libraries_stay_where_they_belong(library: str, allowed: tuple[str, ...]) -> None:
    wrong = [
        f"{_name(file)}, line {found.line}"
        for file in FILES
        if file not in VERBS and not _name(file).startswith(allowed or "-")
        for found in imports_of(file)
        if _is_below(found.module, library)
    ]
    assert not wrong, f"{library} is imported in {wrong}; only verbs and {allowed} may"


def _loaded_at_import(file: Path, seen: set[Path] | None = None) -> dict[str, str]:
    """Heavy packages imported when a file is imported, with the chain of imports."""
    seen = seen if seen is not None else set()
    seen.add(file)
    heavy: dict[str, str] = {}
    for found in imports_of(file):
        if not found.at_top:
            continue
        top = found.module.split(".")[0]
        if top in HEAVY:
            heavy[top] = _name(file)
        for candidate in _sources(found.module):
            if candidate not in seen:
                for package, way in _loaded_at_import(candidate, seen).items():
                    heavy.setdefault(package, f"{_name(file)} > {way}")
    return heavy


def _sources(module: str) -> list[Path]:
    """The files of segbench that run when a dotted name is imported."""
    parts = module.split(".")
    stems = [ROOT.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
    places = [place for s in stems for place in (s.with_suffix(".py"), s / "__init__.py")]
    return [place for place in places if parts[0] == "segbench" and place.is_file()]


@pytest.mark.parametrize("file", VERBS, ids=_name)
def test_a_verb_starts_without_heavy_imports(file: Path) -> None:
    heavy = _loaded_at_import(file)
    assert not heavy, (
        f"importing {_name(file)} imports {heavy}; import them inside functions, "
        "so that --help and config errors come at once"
    )


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_files_are_short_and_named_for_what_they_hold(file: Path) -> None:
    assert not {file.stem, *file.parent.parts} & {"utils", "util", "common", "helpers", "base"}, (
        f"{_name(file)}: name it after what it holds"
    )
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{_name(file)} has {lines} lines; split it ({MAX_LINES} at most)"


@pytest.mark.parametrize("file", [f for f in FILES if f.name == "__init__.py"], ids=_name)
def test_no_init_re_exports(file: Path) -> None:
    found = [found.module for found in imports_of(file) if found.at_top]
    re_exports = [
        module
        for module in found
        if module.split(".")[0] == "segbench" and module.split(".")[1] not in NEUTRAL
    ]
    assert not re_exports, f"{_name(file)} re-exports {re_exports}; import from where it is defined"


def test_no_root_module_hides_a_standard_one() -> None:
    import sys

    assert not {file.stem for file in VERBS} & sys.stdlib_module_names
