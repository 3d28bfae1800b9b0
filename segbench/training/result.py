"""What result.json says of a training before its first step: config, data, budget, origin."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from segbench.artifacts import build, provenance
from segbench.artifacts.run_directory import RunDirectory
from segbench.errors import DataError
from segbench.training.task import SegmentationTask

Config = dict[str, Any]


def protocol(config: Config, data: Any) -> dict[str, Any]:
    """How the scores are measured: what two runs must share to be compared."""
    return {
        "resolution": "original",
        "resize": list(data.resize) if data.resize else None,
        "inference": config["inference"],
        "absent_classes": "exclude",
        "void_prediction": "miss",
        "selection": config["selection"],
        "num_classes": data.classes.num_classes,
        "labels": data.source.protocol,
        "precision": build.resolve_precision(config["precision"], config["trainer"]["accelerator"]),
    }


def first_result(config: Config) -> dict[str, Any]:
    """What is known from the config and the machine alone."""
    commit, dirty = provenance.commit()
    return {
        "status": "running",
        "reason": "",
        "kind": "train",
        "study": config["study"],
        "name": config["name"],
        "seed": config["seed"],
        "model": config["model"]["_target_"],
        "data": config["data"]["_target_"],
        "config": config,
        "versions": provenance.versions(),
        "commit": commit,
        "dirty": dirty,
        "command": provenance.command(),
        "hardware": {},
        "timings": {},
        "scores": {},
    }


def describe(
    result: dict[str, Any], task: SegmentationTask, data: Any, trainer: pl.Trainer, config: Config
) -> None:
    """Fills in what is known before the first step."""
    device, count = trainer.strategy.root_device, trainer.world_size
    result["hardware"] = provenance.hardware(device, count)
    result["classes"] = data.classes.to_dict()
    result["protocol"] = task.checkpoint_meta["protocol"]
    result["params"] = sum(p.numel() for p in task.model.parameters())
    result["data_info"] = {
        "fingerprint": task.checkpoint_meta["fingerprint"],
        "protocol": data.source.protocol,
        "comparable": data.source.comparable,
        "label_map": getattr(data.source, "found_label_map", None),
        "split": "test",
        "num_images": {s: len(data.records(s)) for s in ("train", "val", "test")},
    }
    prints = result["data_info"]["fingerprint"]
    if config["selection"] == "best" and prints["val"] == prints["test"] and trainer.is_global_zero:
        print(
            "note: val and test are the same images, and the best epoch is chosen on them: the "
            "test score will be too high. Say selection=last, or hold other images out of train "
            "(Cityscapes: data.val_cities=[ulm,zurich])."
        )
    batch = data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
    result["budget"] = {
        "effective_batch_size": batch,
        "precision": task.checkpoint_meta["protocol"]["precision"],
        "ema": config["ema"],
        "tuning_trials": config["tuning_trials"],
    }
    if trainer.is_global_zero:
        print(
            f"{config['name']} seed {config['seed']}: {result['params'] / 1e6:.2f} M parameters, "
            f"{result['data_info']['num_images']['train']} training images, batch {batch}, "
            f"{result['budget']['precision']}, {result['hardware']['device']}",
            flush=True,
        )


def check_same_data(
    begun_on: dict[str, str] | None, now: dict[str, str], before: Config, run: RunDirectory
) -> None:
    """Raises DataError if the run that is resumed was begun on other images.

    Args:
        begun_on: the fingerprints in its checkpoint; None in one of an earlier version.
        now: the fingerprints of the images as they are.
        before: its result.json, which answers in place of such a checkpoint.
        run: where it stands.
    """
    old = begun_on or before.get("data_info", {}).get("fingerprint")
    changed = [split for split in now if old and old.get(split) != now[split]]
    if changed:
        raise DataError(
            f"{run.path} was begun on other data: the fingerprint of {', '.join(changed)} differs. "
            "Restore the files, or start the run anew with overwrite=true"
        )
