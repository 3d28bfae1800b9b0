"""The fairness audit: everything besides the architecture that may explain a difference.

`artifacts.differences` defines how each property is read and how much a difference matters. Here it
is read from every run and compared; if it differs, an audit entry describes the difference.
Properties that a study varies on purpose (`varies=[loss]` for a study of losses) are its subject.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.artifacts.differences import (
    AUDITED,
    GRADES,
    NOTE,
    WEAKENS,
    Rule,
    has_own_loss,
    scored_data,
)
from segbench.artifacts.result import Result
from segbench.artifacts.trained_as import as_trained, by_limits, is_unknown, weights_source
from segbench.artifacts.typed import plain
from segbench.comparison.runs import Run
from segbench.config import leaves


@dataclass(frozen=True)
class AuditEntry:
    """One property that differs; `values` lists each model's values in words."""

    field: str
    grade: str
    why: str
    values: dict[str, str]

    def sentence(self) -> str:
        """The entry as a sentence, for a banner."""
        parts = "; ".join(f"{label}: {value}" for label, value in self.values.items())
        return f"{self.field} ({parts}): {self.why}"


def audit(
    runs: Mapping[str, Sequence[Run]],
    varies: Sequence[str] = (),
    macs: Mapping[str, float] | None = None,
) -> list[AuditEntry]:
    """Compares all audited properties over all runs.

    Args:
        runs: finished runs by label that may share a table.
        varies: properties that differ on purpose; they become notes.
        macs: multiply-accumulates of each model, if measured.

    Returns:
        The differences, most severe first, and a note about tuning if all models had the same.

    Raises:
        ValueError: `varies` names a property that is not audited.
    """
    known = [rule.name for rule in AUDITED]
    for name in varies:
        if name not in known:
            raise ValueError(f"varies: '{name}' is not audited; known: {', '.join(known)}")
    found = [entry for rule in AUDITED if (entry := _compare(rule, runs, rule.name in varies))]
    found += _equal_tuning(runs) + _seeds(runs) + _selected_on_test(runs) + _trained_on(runs)
    found += _dirty(runs)
    found += _own_losses(runs) + _collapsed(runs) + _identical(runs) + _changed_weights(runs)
    if macs and len(set(macs.values())) > 1:
        values = {label: f"{value / 1e9:.2f} G" for label, value in macs.items()}
        found.append(AuditEntry("MACs", NOTE, "one model needs more compute", values))
    return sorted(found, key=lambda entry: GRADES.index(entry.grade))


def _compare(rule: Rule, runs: Mapping[str, Sequence[Run]], subject: bool) -> AuditEntry | None:
    if rule.read is None:
        return None
    values: dict[str, dict[str, list[int]]] = {}
    are_evaluated = any(run.result.training for members in runs.values() for run in members)
    for label, members in runs.items():
        by_value = defaultdict(list)
        for run in members:
            result = run.result if rule.foreign else as_trained(run.result)
            if result is None or is_unknown(rule.name, run.result):
                continue
            if are_evaluated and not rule.foreign:
                result = by_limits(result)
            value = json.dumps(plain(rule.read(result)), sort_keys=True)
            by_value[value].append(run.seed)
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
        return AuditEntry(rule.name, NOTE, "what this study varies", shown)
    return AuditEntry(rule.name, rule.grade, rule.why, shown)


def _in_words(values: Sequence[str]) -> dict[str, str]:
    """Short descriptions of JSON values; of nested ones, only the leaves that differ."""
    parsed = {value: json.loads(value) for value in values}
    if not any(isinstance(item, dict) for item in parsed.values()):
        return {value: _word(item) for value, item in parsed.items()}
    flat = {value: leaves(item) for value, item in parsed.items() if isinstance(item, dict)}
    keys = list(dict.fromkeys(key for leaves in flat.values() for key in leaves))
    missing = object()
    first = next(iter(flat.values()))
    differing = [
        key for key in keys
        if len(flat) == 1 or any(leaves.get(key, missing) != first.get(key, missing)
                                 for leaves in flat.values())
    ]  # fmt: skip
    nested = {
        value: ", ".join(f"{key} {_word(leaves.get(key))}" for key in differing)
        for value, leaves in flat.items()
    }
    return {value: nested.get(value, _word(item)) for value, item in parsed.items()}


def _word(item: Any) -> str:
    if item is None:
        return "none"
    if isinstance(item, int) and not isinstance(item, bool):
        return f"{item:,}"
    return item if isinstance(item, str) else json.dumps(item)


def _equal_tuning(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """The number of tuning trials, if it is the same for all models and not zero."""
    trials = {
        label: {_trained(run).budget.tuning_trials or 0 for run in members}
        for label, members in runs.items()
    }
    spent = set().union(*trials.values())
    if len(spent) != 1 or spent == {0}:
        return []
    words = {label: str(*spent) for label in trials}
    return [AuditEntry("tuning trials", NOTE, "the same number was spent on each model", words)]


def _seeds(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    seeds = {label: [run.seed for run in members] for label, members in runs.items()}
    if len({tuple(values) for values in seeds.values()}) < 2:
        return []
    unequal = len({len(values) for values in seeds.values()}) > 1
    words = {label: ", ".join(map(str, values)) for label, values in seeds.items()}
    if unequal:
        return [AuditEntry("seeds", WEAKENS, "the models have different numbers of runs", words)]
    return [AuditEntry("seeds", NOTE, "the runs have different seeds", words)]


def _own_losses(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """Models that are trained with a loss of their own, beside others that are not."""
    own = {
        label: "its own loss"
        for label, members in runs.items()
        if any(has_own_loss(_trained(run)) for run in members)
    }
    if not own or len(own) == len(runs):
        return []
    why = "the loss belongs to the model; the other models cannot be trained with it"
    return [AuditEntry("loss of the model", NOTE, why, own)]


def _collapsed(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """Models that predict the same class everywhere."""
    found: dict[str, str] = {}
    for label, members in runs.items():
        alike = [run for run in members if run.only_class]
        if alike:
            names = ", ".join(dict.fromkeys(f"'{run.only_class}'" for run in alike))
            seeds = ", ".join(str(run.seed) for run in alike)
            found[label] = f"only {names} (seed {seeds})"
    why = "a model that predicts one class for every pixel has learned nothing from these data"
    return [AuditEntry("constant predictions", WEAKENS, why, found)] if found else []


def _identical(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """Models with a run whose predictions are those of a run of another model."""
    found: dict[str, str] = {}
    seen: dict[bytes, list[tuple[str, Run]]] = defaultdict(list)
    for label, members in runs.items():
        for run in members:
            alike = seen[run.images.total.tobytes()]
            for other_label, other in alike:
                if other_label != label and run.predicts_as(other):
                    found[label] = f"seed {run.seed} is seed {other.seed} of {other_label}"
            alike.append((label, run))
    why = "one run is listed under two names, so they are not two models"
    return [AuditEntry("identical predictions", WEAKENS, why, found)] if found else []


def _changed_weights(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """Models whose runs started from one weights file with different contents."""
    contents: dict[str, set[str]] = defaultdict(set)
    used: list[tuple[str, int, str, str]] = []
    for label, members in runs.items():
        for run in members:
            digest = (run.result.training or run.result).initial_weights
            file = weights_source(run.result.trained_config)
            if digest and file:
                contents[file].add(digest)
                used.append((label, run.seed, file, digest))
    words: dict[str, str] = {}
    for label, seed, file, digest in used:
        if len(contents[file]) > 1:
            before = f"{words[label]}; " if label in words else ""
            words[label] = f"{before}{Path(file).name} {digest[:8]} (seed {seed})"
    why = "the file that these runs started from has changed in between"
    return [AuditEntry("initial weights", WEAKENS, why, words)] if words else []


def _selected_on_test(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """Models whose best epoch was selected on the test images themselves."""
    chosen = {
        label: "best epoch on the tested images"
        for label, members in runs.items()
        if any(_is_selected_on_test(run) for run in members)
    }
    why = "the best epoch was chosen on the scored images, so the scores are too high"
    return [AuditEntry("selection on test", WEAKENS, why, chosen)] if chosen else []


def _is_selected_on_test(run: Run) -> bool:
    info = _trained(run).data_info
    prints = info.fingerprint if info else {}
    return (
        prints.get("val") is not None
        and prints["val"] == scored_data(run.result)
        and run.protocol.selection == "best"
    )


def _trained(run: Run) -> Result:
    """The record with what is known of the training."""
    return as_trained(run.result) or run.result


def _trained_on(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    """Models that were tested on images of their training."""
    known = {
        label: f"{most} of the {max(run.data.num_images.get(run.data.split, 0) for run in members)}"
        for label, members in runs.items()
        if (most := max(run.data.trained_on.get(run.data.split, 0) for run in members))
    }
    why = "tested images are training images too, so the scores are too high"
    return [AuditEntry("tested training images", WEAKENS, why, known)] if known else []


def _dirty(runs: Mapping[str, Sequence[Run]]) -> list[AuditEntry]:
    changed = {
        label: "seed " + ", ".join(str(run.seed) for run in members if run.result.dirty)
        for label, members in runs.items()
        if any(run.result.dirty for run in members)
    }
    if not changed:
        return []
    why = "the code had uncommitted changes, so the commit does not reproduce these runs"
    return [AuditEntry("dirty state", WEAKENS, why, changed)]
