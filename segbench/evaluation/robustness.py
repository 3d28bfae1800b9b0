"""A checkpoint on corrupted images: the table, and the counts for the intervals of `compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from segbench.evaluation.corruptions import Corruption
from segbench.metrics.robustness import Scored, summary
from segbench.metrics.scores import class_iou, mean_over_classes, percent, union_counts
from segbench.system.console import console, table


def count_corrupted(
    corruptions: Sequence[Corruption],
    evaluate: Callable[[Corruption], np.ndarray],
    absent: str,
) -> tuple[dict[str, dict[str, float | None]], np.ndarray]:
    """Evaluates every corruption.

    Args:
        corruptions: which ones.
        evaluate: gives the confusion matrices of all images, int64 `[N, C, C + 1]`.
        absent: policy for absent classes, see `metrics.scores`.

    Returns:
        mIoU by corruption and severity; and hits and unions of every image, one corruption after
        another, float64 `[N, 2, J * C]`.
    """
    scored: dict[str, dict[str, float | None]] = {}
    parts = []
    for corruption in corruptions:
        matrices = evaluate(corruption)
        value = float(mean_over_classes(class_iou(matrices.sum(0)), absent))
        by_severity = scored.setdefault(corruption.name, {})
        by_severity[str(corruption.severity)] = None if np.isnan(value) else value
        parts.append(np.stack(union_counts(matrices), axis=1))
    return scored, np.concatenate(parts, axis=2).astype(np.float64)


def print_corrupted(scored: Scored, clean: float | None) -> None:
    """Prints the table by corruption."""
    severities = sorted({severity for by_severity in scored.values() for severity in by_severity})
    found = summary(scored, clean)
    shown = table("corruption", *(f"severity {s}" for s in severities), "mean", "drop",
                  title="mIoU (%) on corrupted images")  # fmt: skip
    for name, by_severity in scored.items():
        mean = found["mean"].get(name)
        drop = None if mean is None or clean is None else clean - mean
        cells = [percent(by_severity.get(severity)) for severity in severities]
        shown.add_row(name.replace("_", " "), *cells, percent(mean), percent(drop))
    console().print(shown)
    console().print(
        f"clean {percent(clean)}, mean {percent(found['mean_corrupted'])}, drop "
        f"{percent(found['drop'])}, worst {percent(found['worst'])} ({found['worst_name']})"
    )


def markdown_rows(scored: Scored, clean: float | None) -> list[str]:
    """The table for report.md."""
    severities = sorted({severity for by_severity in scored.values() for severity in by_severity})
    found = summary(scored, clean)
    lines = ["", "## Corrupted images, mIoU (%)", ""]
    lines.append("| corruption | " + " | ".join(severities) + " | mean |")
    lines.append("|---" * (len(severities) + 2) + "|")
    for name, by_severity in scored.items():
        cells = [percent(by_severity.get(s)) for s in severities]
        lines.append(f"| {name} | " + " | ".join([*cells, percent(found["mean"].get(name))]) + " |")
    lines += ["", f"Clean {percent(clean)}, mean {percent(found['mean_corrupted'])}, drop "
              f"{percent(found['drop'])}, worst {found['worst_name']}."]  # fmt: skip
    return lines
