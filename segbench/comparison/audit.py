"""The fairness audit: everything besides the architecture that may explain a difference.

Each field is read from the `result.json` of every run and compared over all runs. Where it differs,
a finding says so in words, with a grade:

- `invalidates`: the difference in score cannot be put down to the models;
- `weakens`: it can, but only in part or with doubt;
- `note`: worth knowing, not a doubt.

What a study varies on purpose (`varies=loss` for a study of losses) is reported as its subject.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segbench.comparison.runs import Run, lookup, scored_data

INVALIDATES, WEAKENS, NOTE = "invalidates", "weakens", "note"
GRADES = (INVALIDATES, WEAKENS, NOTE)
# Data options that change how images are loaded, not which pixels a network sees; and those that
# have a field of their own.
LOADING = {
    "_target_", "root", "about", "num_workers", "workers", "pin_memory", "cache", "cache_dir",
    "cache_limit_gb", "preview",
    "batch_size", "eval_batch_size", "resize", "frames_on_device",
}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One audited property.

    Args:
        name: what it is called in reports and in `varies`.
        read: takes `result.json`; None = unknown, which is never a mismatch by itself.
        grade: how much a difference matters.
        why: what a difference means, as a sentence without its end.
        trained: whether it is known for trained runs only, not for predictions from elsewhere.
    """

    name: str
    read: Callable[[Mapping[str, Any]], Any]
    grade: str
    why: str
    trained: bool = True


@dataclass(frozen=True)
class Finding:
    """One field that differs: `values` lists each model's values in words."""

    field: str
    grade: str
    why: str
    values: dict[str, str]

    def sentence(self) -> str:
        """For a banner."""
        parts = "; ".join(f"{label}: {value}" for label, value in self.values.items())
        return f"{self.field} ({parts}): {self.why}"


def _at(path: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda result: lookup(result, path)


def _augmentation(result: Mapping[str, Any]) -> Any:
    data = lookup(result, "config.data")
    if not isinstance(data, Mapping):
        return None
    return {key: value for key, value in data.items() if key not in LOADING}


def _frames_on_device(result: Mapping[str, Any]) -> Any:
    data = lookup(result, "config.data")
    return bool(data.get("frames_on_device")) if isinstance(data, Mapping) else None


def _pretraining(result: Mapping[str, Any]) -> Any:
    if lookup(result, "config.model") is None:
        return None
    encoder = lookup(result, "config.model.encoder_weights")
    weights = lookup(result, "config.weights")
    return " + ".join(str(part) for part in (encoder, weights) if part) or "from scratch"


def _training_data(result: Mapping[str, Any]) -> Any:
    prints = lookup(result, "data_info.fingerprint")
    if not isinstance(prints, Mapping):
        return None
    return {split: prints[split] for split in ("train", "val") if split in prints}


FIELDS = (
    Field("data fingerprint", scored_data, INVALIDATES,
          "they were not scored on the same images", trained=False),
    Field("training data", _training_data, INVALIDATES,
          "one model saw other images in training, or was selected on others"),
    Field("split", _at("data_info.split"), INVALIDATES,
          "they were not scored on the same images", trained=False),
    Field("label protocol", _at("data_info.protocol"), INVALIDATES,
          "the classes do not mean the same", trained=False),
    Field("resolution", _at("protocol.resolution"), INVALIDATES,
          "scores at different resolutions are different measures", trained=False),
    Field("absent classes", _at("protocol.absent_classes"), INVALIDATES,
          "the mIoU of the same predictions would differ", trained=False),
    Field("void predictions", _at("protocol.void_prediction"), INVALIDATES,
          "the mIoU of the same predictions would differ", trained=False),
    Field("pretraining", _pretraining, INVALIDATES,
          "pretrained weights alone are worth many points"),
    Field("kind", _at("kind"), WEAKENS,
          "predictions from elsewhere: how that model was trained and chosen is unknown",
          trained=False),
    Field("network input size", _at("protocol.resize"), WEAKENS,
          "one network sees finer detail"),
    Field("inference", _at("protocol.inference"), WEAKENS,
          "sliding windows and TTA add points without a better model"),
    Field("augmentation", _augmentation, WEAKENS, "the training images differ"),
    Field("loss", _at("config.loss"), WEAKENS, "the loss may explain the difference"),
    Field("optimizer", _at("config.optimizer"), WEAKENS, "the optimizer may explain it"),
    Field("scheduler", _at("config.scheduler"), WEAKENS, "the schedule may explain it"),
    Field("gradient clipping", _at("config.trainer.gradient_clip_val"), WEAKENS,
          "the optimisation differs"),
    Field("epochs", _at("budget.epochs"), WEAKENS, "longer training is worth points"),
    Field("steps", _at("budget.steps"), WEAKENS, "more optimiser steps are worth points"),
    Field("images seen", _at("budget.images_seen"), WEAKENS, "more images are worth points"),
    Field("effective batch size", _at("budget.effective_batch_size"), WEAKENS,
          "the optimisation differs"),
    Field("EMA", _at("budget.ema"), WEAKENS, "averaged weights are worth points"),
    Field("early stopping", _at("config.early_stopping"), WEAKENS,
          "the length of training is chosen on val for one of them"),
    Field("selection", _at("protocol.selection"), WEAKENS,
          "choosing the best epoch on val is worth points"),
    Field("tuning trials", _at("budget.tuning_trials"), WEAKENS,
          "more tuning of one model is worth points"),
    Field("commit", _at("commit"), WEAKENS, "the code changed between the runs"),
    Field("precision", _at("budget.precision"), NOTE, "rounding differs"),
    Field("frames on device", _frames_on_device, NOTE,
          "the same windows are cut by other code: image values differ by rounding"),
    Field("params", _at("params"), NOTE, "a larger network may simply hold more"),
    Field("hardware", _at("hardware"), NOTE,
          "times and memory of different machines are not ranked together"),
    Field("versions", _at("versions"), NOTE, "libraries differ", trained=False),
)  # fmt: skip


def audit(
    runs: Mapping[str, Sequence[Run]],
    varies: Sequence[str] = (),
    macs: Mapping[str, float] | None = None,
) -> list[Finding]:
    """Compares all fields over all runs.

    Args:
        runs: finished runs by label.
        varies: fields that differ on purpose; they become notes.
        macs: multiply-accumulates of each model, where measured.

    Returns:
        What differs, the gravest first, and as a note the tuning that all models got alike.

    Raises:
        ValueError: `varies` names a field that is not audited.
    """
    known = [field.name for field in FIELDS]
    for name in varies:
        if name not in known:
            raise ValueError(f"varies: '{name}' is not audited; known: {', '.join(known)}")
    found = [
        finding for field in FIELDS if (finding := _compare(field, runs, field.name in varies))
    ]
    found += _equal_tuning(runs) + _seeds(runs) + _selected_on_test(runs) + _dirty(runs)
    if macs and len(set(macs.values())) > 1:
        values = {label: f"{value / 1e9:.2f} G" for label, value in macs.items()}
        found.append(Finding("MACs", NOTE, "one network computes more", values))
    return sorted(found, key=lambda finding: GRADES.index(finding.grade))


def _compare(field: Field, runs: Mapping[str, Sequence[Run]], subject: bool) -> Finding | None:
    values: dict[str, dict[str, list[int]]] = {}
    for label, members in runs.items():
        by_value = defaultdict(list)
        for run in members:
            if field.trained and run.result["kind"] != "train":
                continue
            by_value[json.dumps(field.read(run.result), sort_keys=True)].append(run.seed)
        if by_value:
            values[label] = dict(by_value)
    distinct = {value for by_value in values.values() for value in by_value}
    if len(distinct) < 2:
        return None
    words = _in_words(sorted(distinct))
    shown = {
        label: "; ".join(
            words[value] + (f" (seed {', '.join(map(str, seeds))})" if len(by_value) > 1 else "")
            for value, seeds in by_value.items()
        )
        for label, by_value in values.items()
    }
    if subject:
        return Finding(field.name, NOTE, "what this study varies", shown)
    return Finding(field.name, field.grade, field.why, shown)


def _in_words(values: Sequence[str]) -> dict[str, str]:
    """Short descriptions of JSON values; of nested ones, only the leaves that differ."""
    parsed = {value: json.loads(value) for value in values}
    if not any(isinstance(item, dict) for item in parsed.values()):
        return {value: _plain(item) for value, item in parsed.items()}
    flat = {value: _leaves(item) for value, item in parsed.items()}
    keys = list(dict.fromkeys(key for leaves in flat.values() for key in leaves))
    missing = object()
    differing = [
        key for key in keys
        if any(leaves.get(key, missing) != flat[values[0]].get(key, missing)
               for leaves in flat.values())
    ]  # fmt: skip
    return {
        value: ", ".join(f"{key} {_plain(leaves.get(key))}" for key in differing)
        for value, leaves in flat.items()
    }


def _leaves(item: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(item, dict):
        return {path: item}
    found: dict[str, Any] = {}
    for key, value in item.items():
        found |= _leaves(value, f"{path}.{key}" if path else key)
    return found


def _plain(item: Any) -> str:
    if item is None:
        return "none"
    if isinstance(item, int) and not isinstance(item, bool):
        return f"{item:,}"
    return item if isinstance(item, str) else json.dumps(item)


def _equal_tuning(runs: Mapping[str, Sequence[Run]]) -> list[Finding]:
    """The trials spent, where all models got the same number and there were any."""
    trials = {
        label: {lookup(run.result, "budget.tuning_trials") or 0 for run in members}
        for label, members in runs.items()
    }
    spent = set().union(*trials.values())
    if len(spent) != 1 or spent == {0}:
        return []
    words = {label: str(*spent) for label in trials}
    return [Finding("tuning trials", NOTE, "as many were spent on each model", words)]


def _seeds(runs: Mapping[str, Sequence[Run]]) -> list[Finding]:
    seeds = {label: [run.seed for run in members] for label, members in runs.items()}
    if len({tuple(values) for values in seeds.values()}) < 2:
        return []
    unequal = len({len(values) for values in seeds.values()}) > 1
    words = {label: ", ".join(map(str, values)) for label, values in seeds.items()}
    if unequal:
        return [Finding("seeds", WEAKENS, "the models have different numbers of runs", words)]
    return [Finding("seeds", NOTE, "the runs carry different seeds", words)]


def _selected_on_test(runs: Mapping[str, Sequence[Run]]) -> list[Finding]:
    """Models whose best epoch was chosen on the very images that are tested."""
    chosen = {}
    for label, members in runs.items():
        for result in (run.result for run in members if run.result["kind"] == "train"):
            prints = lookup(result, "data_info.fingerprint") or {}
            on_test = "val" in prints and prints["val"] == prints.get("test")
            if on_test and lookup(result, "protocol.selection") == "best":
                chosen[label] = "best epoch on the tested images"
    why = "val and test are the same images, so the scores are too high"
    return [Finding("selection on test", WEAKENS, why, chosen)] if chosen else []


def _dirty(runs: Mapping[str, Sequence[Run]]) -> list[Finding]:
    changed = {
        label: "seed " + ", ".join(str(run.seed) for run in members if run.result.get("dirty"))
        for label, members in runs.items()
        if any(run.result.get("dirty") for run in members)
    }
    if not changed:
        return []
    why = "the code had uncommitted changes: the commit does not repeat these runs"
    return [Finding("dirty state", WEAKENS, why, changed)]
