"""Runs an exported model with ONNX Runtime in place of the PyTorch model.

The graph itself normalizes and pads, and the file contains classes and protocol; see
`segbench.inference.onnx_export` for what it contains.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

METADATA_KEY = "segbench"
# Because the graph itself normalizes, a Predictor passes it pixels in 0..255.
NO_MEAN, NO_STD = [0.0, 0.0, 0.0], [1 / 255, 1 / 255, 1 / 255]


class OnnxNetwork(nn.Module):
    """Wraps an exported file as a module: pixels in 0..255 in, logits out.

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
        found = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if found is None:
            raise ValueError(f"{file}: was not written by `python -m segbench.export`")
        try:
            self.meta: Any = json.loads(found)  # untrusted: callers must check it
        except (ValueError, RecursionError):
            raise ValueError(f"{file}: its metadata are no JSON; it was altered") from None
        self.eval()  # the only mode

    def forward(self, image: Tensor) -> Tensor:
        """float32 `[N, 3, H, W]` in 0..255 -> float32 logits `[N, C, H, W]`, on its device."""
        pixels = np.ascontiguousarray(image.float().cpu().numpy())
        (logits,) = self.session.run(["logits"], {"image": pixels})
        return torch.from_numpy(logits).to(image.device)


def require(*packages: str) -> None:
    """Raises ValueError, naming the extra to install, if a package is missing."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ValueError(f"needs {' and '.join(missing)}: pip install 'segbench[export]'")
