"""What the models of a study cost: measured by `segbench.benchmark`, or at least counted."""

from __future__ import annotations

import json
from typing import Any

from segbench.analysis.study import Study
from segbench.data.classes import DataError


def read_costs(study: Study) -> list[dict[str, Any]]:
    """Measured costs: `benchmark.json` of the study, or the parameter counts of its runs.

    Each entry has `model` and any of `device`, `params`, `macs`, `latency_ms` (median),
    `peak_memory_mib`; times and memory belong to their `device`.

    Raises:
        DataError: benchmark.json is not such a list (under the key `models`).
    """
    counted = [
        {"model": label, "params": runs[0].result.get("params")}
        for label, runs in study.runs.items()
        if runs[0].result.get("params")
    ]
    file = study.path / "benchmark.json"
    if not file.is_file():
        return counted
    try:
        measured = json.loads(file.read_text(encoding="utf-8"))["models"]
        entries = [dict(entry) for entry in measured if entry["model"] in study.runs]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read ({error!r}); measure again or remove it") from None
    known = {entry["model"] for entry in entries}
    return entries + [entry for entry in counted if entry["model"] not in known]
