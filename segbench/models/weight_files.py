"""Reads files of weights without running code from them."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from segbench.errors import first_few

SHOWN = 3  # tensors listed in a message


def read_state(source: str) -> dict[str, Tensor]:
    """Reads the state_dict in a file or on a hub, without renaming its keys.

    Raises:
        ValueError: no such file or hub name, truncated, or not a state_dict.
    """
    return state_of(read(source), source)


def read(source: str) -> Any:
    """The content of a file or of a hub's file."""
    path = Path(source)
    if (path / "config.json").is_file():
        from segbench.models import hf  # imports the hub's client, which takes long

        try:
            return hf.state_of(source)
        except ImportError as error:
            raise ValueError(f"weights={source!r}: {error}") from None
        except ValueError as error:
            raise ValueError(f"weights={source!r}: {str(error).partition(': ')[2]}") from None
    if not path.is_file():
        if source.count("/") != 1 or path.suffix or source.startswith(("/", ".")):
            raise ValueError(
                f"weights={source!r}: there is no such file. Expected a .ckpt, .pt, .pth or "
                ".safetensors file, a hub name owner/name, or shipped"
            )
        from segbench.models import hub

        path = Path(hub.weights_file(source))
    try:
        return load_file(path) if path.suffix == ".safetensors" else read_plain(path)
    except ValueError as error:
        raise ValueError(f"weights={source!r}: {error}") from None
    except Exception as error:  # safetensors raises its own
        raise ValueError(
            f"weights={source!r}: cannot be read: truncated, or not a file of weights ({error})"
        ) from None


def entry_of(content: Any) -> dict[str, Any]:
    """What a checkpoint of segbench says of itself: `name`, `normalization`; else empty."""
    entry = content.get("segbench") if isinstance(content, dict) else None
    if not isinstance(entry, dict):
        return {}
    config = entry.get("config")
    found = {"name": str(config.get("name", "")) if isinstance(config, dict) else ""}
    values = [entry.get("mean"), entry.get("std")]
    numbers = [
        tuple(value)
        for value in values
        if isinstance(value, list) and all(isinstance(number, int | float) for number in value)
    ]
    return found | ({"normalization": tuple(numbers)} if len(numbers) == 2 else {})


def state_of(content: Any, source: str) -> dict[str, Tensor]:
    """The state_dict in the content of a file."""
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ValueError(f"weights={source!r}: expected a state_dict that maps names to tensors")
    if problem := not_finite(content):
        raise ValueError(f"weights={source!r}: {problem}")
    return content


def read_plain(path: Path) -> Any:
    """Reads a `torch.save` file without running code from it, and verifies its checksums.

    torch itself does not verify the CRC-32 of a record, so a flipped bit would silently change a
    weight.

    Raises:
        ValueError: the file is damaged, truncated, of another kind, or more than plain data.
    """
    if zipfile.is_zipfile(path):  # otherwise from a torch before 1.6, without checksums
        _check_records(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it names {named[1]}" if named else "it is damaged, or from another program"
        raise ValueError(
            f"not a file of plain data, so it was refused and nothing of it was run ({what})"
        ) from None
    except Exception as error:  # torch raises almost anything for a file of another kind
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"cannot be read: truncated, or not a torch file ({reason})") from None


def _check_records(path: Path) -> None:
    """Raises ValueError if a record of the file does not match its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [
                i.filename for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED
            ]
            damaged = packed or archive.testzip()  # torch does not compress; testzip decompresses
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"cannot be read: the file is damaged or truncated ({error})") from None
    if packed:
        raise ValueError("cannot be read: it has compressed records, which torch never writes")
    if damaged:
        raise ValueError(
            f"the file is damaged: the checksum of {damaged} does not match; copy it again, or "
            "use another one"
        )


def not_finite(state: Mapping[str, Tensor]) -> str:
    """A sentence that names the first NaN or infinite weight; empty if all are finite."""
    found = [
        key
        for key, value in state.items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if not found:
        return ""
    return (
        f"{len(found)} of {len(state)} tensors contain NaN or infinite weights "
        f"({first_few(found, SHOWN)}). The "
        "training diverged, or the file was altered; use an earlier checkpoint, or train with a "
        "lower learning rate"
    )
