"""Runs an exported model with ONNX Runtime in place of the PyTorch model.

The graph itself normalizes and pads, and the file contains classes and protocol; see
`segbench.inference.onnx_export` for what it contains.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

METADATA_KEY = "segbench"
SEALED = "sealed"  # metadata key: the file ends with a seal
# The seal is one more entry of the metadata (field 14 of ONNX's ModelProto: a key and a value), so
# any program can read the file. Its value is the SHA-256 of all bytes before it, in hex.
_SEAL = b"\x72\x53\x0a\x0fsegbench.sha256\x12\x40"
_SEAL_LENGTH = len(_SEAL) + 64
_CHANGED = (
    "is damaged, or another program has changed it since segbench wrote it; export the checkpoint "
    "again"
)


def no_normalization(channels: int) -> dict[str, list[float]]:
    """Mean and std with which a Predictor leaves values unchanged: the graph normalizes."""
    return {"mean": [0.0] * channels, "std": [1 / 255] * channels}


class OnnxNetwork(nn.Module):
    """Wraps an exported file as a module: pixels in, logits out.

    Args:
        file: written by `segbench.export`.
        threads: number of threads of ONNX Runtime; None: as many as torch has.

    Raises:
        ValueError: ONNX Runtime is not installed, or the file was not written by segbench.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        super().__init__()
        require("onnxruntime")
        import onnxruntime

        is_sealed = _check_seal(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        providers = onnxruntime.get_available_providers()
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in providers]
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=wanted)
        except Exception as error:  # ONNX Runtime has no common base class for its errors
            reason = str(error).splitlines()[0]
            raise ValueError(f"{file}: ONNX Runtime cannot read it ({reason})") from None
        try:
            found = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        except UnicodeDecodeError:
            raise ValueError(f"{file}: {_CHANGED}") from None
        if found is None:
            raise ValueError(f"{file}: was not written by `python -m segbench.export`")
        try:
            self.meta: Any = json.loads(found)  # untrusted: callers must check it
        except (ValueError, RecursionError):
            raise ValueError(f"{file}: its metadata is not JSON; the file was altered") from None
        if isinstance(self.meta, dict) and self.meta.pop(SEALED, False) and not is_sealed:
            raise ValueError(f"{file}: {_CHANGED}")
        self.eval()  # the only mode

    def forward(self, image: Tensor) -> Tensor:
        """float32 `[N, channels, H, W]` as read -> float32 logits `[N, C, H, W]`, on its device."""
        pixels = np.ascontiguousarray(image.float().cpu().numpy())
        (logits,) = self.session.run(["logits"], {"image": pixels})
        return torch.from_numpy(logits).to(image.device)


def seal(file: Path) -> None:
    """Appends a seal to an ONNX file, to detect damage: ONNX has no checksum."""
    data = file.read_bytes()
    file.write_bytes(data + _SEAL + hashlib.sha256(data).hexdigest().encode())


def unseal(file: Path) -> None:
    """Removes the seal of a file before it is changed."""
    data = file.read_bytes()
    if data[-_SEAL_LENGTH:].startswith(_SEAL):
        file.write_bytes(data[:-_SEAL_LENGTH])


def _check_seal(file: Path) -> bool:
    """Whether a file has a seal; those of earlier versions have none.

    Raises:
        ValueError: the seal does not match the file.
    """
    data = memoryview(file.read_bytes())
    tail = bytes(data[-_SEAL_LENGTH:])
    if not tail.startswith(_SEAL):
        return False
    if hashlib.sha256(data[:-_SEAL_LENGTH]).hexdigest().encode() != tail[len(_SEAL) :]:
        raise ValueError(f"{file}: {_CHANGED}")
    return True


def require(*packages: str) -> None:
    """Raises ValueError, naming the extra to install, if a package is missing."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ValueError(f"needs {' and '.join(missing)}: pip install 'segbench[export]'")
