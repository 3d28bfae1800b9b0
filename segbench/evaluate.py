"""Score a checkpoint, or a folder of label maps by any program, at original resolution.

    python -m segbench.evaluate ckpt=runs/.../best.ckpt              as the checkpoint was tested
    python -m segbench.evaluate ckpt=... inference=tta root=PATH     another way, data elsewhere
    python -m segbench.evaluate predictions=DIR data=cityscapes data.root=PATH format=label_ids

Writes result.json and confusion.npz, which `segbench.compare` reads, tables, a confusion figure and
the worst images to runs/STUDY/NAME/seedN.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from segbench.artifacts.run_directory import RunDirectory
from segbench.config import make_folder
from segbench.config.app import Outcome, run_verb
from segbench.errors import ConfigError

if TYPE_CHECKING:
    from segbench.artifacts.segmenter import Segmenter
    from segbench.data.dataset import Source
    from segbench.evaluation.evaluator import Evaluation

    Prepared = tuple[dict[str, Any], Source, Callable[[], Evaluation]]
Config = dict[str, Any]


def evaluate(config: DictConfig) -> Outcome:
    """Scores, writes the run directory, prints the table."""
    plain: Config = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    _check(plain)
    started = time.time()
    result, source, judge = _from_ckpt(plain) if plain["ckpt"] else _from_folder(plain)
    place = f"runs/{result['study']}/{result['name']}/seed{result['seed']}"
    run = RunDirectory(plain["run_dir"] or place)
    _check_place(plain, run, source)
    make_folder("run_dir", run.path)
    try:
        judged = judge()
    except BaseException:
        with contextlib.suppress(OSError):  # an earlier evaluation is in it
            run.path.rmdir()
        raise
    _complete(result, plain, judged, source)
    result["timings"] = {"total_seconds": time.time() - started}
    _write(run, result, plain, judged, source)
    return Outcome("finished", result["scores"][plain["split"]]["mIoU"], run_dir=str(run.path))


def _check(config: Config) -> None:
    problems = []
    if (config["ckpt"] is None) == (config["predictions"] is None):
        problems.append("give one of ckpt=FILE and predictions=FOLDER")
    if config["predictions"] and config["data"] is None:
        problems.append("predictions need data=NAME, the data set they are scored on")
    if config["data"] is not None and config["root"] is not None:
        problems.append("root is for the data set of a checkpoint; with data=NAME set data.root")
    if config["predictions"] and config["inference"]:
        problems.append("inference is for checkpoints; predictions are made already")
    if problems:
        raise ConfigError("; ".join(problems))


def _check_place(config: Config, run: RunDirectory, source: Source) -> None:
    from segbench.metrics.cityscapes_protocol import is_cityscapes

    previous = run.read_result()
    if previous is not None and previous.get("kind") != "evaluate":
        raise ConfigError(f"{run.path} holds a training; choose another study, name or run_dir")
    if config["save"] == "cityscapes" and not is_cityscapes(source.classes.names):
        raise ConfigError("save=cityscapes is for the 19 classes of Cityscapes; use save=ids")


def _from_ckpt(config: Config) -> Prepared:
    """The result so far, the data set, and the function that scores the checkpoint on it."""
    from segbench.artifacts import build, checkpoint, provenance
    from segbench.artifacts.segmenter import Segmenter
    from segbench.evaluation.evaluator import evaluate_checkpoint

    segmenter = Segmenter(
        config["ckpt"],
        config["inference"],
        config["device"],
        allow_targets=config["allow_targets"],
    )
    trained = segmenter.meta["config"]
    node = dict(config["data"] or trained["data"])
    checkpoint.check_allowed(node, config["ckpt"], config["allow_targets"])
    node |= {"root": config["root"]} if config["root"] else {}
    if config["data"] is not None:  # another data set, but seen as in training
        seen = _seen_as_in_training(segmenter)
        _check_seen(config["data"], seen)
        node |= seen
        config["data"] = dict(config["data"]) | seen  # the result tells what was used
    for key, value in (("eval_batch_size", "batch_size"), ("num_workers", "num_workers")):
        node |= {key: config[value]} if config[value] is not None else {}
    source = build.build_source(node)
    if source.classes.names != segmenter.classes.names:
        raise ConfigError(
            f"the classes differ: the network predicts {', '.join(segmenter.classes.names)}; "
            f"the data set has {', '.join(source.classes.names)}"
        )
    data = build.build_datamodule(node, source, trained["seed"])

    def judge() -> Evaluation:
        extras = config["boundary"], config["calibration"]
        return evaluate_checkpoint(segmenter, data, config["split"], *extras, _progress)

    result = {
        "study": config["study"],
        "name": config["name"] or trained["name"],
        "seed": trained["seed"] if config["seed"] is None else config["seed"],
        "model": trained["model"]["_target_"],
        "data": node["_target_"],
        "params": segmenter.num_params,
        "hardware": provenance.hardware(segmenter.device),
        "data_info": {"fingerprint": {config["split"]: data.fingerprint(config["split"])}},
        "protocol": {
            **segmenter.meta["protocol"],
            "inference": segmenter.inference,
            "source": f"ckpt={config['ckpt']}",
        },
    }
    return result, source, judge


def _seen_as_in_training(segmenter: Segmenter) -> Config:
    """How the network was shown its pictures: size and normalisation."""
    meta = segmenter.meta
    trained = meta["config"]["data"]  # an ONNX file normalises by itself: see there
    own = {key: list(trained.get(key) or meta[key]) for key in ("mean", "std")}
    return {"resize": meta["protocol"].get("resize"), **own}


def _check_seen(data: Config, seen: Config) -> None:
    """Raises ConfigError if the command line asks for pictures unlike those of the training."""
    from hydra.core.hydra_config import HydraConfig

    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    given = {str(word).lstrip("+").split("=", 1)[0] for word in words}
    wrong = [k for k in seen if f"data.{k}" in given and data.get(k) != seen[k]]
    if wrong:
        told = ", ".join(f"data.{key}={data.get(key)} (in training {seen[key]})" for key in wrong)
        raise ConfigError(
            f"{told}: the network sees pictures as in training, scores are those of the original "
            "size; leave this out"
        )


def _from_folder(config: Config) -> Prepared:
    """The result so far, the data set, and the function that scores the folder on it."""
    import torch

    from segbench.artifacts import build, provenance
    from segbench.evaluation.evaluator import evaluate_predictions

    source = build.build_source(config["data"])
    folder = Path(config["predictions"])
    data = build.build_datamodule(config["data"], source, 0)

    def judge() -> Evaluation:
        return evaluate_predictions(
            folder,
            source,
            config["split"],
            config["format"],
            config["void_values"],
            config["partial"],
            config["boundary"],
            config["num_workers"] or 2,
            _progress,
        )

    result = {
        "study": config["study"],
        "name": config["name"] or folder.resolve().name,
        "seed": config["seed"] or 0,
        "model": None,
        "data": config["data"]["_target_"],
        "params": None,
        "hardware": provenance.hardware(torch.device("cpu")),
        "data_info": {"fingerprint": {config["split"]: data.fingerprint(config["split"])}},
        "protocol": {
            "resolution": "original",
            "inference": None,
            "source": f"predictions={folder}",
            "format": config["format"],
            "void_values": config["void_values"],
        },
    }
    return result, source, judge


def _complete(result: Config, config: Config, judged: Evaluation, source: Source) -> None:
    """Adds what both ways have in common: scores, protocol, provenance."""
    from segbench.artifacts import provenance
    from segbench.evaluation.summary import summarize

    groups = [record.group for record in judged.records]
    commit, dirty = provenance.commit()
    result["scores"] = {
        config["split"]: summarize(
            judged.matrices, judged.extras, groups, source.classes, config["absent_classes"]
        )
    }
    result["protocol"] |= {
        "absent_classes": config["absent_classes"],
        "void_prediction": "miss",
        "num_classes": source.classes.num_classes,
        "labels": source.protocol,
        "partial": judged.left_out,
    }
    result["data_info"] |= {
        "protocol": source.protocol,
        "comparable": source.comparable,
        "split": config["split"],
        "num_images": {config["split"]: len(judged.records)},
    }
    result |= {
        "status": "finished", "reason": "", "kind": "evaluate", "config": config, "budget": {},
        "classes": source.classes.to_dict(), "commit": commit, "dirty": dirty,
        "versions": provenance.versions(), "command": provenance.command(),
    }  # fmt: skip


def _write(
    run: RunDirectory, result: Config, config: Config, judged: Evaluation, source: Source
) -> None:
    from segbench.evaluation import report as report
    from segbench.evaluation.summary import stacked_boundary

    found = result["scores"][config["split"]]
    names = [record.name for record in judged.records]
    groups = [record.group for record in judged.records]
    run.write_confusion(names, groups, judged.matrices, stacked_boundary(judged.extras))
    report.write_tables(run.path, result, judged.matrices, names)
    report.draw_confusion(run.path / "confusion.png", judged.matrices.sum(0), source.classes.names)
    report.draw_worst(run.path / "worst.png", judged, source, config["gallery"])
    if config["save"] != "none":
        report.save_predictions(run.path / "predictions", judged, config["save"])
    run.write_result(result)
    report.print_scores(found, result, run, judged.matrices)


def _progress(done: int, total: int) -> None:
    """A line that counts up, where someone is watching."""
    if sys.stderr.isatty():
        print(f"\r{done}/{total} images", end="\n" if done == total else "", file=sys.stderr)


if __name__ == "__main__":
    run_verb("evaluate", evaluate)
