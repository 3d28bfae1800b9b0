"""Reads the runs of a study from disk, and refuses to put incomparable runs into one table.

A run directory contains `result.json` and `confusion.npz` (see `artifacts.run_directory`), whether
it was trained here (`kind` train) or its predictions came from another program (`kind` evaluate).
Runs that cannot be used are left out by name; nothing is dropped silently.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segbench.artifacts.differences import REFUSED
from segbench.comparison.runs import LeftOut, Run, read_run
from segbench.config import did_you_mean, nearest
from segbench.data.classes import ClassSet
from segbench.errors import ConfigError, DataError


@dataclass(frozen=True)
class Study:
    """The runs of one table, by label, seeds ascending; and everything left out.

    `only`: the names that alone were asked for; () = all.
    """

    path: Path
    runs: dict[str, list[Run]]
    left_out: list[LeftOut]
    only: tuple[str, ...] = ()

    def label_of(self, name: str | None) -> str | None:
        """The label of a model that is named by its label or by the full name of its runs."""
        full = {run.result.name: label for label, runs in self.runs.items() for run in runs}
        return name if name is None or name in self.runs else full.get(name, name)

    @property
    def classes(self) -> ClassSet:
        """The classes that all runs share."""
        return self.first.classes

    @property
    def first(self) -> Run:
        """Any run, for properties that all runs share."""
        return next(iter(self.runs.values()))[0]

    @property
    def absent(self) -> str:
        """The policy for classes in neither mask nor pred."""
        return self.first.protocol.absent_classes

    @property
    def has_boundary(self) -> bool:
        """Whether all runs counted the pixels near class boundaries."""
        return all("boundary_IoU" in run.images.more for runs in self.runs.values() for run in runs)


def study_names(study: str | None, studies: Sequence[str], alone: str) -> list[str]:
    """The studies that the keys `study` and `studies` of a command name.

    Args:
        study, studies: the values of the keys.
        alone: what a single one is called in the message that refuses it in `studies`.

    Raises:
        ConfigError: both or none are given, a single one in `studies`, or one name twice.
    """
    if (study is None) == (not studies):
        raise ConfigError("give one of study=NAME and studies=[NAME,NAME,...]")
    if len(studies) == 1:
        raise ConfigError(f"studies={studies[0]}: {alone} study={studies[0]}")
    if len(set(studies)) < len(studies):
        raise ConfigError(f"studies={','.join(studies)}: name each study once")
    if len({Path(name).name for name in studies}) < len(studies):
        raise ConfigError(
            f"studies={','.join(studies)}: two of them are folders of the same name, by which a "
            "report names data sets; rename one"
        )
    return [study] if study is not None else list(studies)


def read_studies(paths: Sequence[Path], only: Sequence[str] = ()) -> list[Study]:
    """Reads several studies, see `read_study`.

    Raises:
        DataError: as `read_study`; or a name of `only` is in none of them.
    """
    known: dict[str, str] = {}
    for path in paths:
        known |= _names_of_folders(path.glob("*/seed*"))
    if known and (unknown := [name for name in dict.fromkeys(only) if name not in known]):
        hints = []
        for name in unknown:
            options = set(known if nearest(name, known) else known.values())
            hints.append(f"{name}: no run has this name{did_you_mean(name, options)}")
        raise DataError(f"only: {', '.join(hints)}")
    return [read_study(path, only) for path in paths]


def read_study(path: Path, only: Sequence[str] = ()) -> Study:
    """Reads `RUNS/STUDY/NAME/seedN` of one study.

    Args:
        path: the directory of the study.
        only: names (MODEL-DATA, or as short as in the report) to use; all if empty.

    Raises:
        DataError: the directory or a finished run is missing, or runs must not share a table.
    """
    if not path.is_dir():
        known = [each.parent.parent.name for each in path.parent.glob("*/*/seed*")]
        hint = did_you_mean(path.name, set(known)) or "; nothing was trained in this folder"
        if path.parent.name and (path.parent.parent / path.name).is_dir():  # runs/NAME in runs
            hint = f"; a study is named without its folder: {path.name}"
        raise DataError(f"{path}: there is no such study{hint}")
    every = [folder for folder in sorted(path.glob("*/seed*")) if folder.is_dir()]
    names = _names_of_folders(every)
    wanted = {names[name] for name in only if name in names}
    folders = [f for f in every if not only or f.parent.name in wanted]
    runs: list[Run] = []
    unwanted = dict.fromkeys(f.parent for f in every if f not in folders)
    left_out: list[LeftOut] = []
    for folder in folders:
        found = read_run(folder)
        (runs if isinstance(found, Run) else left_out).append(found)  # type: ignore[arg-type]
    runs = _without_duplicates(runs, left_out)
    if not runs:
        reasons = "".join(f"\n  {entry.path}: {entry.reason}" for entry in left_out)
        raise DataError(
            f"{path}: no finished run to compare"
            + (f" among {', '.join(only)}" if only else "")
            + (reasons or "; train some with study=NAME first")
        )
    left_out += [LeftOut(f, "not compared: only=[...] does not name it", False) for f in unwanted]
    _refuse_mixed_tables(path, runs)
    return Study(path, _by_label(runs), left_out, tuple(only))


def _without_duplicates(runs: list[Run], left_out: list[LeftOut]) -> list[Run]:
    """Removes what would count one training twice.

    That is: runs of the same name and seed, with the same predictions, or without any training.
    """
    kept: list[Run] = []
    for run in runs:
        for other in kept:
            if run.label != other.label:
                continue
            if run.seed == other.seed:
                reason = f"seed {run.seed} of {run.label} also exists in {_place(other)}"
            elif run.predicts_as(other):
                reason = (
                    f"its predictions are identical to those of {_place(other)}: one run would "
                    "count twice"
                )
            elif run.repeats(other):
                reason = (
                    f"it scores the training of {_place(other)} again: that is not another seed"
                )
            elif run.is_untrained and other.is_untrained:
                reason = (
                    f"nothing was trained in it, nor in {_place(other)} (trainer.max_epochs=0): "
                    "two seeds are not two trainings"
                )
            else:
                continue
            left_out.append(LeftOut(run.path, reason, broken=True))
            break
        else:
            kept.append(run)
    return kept


def _place(run: Run) -> str:
    """The folder of a run in its study."""
    return f"{run.path.parent.name}/{run.path.name}"


def _refuse_mixed_tables(path: Path, runs: list[Run]) -> None:
    problems = []
    for rule in REFUSED:
        found = defaultdict(list)
        for run in runs:
            found[json.dumps(rule.read(run.result) if rule.read else None)].append(run)
        if len(found) > 1:
            parts = [f"{value} ({_labels(group, runs)})" for value, group in found.items()]
            problems.append(f"{rule.name}: {'; '.join(parts)}; {rule.why}")
    images = defaultdict(list)
    for run in runs:
        images[tuple(zip(run.names, run.groups, strict=True))].append(run)
    if len(images) > 1 and not problems:
        parts = [f"{len(key)} images ({_labels(group, runs)})" for key, group in images.items()]
        problems.append(f"the images or their groups: {'; '.join(parts)}")
    if problems:
        raise DataError(
            f"{path}: these runs are not comparable: they differ in\n  - "
            + "\n  - ".join(problems)
            + "\nSet only=[NAME,...] to compare those that match; move single runs elsewhere."
        )


def _labels(group: list[Run], runs: list[Run]) -> str:
    """The models of a group; with the seed where runs of one model are in several groups."""
    inside = {id(run) for run in group}
    split = {run.label for run in runs if id(run) not in inside}
    names = {f"{run.label} seed {run.seed}" if run.label in split else run.label for run in group}
    return ", ".join(sorted(names))


def _names_of_folders(runs: Iterable[Path]) -> dict[str, str]:
    """The folders of the models of a study, by their name and by its short form."""
    full = {folder.parent.name for folder in runs}
    return {short: name for name, short in short_names(full).items()} | {n: n for n in full}


def short_names(names: Iterable[str], foreign: Iterable[str] = ()) -> dict[str, str]:
    """Names of runs (MODEL-DATA) without the data, if all share it and the names stay unique.

    Args:
        names: all of them.
        foreign: those of predictions made elsewhere, which need not end in the data.
    """
    known, other = sorted(set(names)), set(foreign)
    ours = [name for name in known if name not in other] or known
    endings = {name.rpartition("-")[2] for name in ours if "-" in name}
    ending = f"-{endings.pop()}" if len(endings) == 1 else ""
    short = {name: name.removesuffix(ending) or name for name in known}
    return short if len(set(short.values())) == len(known) else {name: name for name in known}


def _by_label(runs: list[Run]) -> dict[str, list[Run]]:
    """Runs by their short name, seeds ascending."""
    foreign = {run.label for run in runs if run.result.model is None}
    short = short_names((run.label for run in runs), foreign)
    groups: dict[str, list[Run]] = {label: [] for label in short.values()}
    for run in sorted(runs, key=lambda run: run.seed):
        label = short[run.label]
        groups[label].append(replace(run, label=label))
    return groups
