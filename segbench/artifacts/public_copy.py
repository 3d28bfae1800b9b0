"""Copies of runs for others: records, curves and pixel counts, without the paths of this machine.

In texts and commands, a path becomes `PATH`. In configs it becomes `PATH-HASH/NAME`: the hash tells
folders apart, so that files of one name in two folders stay two files for the audit, and the name
lets the training go on elsewhere (`is_same`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from segbench.artifacts.plain import with_texts
from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import ResultError

COSTS = "benchmark.json"
_START = (
    r"(?:(?:file|sqlite):/+|~[\w.-]*/|(?:\.\./)+|[A-Za-z]:[\\/]|/(?!/)|\\\\[\w.-]+\\"
    r"|(?<!:)//[\w.-]+/)"
)
# A space, comma or bracket in a path: what follows goes on as a path does.
_MORE = r"(?:[,( ]+[^\s,;:='\"\[\]{}()/\\]+\)?[\\/][^\s'\",;\[\]{}()]*)*"
_LOCAL = re.compile(_START)
_QUOTED = re.compile(rf"(['\"])(?={_START})[^'\"]*\1")
_IN_TEXT = re.compile(
    rf"(?<![\w.)\]/~<-]){_START}[^\s'\",;\[\]{{}}()]*[^\s'\",;\[\]{{}}().]{_MORE}(?<!\.)"
)
_COPIED = re.compile(r"PATH-[0-9a-f]{6}/(?P<name>.+)")


def public_text(text: str) -> str:
    """A text in which each path of a machine is `PATH`."""
    return _IN_TEXT.sub("PATH", _QUOTED.sub(r"\1PATH\1", text))


def public_command(command: str) -> str:
    """A command in which the paths of a machine, and `data.root`, are `PATH`."""
    try:
        words = shlex.split(command)
    except ValueError:  # cut off, or not written by a shell
        return public_text(command)
    return shlex.join(map(_public_word, words))


def public_values(value: Any) -> Any:
    """Nested values with each text made public."""
    return with_texts(value, lambda _, text: public_text(text))


def public_config(config: Any) -> Any:
    """A config in which each path is `PATH-HASH/NAME`; the root of the data is `data/NAME`."""
    return with_texts(config, _public_value)


def is_same(value: object, copied: object) -> bool:
    """Whether a config value is that of a copy, or a path of the same file name as that was."""
    match = _COPIED.fullmatch(copied) if isinstance(copied, str) else None
    if match is None or not isinstance(value, str):
        return value == copied
    return PurePosixPath(value).name == match["name"]


def public_result(result: Result) -> Result:
    """The record of a run without the paths of this machine."""
    training, protocol = result.training, result.protocol
    if training is not None:
        training = replace(training, config=public_config(training.config))
    if protocol is not None and protocol.source is not None:
        protocol = replace(protocol, source=_public_word(protocol.source))
    return replace(
        result,
        config=public_config(result.config),
        command=public_command(result.command),
        reason=public_text(result.reason),
        training=training,
        protocol=protocol,
    )


def public_costs(costs: Any) -> Any:
    """What `segbench.benchmark` wrote, without the paths of this machine."""
    public = public_values(costs)
    if isinstance(command := costs.get("command"), str):
        public["command"] = public_command(command)
    return public


def copy_runs(study: Path, runs: Sequence[str], target: Path) -> None:
    """Copies runs of a study, and its measured costs.

    Args:
        study: its folder.
        runs: the folders of the runs in it.
        target: the folder of the copies; must be empty or not exist.

    Raises:
        ResultError: a run is missing or damaged.
    """
    for path in runs:
        source, copy = RunDirectory(study / path), RunDirectory(target / path)
        result = source.read_result()
        if result is None or not source.confusion_file.is_file():
            raise ResultError(f"{source.path} is no longer there, or not complete")
        copy.path.mkdir(parents=True)
        copy.write_result(public_result(result))
        if (config := source.read_config()) is not None:
            copy.write_config(public_config(config))
        for file in (source.confusion_file, source.metrics_file):
            if file.is_file():
                shutil.copyfile(file, copy.path / file.name)
    if (study / COSTS).is_file():
        costs = json.loads((study / COSTS).read_text(encoding="utf-8-sig"))
        text = json.dumps(public_costs(costs), indent=2)
        (target / COSTS).write_text(text + "\n", encoding="utf-8")


def _public_word(word: str) -> str:
    key, equals, value = word.partition("=")
    is_root = key.lstrip("+") in ("data.root", "root")
    if equals and (is_root or (_LOCAL.match(value) and not key.endswith("regex"))):
        return f"{key}=PATH"
    return "PATH" if _LOCAL.match(word) else public_text(word)


def _public_value(key: str, value: str) -> str:
    if key.endswith("regex"):
        return value
    path = PurePosixPath(value.replace("\\", "/"))
    if key == "root":
        return f"data/{path.name}"
    if not _LOCAL.match(value):
        return public_text(value)
    folder = hashlib.blake2b(str(path.parent).encode(), digest_size=3).hexdigest()
    return f"PATH-{folder}/{path.name}"
