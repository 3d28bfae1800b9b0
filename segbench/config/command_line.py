"""Quotes command-line arguments for Hydra: the value of a text key is the text as typed.

Hydra's grammar would parse `study=2024_05_01` as 20240501 and reject `source=photo (1).jpg`, so
text is quoted before Hydra sees the command line. Not quoted are `null`, text that is already in
quotes, and in a sweep the commas between values.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from segbench.config.text_keys import LIST, OTHER, TEXT, Kinds
from segbench.system.escaping import shell

_WORD = re.compile(r"(\+{0,2}[^=+~][^=]*)=(.*)", re.DOTALL)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.\-]*")  # parsed by Hydra as the same text
_CONSTANTS = ("true", "false", "null", "nan", "inf")
_FUNCTION = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag)\(.*\)", re.DOTALL)


def key_of(argument: str) -> str:
    """The key that an argument sets, adds or removes."""
    return argument.partition("=")[0].lstrip("+~")


def as_typed(
    arguments: Iterable[str], kinds: Callable[[str], Kinds], sweeps: bool
) -> tuple[list[str], dict[str, str]]:
    """Quotes text values for Hydra.

    Args:
        arguments: command-line arguments as typed.
        kinds: maps a key to the kinds of values it takes.
        sweeps: whether commas separate the values of a sweep.

    Returns:
        The arguments for Hydra, without those that are wrong, and an error message by key for
        the wrong ones.
    """
    read, problems = [], {}
    for argument in arguments:
        found = _WORD.fullmatch(argument)
        taken = kinds(found[1].lstrip("+")) if found else None
        if not found or not taken:
            read.append(argument)
            continue
        key, value = found[1], found[2]
        try:
            value.encode()
        except UnicodeEncodeError:
            problems[key_of(argument)] = f"{key}: {value!a} is not UTF-8; rename the file"
            continue
        if "${" in value and not _is_quoted(value):
            problems[key_of(argument)] = (
                f"{key}={value}: ${{...}} is resolved only in YAML files; write the value itself"
            )
            continue
        if not sweeps:
            read.append(f"{key}={_as_value(value, taken)}")
        elif _FUNCTION.fullmatch(value):
            read.append(argument)
        else:
            parts = _split(value, in_brackets=LIST not in taken)
            read.append(f"{key}={','.join(_as_value(part.strip(), taken) for part in parts)}")
    return read, problems


def override(key: str, value: Any) -> str:
    """Formats KEY=VALUE in Hydra's grammar, for any plain value."""
    return f"{key}={_in_grammar(value)}"


def command(module: str, values: Mapping[str, str], flags: Sequence[str] = ()) -> str:
    """A command that can be pasted into a shell, written the way this process was started.

    Args:
        module: as in `python -m MODULE`; `segbench VERB` if started by that console script.
        values: text by key.
        flags: such as --config-dir, placed before the keys.
    """
    words = [
        f"{key}={value}" if _reads_as_typed(value) else override(key, value)
        for key, value in values.items()
    ]
    return shell([*_program(module), *flags, *words])


def _program(module: str) -> list[str]:
    started = [Path(word).name for word in sys.orig_argv[1:2]]
    if started in (["segbench"], ["segbench.exe"]):
        return ["segbench", module.rpartition(".")[2]]
    return ["python", "-m", module]


def quoted(text: str) -> str:
    """Quotes a text according to Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()


def _is_quoted(value: str) -> bool:
    return _QUOTED.fullmatch(value) is not None


def _as_value(value: str, taken: Kinds) -> str:
    if LIST in taken and value[:1] == "[" and value[-1:] == "]":
        inner = value[1:-1]
        items = _split(inner, in_brackets=True) if inner.strip() else []
        texts = [_text(item.strip()) for item in items]
        return f"[{','.join(quoted(t) if t.lower() == 'null' else t for t in texts)}]"
    if (OTHER in taken and value[:1] in ("[", "{")) or not taken & {TEXT, LIST}:
        return value
    return _text(value)


def _text(value: str) -> str:
    if value.lower() == "null" or _is_quoted(value):
        return value
    return value if _is_plain(value) else quoted(value)


def _is_plain(value: str) -> bool:
    return bool(_PLAIN.fullmatch(value)) and value.lower() not in _CONSTANTS


def _reads_as_typed(value: str) -> bool:
    return value.lower() != "null" and not _is_quoted(value) and "${" not in value


def _split(text: str, in_brackets: bool) -> list[str]:
    """Splits at commas outside of quotes and, unless `in_brackets`, outside of brackets."""
    parts, start, at, depth, fresh = [], 0, 0, 0, True
    while at < len(text):
        found = _QUOTED.match(text, at) if fresh else None
        if found and text[found.end() :].lstrip()[:1] in ("", ",", "]"):
            at, fresh = found.end(), False
            continue
        char = text[at]
        depth += 0 if in_brackets else (char == "[") - (char == "]")
        if char == "," and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
        fresh = char in ",[" or (fresh and char.isspace())
        at += 1
    return [*parts, text[start:]]


def _in_grammar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_in_grammar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_in_grammar, value)) + "]"
    if isinstance(value, str):
        return value if _is_plain(value) else quoted(value)
    return repr(value)
