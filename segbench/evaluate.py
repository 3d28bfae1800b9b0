"""Score a checkpoint, or label maps written by any program, at original resolution.

    python -m segbench.evaluate ckpt=runs/.../best.ckpt              as the checkpoint was tested
    python -m segbench.evaluate ckpt=... inference=tta root=PATH     with TTA, other data location
    python -m segbench.evaluate predictions=DIR data=cityscapes data.root=PATH format=label_ids

Writes result.json and confusion.npz (both read by `segbench.compare`), tables, a confusion
figure and the worst images to runs/STUDY/NAME/seedN.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from segbench.api.verbs import make_callable
from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config, make_folder, resolved
from segbench.config.app import run_verb
from segbench.config.outcome import Outcome
from segbench.errors import ConfigError
from segbench.evaluation import options
from segbench.system.console import progress, say
from segbench.system.storage import alone_in, replacing_all

if TYPE_CHECKING:
    import numpy as np

    from segbench.artifacts.result import Result
    from segbench.artifacts.scores import Scores
    from segbench.artifacts.segmenter import Segmenter
    from segbench.data.bands import Bands
    from segbench.data.dataset import Source
    from segbench.evaluation.corruptions import Corruption
    from segbench.evaluation.evaluator import Evaluation
    from segbench.evaluation.record import Subject


def evaluate(config: DictConfig) -> Outcome:
    """Scores, writes the run directory, prints the table."""
    plain = resolved(config)
    options.check(plain)
    started = time.time()
    subject = _of_ckpt(plain) if plain["ckpt"] else _of_folder(plain)
    place = f"runs/{plain['study']}/{subject.name}/seed{subject.seed}"
    run = RunDirectory(plain["run_dir"] or place)
    previous = options.check_place(plain, run, subject.source)
    other = previous and options.differences(previous, subject, plain["split"])
    if previous is not None and not other:
        options.check_kept(previous, plain, run)
    make_folder("run_dir", run.path)
    with alone_in(run.path, "run_dir"):
        evaluation = subject.evaluate()
        result, scores = _record(plain, subject, evaluation, started)
        if other:
            say(f"{run.path}: replaces an evaluation of other {', '.join(other)}")
            options.remove_pictures(run.path, plain["predictions"])
        _write(run, result, scores, plain, evaluation, subject.source)
    return Outcome("finished", scores.mIoU, run_dir=str(run.path))


def _record(
    config: Config, subject: Subject, evaluation: Evaluation, started: float
) -> tuple[Result, Scores]:
    from segbench.artifacts.result import Timings
    from segbench.evaluation.record import record, scores_of

    scores = scores_of(evaluation, subject.source.classes, config["absent_classes"])
    result = record(config, subject, evaluation, scores)
    return replace(result, timings=Timings(total_seconds=time.time() - started)), scores


def _of_ckpt(config: Config) -> Subject:
    from segbench.artifacts import build, provenance
    from segbench.artifacts.plain import is_component
    from segbench.artifacts.segmenter import Segmenter
    from segbench.data.bands import bands_of
    from segbench.evaluation.corruptions import CorruptedSource
    from segbench.evaluation.evaluator import evaluate_checkpoint
    from segbench.evaluation.record import Subject
    from segbench.evaluation.robustness import count_corrupted
    from segbench.evaluation.scored_checkpoint import protocol_of, training_of
    from segbench.evaluation.summary import Wanted

    segmenter = Segmenter(
        config["ckpt"],
        config["inference"],
        config["device"],
        allow_targets=config["allow_targets"],
    )
    trained = segmenter.meta["config"]
    if not (config["name"] or is_component(trained["name"])):
        raise ConfigError(
            f"ckpt={config['ckpt']}: its name {trained['name'][:80]!r} is not a valid folder "
            "name; set name=NAME"
        )
    node = dict(config["data"] or segmenter.data_node(config["root"]))
    if config["data"] is not None:  # another data set, but preprocessed as in training
        seen = _seen_as_in_training(segmenter)
        _check_seen(config["data"], seen)
        node |= seen
        config["data"] = dict(config["data"]) | seen  # recorded in the result
    for key, value in (("eval_batch_size", "batch_size"), ("num_workers", "num_workers")):
        node |= {key: config[value]} if config[value] is not None else {}
    source = build.build_source(node) if config["data"] else segmenter.source(config["root"])
    _check_bands(bands_of(source), segmenter.bands)
    if source.classes.names != segmenter.classes.names:
        raise ConfigError(
            f"the classes differ: the model predicts {', '.join(segmenter.classes.names)}; the "
            f"data set has {', '.join(source.classes.names)}"
        )
    data = build.build_datamodule(node, source, trained["seed"])
    training, fingerprint = training_of(segmenter), data.fingerprint(config["split"])
    known = training.fingerprint.get(config["split"])
    if config["data"] is None and known not in (None, fingerprint):
        say(
            f"the images or masks of {config['split']} are not those of the training's "
            f"{config['split']} split: some are missing, added or changed"
        )
    corruptions = options.corruptions(config)

    def evaluation() -> Evaluation:
        with progress("Evaluating") as show:
            found = evaluate_checkpoint(
                segmenter, data, config["split"], options.wanted(config), show
            )
        if not corruptions:
            return found
        scored, counts = count_corrupted(corruptions, corrupted, config["absent_classes"])
        return replace(found, corrupted=scored, corrupted_counts=counts)

    def corrupted(corruption: Corruption) -> np.ndarray:
        other = build.build_datamodule(
            node | {"cache": "none"}, CorruptedSource(source, corruption), trained["seed"]
        )
        plain = Wanted(options=())
        with progress(str(corruption)) as show:
            return evaluate_checkpoint(segmenter, other, config["split"], plain, show).matrices

    return Subject(
        name=config["name"] or trained["name"],
        seed=trained["seed"] if config["seed"] is None else config["seed"],
        model=trained["model"]["_target_"],
        params=segmenter.num_params,
        data=node["_target_"],
        hardware=provenance.hardware(segmenter.device),
        fingerprint=fingerprint,
        protocol=replace(
            protocol_of(segmenter),
            inference=segmenter.inference,
            source=f"ckpt={config['ckpt']}",
        ),
        source=source,
        evaluate=evaluation,
        training=training,
    )


def _check_bands(given: Bands, wanted: Bands) -> None:
    """Raises ConfigError if a data set has other bands than a checkpoint uses."""
    if (given.channels, given.keeps_values) != (wanted.channels, wanted.keeps_values):
        raise ConfigError(
            f"the checkpoint expects channels={wanted.channels}, "
            f"value_range={wanted.value_range}, but the data set has channels={given.channels}, "
            f"value_range={given.value_range}; remove data.channels and data.value_range, or use "
            "another data set"
        )


def _seen_as_in_training(segmenter: Segmenter) -> Config:
    """How images were preprocessed for the model: size, bands and normalization."""
    from segbench.artifacts.typed import plain

    meta = segmenter.meta
    trained = meta["config"]["data"]  # an ONNX graph normalizes by itself: see there
    own: Config = {}
    for key in ("mean", "std"):
        given = trained.get(key)
        own[key] = list(meta[key] if given is None or given == "auto" else given)
    if not segmenter.bands.is_rgb8:
        bands = plain(segmenter.bands)
        own |= {key: bands[key] for key in ("channels", "value_range")}
    return {"resize": meta["protocol"].get("resize"), **own}


def _check_seen(data: Config, seen: Config) -> None:
    """Raises ConfigError if the command line sets another preprocessing than in training."""
    from hydra.core.hydra_config import HydraConfig

    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    given = {str(word).lstrip("+").split("=", 1)[0] for word in words}
    wrong = [k for k in seen if f"data.{k}" in given and data.get(k) != seen[k]]
    if wrong:
        told = ", ".join(f"data.{key}={data.get(key)} (in training {seen[key]})" for key in wrong)
        raise ConfigError(
            f"{told}: the model sees images as in training, and scores are computed at the "
            "original size; remove this setting"
        )


def _of_folder(config: Config) -> Subject:
    import torch

    from segbench.artifacts import build, provenance
    from segbench.artifacts.result import Protocol
    from segbench.evaluation.evaluator import evaluate_predictions
    from segbench.evaluation.record import Subject

    source = build.build_source(config["data"])
    options.check_void_values(config, source.classes.names)
    folder = Path(config["predictions"])
    data = build.build_datamodule(config["data"], source, 0)

    def evaluation() -> Evaluation:
        with progress("Counting") as show:
            return evaluate_predictions(
                folder,
                source,
                config["split"],
                config["format"],
                config["void_values"],
                config["partial"],
                options.wanted(config),
                Path(config["confidence"]) if config["confidence"] else None,
                config["num_workers"] or 2,
                show,
            )

    return Subject(
        name=config["name"] or folder.resolve().name,
        seed=config["seed"] or 0,
        model=None,
        params=None,
        data=config["data"]["_target_"],
        hardware=provenance.hardware(torch.device("cpu")),
        fingerprint=data.fingerprint(config["split"]),
        protocol=Protocol(
            source=f"predictions={folder}",
            format=config["format"],
            void_values=config["void_values"],
        ),
        source=source,
        evaluate=evaluation,
    )


def _write(
    run: RunDirectory,
    result: Result,
    scores: Scores,
    config: Config,
    evaluation: Evaluation,
    source: Source,
) -> None:
    from segbench.evaluation import report
    from segbench.evaluation.confusion_figure import draw_confusion
    from segbench.evaluation.summary import stacked_counts
    from segbench.metrics.robustness import CORRUPTED

    names = [record.name for record in evaluation.records]
    groups = [record.group for record in evaluation.records]
    with replacing_all(run.path) as folder:
        draft = RunDirectory(folder)
        counts = stacked_counts(evaluation.extras)
        if evaluation.corrupted_counts is not None:
            counts[CORRUPTED] = evaluation.corrupted_counts
        draft.write_confusion(names, groups, evaluation.matrices, counts)
        report.write_tables(folder, result, scores, evaluation.matrices, names)
        draw_confusion(folder / "confusion.png", evaluation.matrices.sum(0), source.classes.names)
        report.draw_worst(folder / "worst.png", evaluation, source, config["gallery"])
        if config["save"] != "none":
            report.save_predictions(folder / "predictions", evaluation, config["save"])
        draft.write_result(result)
    report.print_scores(scores, result, run, evaluation.matrices)


if __name__ == "__main__":
    run_verb("evaluate", evaluate)
else:
    make_callable(__name__)
