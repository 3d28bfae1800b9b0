"""One training from config to result: build, fit, test, write."""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from segbench.artifacts.checkpoint import Checkpoint, read_checkpoint
from segbench.artifacts.result import Result
from segbench.artifacts.run_directory import RunDirectory
from segbench.artifacts.scores import Scores
from segbench.artifacts.typed import known, read_as
from segbench.config import Config
from segbench.errors import ConfigError, DataError
from segbench.metrics.scores import scores
from segbench.system.console import say
from segbench.training.build import RunParts, build_run
from segbench.training.description import (
    check_same_run,
    describe,
    earlier_result,
    first_result,
    print_description,
)
from segbench.training.distributed import is_first_process, process_name
from segbench.training.ending import Journal, ended_by_sigterm, recorded
from segbench.training.report import print_report
from segbench.training.terminal_log import logged_to
from segbench.training.tracking import finish_wandb, log_confusion, log_facts
from segbench.training.trainer import check_possible


def run_training(config: Config, run: RunDirectory) -> Result:
    """Trains, tests and writes the run directory.

    Args:
        config: the resolved config of `segbench.train`.
        run: where to write; a `last.ckpt` in it is resumed.

    Returns:
        The record, the content of result.json.

    Raises:
        EndedBySignalError: SIGTERM was received during the training.
        InterruptedByUserError: Ctrl-C was pressed.
        OutputError: the disk is full.
    """
    quiet_libraries()
    resume = run.last_checkpoint if run.last_checkpoint.is_file() else None
    before = earlier_result(run) if resume else None
    with logged_to(run.log_file):
        journal = Journal(run, first_result(config, before), process_name())
        failed = True
        try:
            with recorded(journal):
                _work(config, run, journal, before, resume)
            failed = False
        finally:
            finish_wandb(failed)
        if is_first_process():
            _show(journal.result, run)
    return journal.result


def _work(
    config: Config, run: RunDirectory, journal: Journal, before: Result | None, resume: Path | None
) -> None:
    started = time.time()
    with ended_by_sigterm(journal), _determinism_explained():
        if is_first_process():
            run.write_config(config)
        journal.update(journal.result)
        check_possible(config)
        checkpoint = _read_own(resume, run) if resume else None
        begun: Mapping[str, object] = checkpoint["segbench"] if checkpoint else {}
        parts = build_run(config, run)
        check_same_run(begun, before, parts, run)
        parts = _as_begun(parts, begun)
        journal.update(describe(journal.result, parts, config))
        log_facts(parts.trainer.loggers, journal.result)
        if is_first_process():
            weights = parts.task.model.parameters()
            frozen = sum(p.numel() for p in weights if not p.requires_grad)
            print_description(journal.result, frozen)
            if checkpoint:
                say(f"resuming {resume} after epoch {checkpoint['epoch'] + 1}")
    _fit(parts, journal, resume)
    with ended_by_sigterm(journal), _determinism_explained():
        # Only test given weights. All ranks must take part in saving, so the condition must not
        # depend on what another one has written in the meantime.
        if parts.trainer.max_epochs == 0 and resume is None:
            parts.trainer.save_checkpoint(run.last_checkpoint)
        result = _with_training(journal.result, parts)
        result = _with_selected(result, config, run, parts)
        if config["test"]:
            result = _with_test(result, run, parts)
    timings = replace(result.timings, total_seconds=time.time() - started)
    journal.update(replace(result, status="finished", timings=timings))


def _as_begun(parts: RunParts, begun: Mapping[str, object]) -> RunParts:
    """With the hash of the weights that the run started from: their file may have changed since."""
    if not begun.get("initial_weights"):
        return parts
    first = str(begun["initial_weights"])
    parts.task.checkpoint_meta = {**parts.task.checkpoint_meta, "initial_weights": first}
    return replace(parts, initial_weights=first)


def _fit(parts: RunParts, journal: Journal, resume: Path | None) -> None:
    """Trains; if the run is resumed, trains the remaining epochs."""
    trainer = parts.trainer
    of_all = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
    try:
        with _determinism_explained():
            trainer.fit(parts.task, parts.data, ckpt_path=resume, weights_only=True)
        parts.task.check_end()
    finally:
        journal.progress = f" in epoch {trainer.current_epoch + 1}{of_all}"
    journal.progress = " in the test"


def _with_training(result: Result, parts: RunParts) -> Result:
    """Adds budget and timings of the training."""
    trainer, totals = parts.trainer, parts.speed.totals
    on_gpu = trainer.strategy.root_device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
    return replace(
        result,
        budget=replace(
            result.budget,
            epochs=trainer.current_epoch,
            steps=trainer.global_step,
            images_seen=int(totals["images"]),
            found_lr=parts.task.found_lr,
        ),
        timings=replace(parts.speed.timings(), peak_memory_MiB=peak),
    )


def _with_selected(result: Result, config: Config, run: RunDirectory, parts: RunParts) -> Result:
    """Loads the selected weights as in their checkpoint; adds their scores on val."""
    checkpoint = _read_own(_selected(config, run, parts), run)
    parts.task.load_state_dict(checkpoint["state_dict"])
    val = checkpoint["segbench"]["scores"].get("val")
    return replace(
        result,
        scores={"val": None if val is None else read_as(Scores, val)},
        selected_epoch=int(checkpoint["epoch"]) + 1 if parts.trainer.max_epochs else 0,
    )


def _with_test(result: Result, run: RunDirectory, parts: RunParts) -> Result:
    """Tests the loaded weights; adds their scores, and writes the confusion matrices."""
    task, data, trainer = parts.task, parts.data, parts.trainer
    trainer.test(task, data, verbose=False)
    index, matrices, boundary = known(task.tested)
    records, info = data.records("test"), known(result.data_info)
    found = read_as(Scores, scores(matrices.sum(0), data.classes.names))
    if trainer.is_global_zero:
        names, groups = zip(*((records[i].name, records[i].group) for i in index), strict=True)
        run.write_confusion(names, groups, matrices, {"boundary_IoU": boundary})
        log_confusion(trainer.loggers, matrices.sum(0), data.classes.names)
    if len(index) < len(records):  # trainer.limit_test_batches
        info = replace(info, tested=len(index), comparable=False)
    return replace(result, scores={**result.scores, "test": found}, data_info=info)


def _selected(config: Config, run: RunDirectory, parts: RunParts) -> Path:
    """The checkpoint with the weights to test.

    Raises:
        ConfigError: the checkpoint does not exist.
    """
    file = run.best_checkpoint if config["selection"] == "best" else run.last_checkpoint
    if file.is_file():
        return file
    if parts.trainer.current_epoch:
        raise ConfigError(
            f"{file} is missing: {parts.trainer.current_epoch} epoch(s) were trained, but it was "
            "removed since. Set selection=last to test the last weights, or retrain with "
            "overwrite=true"
        )
    raise ConfigError(
        f"selection={config['selection']}, but no checkpoint was written: no epoch with "
        "validation was completed (trainer.max_epochs, trainer.check_val_every_n_epoch)"
    )


def _read_own(file: Path, run: RunDirectory) -> Checkpoint:
    """Reads a checkpoint of this run.

    Raises:
        DataError: it is damaged; the message says how to continue the run.
    """
    try:
        return read_checkpoint(file)
    except ConfigError as error:
        other = run.best_checkpoint if file == run.last_checkpoint else run.last_checkpoint
        copy = f"`cp {other} {file}` continues with {other.name}, or " if other.is_file() else ""
        raise DataError(f"{error}. {copy}retrain with overwrite=true") from None


def _show(result: Result, run: RunDirectory) -> None:
    """Prints the report; the run is finished, so that errors here do not change its status."""
    try:
        print_report(result, run)
    except Exception as error:
        say(f"{run.path} is finished; its report cannot be shown ({error!r})")


@contextmanager
def _determinism_explained() -> Iterator[None]:
    """Explains what to do if torch rejects an operation because of deterministic=true."""
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"(\S+) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        raise ConfigError(
            f"deterministic=true: torch has no deterministic implementation of {found[1]}, which "
            "this training needs on this device; set deterministic=false"
        ) from None


def quiet_libraries() -> None:
    """Hides hints of libraries that do not apply to this run."""
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists.*",
        ".*number of training batches.*",
        ".*`isinstance.treespec.*",
        ".*LeafSpec.*",
        ".*lr_scheduler.step.*before.*",
    ):
        warnings.filterwarnings("ignore", text)
