"""Which checkpoint the predictions in a folder are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.inference.outputs import RECORD
from segbench.system.storage import write_text


def record_origin(folder: Path, ckpt: Path, settings: Mapping[str, Any]) -> str:
    """Writes to `folder` what its predictions are made with.

    Args:
        folder: the folder of the predictions.
        ckpt: the checkpoint.
        settings: what else determines them, plain types.

    Returns:
        A note if the folder has predictions that were made otherwise, else an empty text.
    """
    with ckpt.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    now = {"ckpt": str(ckpt.resolve()), "sha256": digest, "settings": dict(settings)}
    before = _read(folder / RECORD)
    write_text(folder / RECORD, json.dumps(now, indent=2, default=str) + "\n")
    if before is None:
        return ""
    if before.get("sha256") != digest:
        other = f"another checkpoint, {before.get('ckpt')}"
    elif before.get("settings") != json.loads(json.dumps(now["settings"], default=str)):
        other = "this checkpoint with other settings"
    else:
        return ""
    return (
        f"note: {folder} has predictions of {other}. Files of the same name are replaced, all "
        "others stay; set output=FOLDER to keep them apart"
    )


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # missing or damaged: nothing is known
        return None
    return found if isinstance(found, dict) else None
