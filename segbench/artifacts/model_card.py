"""The model card of a small checkpoint, generated from the contents of the file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.artifacts.licenses import of_initial_weights, terms
from segbench.artifacts.result import Budget, Hardware, Timings
from segbench.artifacts.typed import read_as
from segbench.metrics.scores import amount, percent
from segbench.system.escaping import markdown, markdown_code, one_line

WEAK = 0.3  # classes with a lower IoU are listed under limitations


def card(
    file: Path, size: int, meta: Mapping[str, Any], parity: Mapping[str, Any], half: bool
) -> str:
    """Writes the model card of a small checkpoint as Markdown; all numbers come from its run.

    Args:
        file: the checkpoint, which need not exist yet.
        size: size of the file in bytes.
        meta: its `segbench` entry.
        parity: comparison with the original: number of `images`, and share of pixels with the same
            class on average (`mean`) and in the worst image (`agreement`).
        half: whether its weights are stored in 16 bits.
    """
    trained, config = meta["trained"], meta["config"]
    classes = meta["classes"]["names"]
    rows = {
        "file": f"{markdown_code(file.name)}, {size / 2**20:.1f} MiB, "
        f"{16 if half else 32}-bit weights; read without running code (`weights_only=True`)",
        "model": _network(config["model"], trained.get("params")),
        "classes": f"{len(classes)}: {markdown(', '.join(classes))}",
        "training data": _data(meta),
        "initial weights": markdown(of_initial_weights(config)),
        "command": markdown_code(trained["command"]) if "command" in trained else "unknown",
        "commit": _commit(trained),
        "seed": markdown(str(trained.get("seed", config.get("seed", "unknown")))),
        "budget": _budget(meta),
        "hardware": markdown(str(read_as(Hardware, trained.get("hardware") or {}))),
        "agreement with the original": f"{100 * parity['mean']:.3f} % of the pixels of "
        f"{parity['images']} images ({100 * parity['agreement']:.3f} % in the worst) get the same "
        "class",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    name = one_line(shlex.quote(f"ckpt={file.name}"))
    return f"""# {markdown(file.stem)}

Written by `python -m segbench.export format=ckpt`, together with the file.

```bash
python -m segbench.predict {name} source=PHOTO
python -m segbench.evaluate {name} root=DATA_FOLDER
```

| | |
|---|---|
{table}

## Scores

{_scores(meta)}
## Limits

- {_limits(meta)}
- Images from other cameras, places, seasons or weather differ from its training data; nothing here
  measures how well it does on them.
- The scores are those of one seed, and say little about the architecture. For that, see
  `segbench.compare`.

## Terms

{terms(config["data"])}
"""


def _network(model: Mapping[str, Any], params: int | None) -> str:
    options = ", ".join(f"{k}={v}" for k, v in model.items() if k != "_target_" and v is not None)
    size = f", {amount(params)} parameters" if params else ""
    return markdown_code(model["_target_"]) + size + (f" ({markdown(options)})" if options else "")


def _data(meta: Mapping[str, Any]) -> str:
    info, resize = meta["trained"].get("data_info", {}), meta["protocol"].get("resize")
    images = info.get("num_images", {}).get("train")
    text = str(info.get("protocol", meta["protocol"].get("labels", meta["config"]["data"])))
    text += f", {images} training images" if images else ""
    text += f", resized to {resize[0]}x{resize[1]} (height x width)" if resize else ""
    return markdown(text)


def _commit(trained: Mapping[str, Any]) -> str:
    commit = trained.get("commit")
    if not commit:
        return "unknown"
    return markdown_code(commit) + (" with local changes" if trained.get("dirty") else "")


def _budget(meta: Mapping[str, Any]) -> str:
    budget = read_as(Budget, meta["trained"].get("budget") or {})
    timings = read_as(Timings, meta["trained"].get("timings") or {})
    counts = {"epochs": budget.epochs, "steps": budget.steps, "images seen": budget.images_seen}
    parts = [f"{count} {name}" for name, count in counts.items() if count is not None]
    if budget.effective_batch_size is not None:
        parts.append(f"batch {budget.effective_batch_size}")
    parts += [budget.precision] if budget.precision else []
    parts += [f"averaged weights (EMA {budget.ema})"] if budget.ema else []
    selection, chosen = meta["protocol"].get("selection"), meta["trained"].get("selected_epoch")
    if _is_another_epoch(meta):
        parts.append(f"weights of epoch {meta['trained']['epoch']} (not those of")
        parts[-1] += f" epoch {chosen}, which selection={selection} chose)"
    elif chosen:
        parts.append(f"weights of epoch {chosen} (selection={selection})")
    elif epoch := meta["trained"].get("epoch"):
        parts.append(f"weights of epoch {epoch}")
    if timings.train_seconds:
        parts.append(f"{timings.train_seconds / 60:.1f} minutes of training")
    return markdown(", ".join(parts)) or "unknown"


def _is_another_epoch(meta: Mapping[str, Any]) -> bool:
    """Whether the run selected and tested weights of another epoch than these."""
    epoch, chosen = meta["trained"].get("epoch"), meta["trained"].get("selected_epoch")
    return epoch is not None and chosen is not None and epoch != chosen


def _scores(meta: Mapping[str, Any]) -> str:
    """The scores in percent, at the original resolution of the masks."""
    found = {split: meta["scores"].get(split) for split in ("val", "test")}
    known = {split: scores for split, scores in found.items() if scores}
    if not known:
        return f"The scores of these weights are unknown.\n{_tested_elsewhere(meta)}"
    names = meta["classes"]["names"]
    rows = ["| percent | " + " | ".join(known) + " |", "|---" * (1 + len(known)) + "|"]
    for key in ("mIoU", "mDice", "pixel_acc", "mean_acc"):
        rows.append(f"| {key} | " + " | ".join(percent(s.get(key)) for s in known.values()) + " |")
    for name in names:
        cells = (percent(s["IoU"].get(name)) for s in known.values())
        rows.append(f"| IoU {markdown(name)} | " + " | ".join(cells) + " |")
    text = "Computed with 32-bit weights at the original resolution of the masks; mIoU excludes"
    text += " classes in neither masks nor predictions.\n\n" + "\n".join(rows) + "\n"
    if not meta["trained"].get("data_info", {}).get("comparable", True):
        text += "\nNot comparable with published scores: "
        text += markdown(str(meta["protocol"].get("labels")))
        text += " differs from the official protocol.\n"
    return text + _tested_elsewhere(meta)


def _tested_elsewhere(meta: Mapping[str, Any]) -> str:
    """A note if the scores in the run's result are not those of these weights."""
    if not _is_another_epoch(meta):
        return ""
    chosen = meta["trained"]["selected_epoch"]
    return f"\nThe scores that the run reports belong to a different epoch ({chosen}).\n"


def _limits(meta: Mapping[str, Any]) -> str:
    resize = meta["protocol"].get("resize")
    scores = meta["scores"].get("test") or meta["scores"].get("val")
    height = f"a height of {resize[0]} pixels" if resize else "their original size"
    height = f"It sees images at {height}"
    if not scores:
        return f"{height}; how well it separates the classes is unknown."
    weak = [name for name, value in scores["IoU"].items() if value is not None and value < WEAK]
    if not weak:
        return f"{height}."
    listed = markdown(", ".join(weak))
    return f"{height}. Classes it hardly detects (IoU below {100 * WEAK:.0f}): {listed}."
