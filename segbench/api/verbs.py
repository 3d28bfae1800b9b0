"""Makes the modules of commands callable: `segbench.train(...)`, as `segbench train`."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallableVerb(ModuleType):
    """Module of a command; calling it calls the function of the same name in `segbench.api.calls`.

    `segbench.train` is both: the module that `python -m` runs, and a function.
    """

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Calls the function."""
        calls = import_module("segbench.api.calls")
        return getattr(calls, self.__name__.rpartition(".")[2])(*args, **keywords)


def make_callable(module: str) -> None:
    """Makes the module of a command a `CallableVerb`."""
    sys.modules[module].__class__ = CallableVerb
