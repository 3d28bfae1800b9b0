"""The record of an evaluation: what was scored, how, and its provenance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from segbench.artifacts import provenance
from segbench.artifacts.result import DataInfo, Hardware, Protocol, Result, Training
from segbench.artifacts.scores import Scores, Split
from segbench.artifacts.typed import read_as
from segbench.config import Config
from segbench.data.classes import ClassSet
from segbench.data.dataset import Source
from segbench.evaluation.evaluator import Evaluation
from segbench.evaluation.summary import summarize
from segbench.metrics import robustness


@dataclass(frozen=True)
class Subject:
    """What is scored: a checkpoint, or a folder of label maps.

    Args:
        name, seed: of its run.
        model, params: dotted name of its class, number of its parameters; None for a folder.
        data: dotted name of the data source's class.
        hardware: the hardware used for scoring.
        fingerprint: fingerprint of the scored split.
        protocol: how the predictions were made; common fields are added later.
        source: the data set.
        training: how the checkpoint was trained; None for a folder.
        evaluate: computes the evaluation.
    """

    name: str
    seed: int
    model: str | None
    params: int | None
    data: str
    hardware: Hardware
    fingerprint: str
    protocol: Protocol
    source: Source
    evaluate: Callable[[], Evaluation]
    training: Training | None = None


def scores_of(evaluation: Evaluation, classes: ClassSet, absent: str) -> Scores:
    """Computes the scores of an evaluation; `absent` as in `metrics.scores`."""
    groups = [record.group for record in evaluation.records]
    found = summarize(evaluation.matrices, evaluation.extras, groups, classes, absent)
    result = read_as(Scores, found)
    if evaluation.corrupted is None:
        return result
    means = robustness.summary(evaluation.corrupted, result.mIoU)
    return replace(
        result,
        corrupted=evaluation.corrupted,
        mean_corrupted_mIoU=means["mean_corrupted"],
    )


def record(config: Config, subject: Subject, evaluation: Evaluation, scores: Scores) -> Result:
    """Creates the record of a finished evaluation.

    Args:
        config: the resolved config of `segbench.evaluate`.
        subject: what was scored.
        evaluation: its counts.
        scores: its scores.
    """
    commit, dirty = provenance.commit()
    source, split = subject.source, config["split"]
    return Result(
        status="finished",
        kind="evaluate",
        study=config["study"],
        name=subject.name,
        seed=subject.seed,
        model=subject.model,
        data=subject.data,
        config=config,
        command=provenance.command(),
        commit=commit,
        dirty=dirty,
        versions=provenance.versions(),
        hardware=subject.hardware,
        classes=source.classes,
        data_info=DataInfo(
            fingerprint={split: subject.fingerprint},
            protocol=source.protocol,
            comparable=source.comparable,
            split=split,
            num_images={split: len(evaluation.records)},
            trained_on=_trained_on(subject, split, len(evaluation.records)),
        ),
        protocol=replace(
            subject.protocol,
            absent_classes=config["absent_classes"],
            num_classes=source.classes.num_classes,
            labels=source.protocol,
            partial=evaluation.left_out,
        ),
        params=subject.params,
        scores={split: scores},
        training=subject.training,
    )


def _trained_on(subject: Subject, split: Literal["val", "test"], number: int) -> dict[Split, int]:
    """How many of the `number` scored images the checkpoint was trained on, as far as is known."""
    training = subject.training
    if training is not None and training.fingerprint.get("train") == subject.fingerprint:
        return {split: number}
    if training is None or training.fingerprint.get(split) != subject.fingerprint:
        return {}
    count = training.trained_on.get(split)
    return {split: count} if count else {}
