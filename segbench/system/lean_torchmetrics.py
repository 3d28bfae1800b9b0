"""Imports torchmetrics without what only its metrics of text and audio need.

If transformers and SciPy are installed, `import torchmetrics` imports much of both, a fifth of the
CPU time of all imports of a training. Lightning imports torchmetrics, so this module must be
imported before Lightning. SciPy remains available to the metrics that use it later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from typing import Any

from lightning_utilities.core import imports

_NOT_NEEDED = ("transformers", "scipy")


@contextmanager
def _seemingly_absent() -> Iterator[None]:
    """Lets the checks of optional packages, on import of torchmetrics, not find some of them.

    If lightning_utilities checks in another way some day, everything is found and imported.
    """
    names = ("_version", "package_available")
    before: dict[str, Any] = {name: getattr(imports, name, None) for name in names}
    if None in before.values():
        yield
        return

    def version(name: str) -> str:
        if name in _NOT_NEEDED:
            raise PackageNotFoundError(name)
        return str(before["_version"](name))

    def package_available(name: str) -> bool:
        return name not in _NOT_NEEDED and bool(before["package_available"](name))

    replaced: dict[str, Any] = {"_version": version, "package_available": package_available}
    try:
        vars(imports).update(replaced)
        yield
    finally:
        vars(imports).update(before)


def _ask_again() -> None:
    """Lets torchmetrics look for SciPy again when a metric needs it."""
    from torchmetrics.utilities import imports as known

    for requirement in vars(known).values():
        if str(getattr(requirement, "requirement", "")).startswith("scipy"):
            vars(requirement).pop("available", None)


with _seemingly_absent():
    from torchmetrics import Metric

_ask_again()

__all__ = ["Metric"]
