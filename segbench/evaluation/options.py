"""The keys of `segbench.evaluate` that need more than their type: checked, and put together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config
from segbench.config.schema import EvaluateConfig
from segbench.errors import ConfigError, ResultError

if TYPE_CHECKING:
    from segbench.artifacts.result import Result
    from segbench.data.dataset import Source
    from segbench.evaluation.corruptions import Corruption
    from segbench.evaluation.record import Subject
    from segbench.evaluation.summary import Wanted


def check(config: Config) -> None:
    """Raises ConfigError unless the keys fit together."""
    problems = []
    if (config["ckpt"] is None) == (config["predictions"] is None):
        problems.append("set either ckpt=FILE or predictions=FOLDER")
    if config["predictions"] and config["data"] is None:
        problems.append("predictions: also set data=NAME, the data set to score them on")
    if config["data"] is not None and config["root"] is not None:
        problems.append("root is for the data set of a checkpoint; with data=NAME set data.root")
    if config["corruptions"] and config["predictions"]:
        problems.append("corruptions are for checkpoints: predictions are made already")
    if config["confidence"] and not config["predictions"]:
        problems.append("confidence=FOLDER belongs to predictions=FOLDER; a checkpoint has its own")
    ignored = {"format": "auto", "void_values": [], "partial": False}
    if config["ckpt"] and (given := [key for key in ignored if config[key] != ignored[key]]):
        problems.append(f"{', '.join(given)}: for predictions=FOLDER; a checkpoint makes its own")
    if not config["corruptions"] and config["severities"] != EvaluateConfig().severities:
        problems.append("severities: of corruptions; also set corruptions=all or names")
    spacing = config["spacing"]
    if len(spacing) != 2 or not all(0 < side < math.inf for side in spacing):
        problems.append(f"spacing={spacing}: must be the height and width of a pixel, above 0")
    if config["predictions"] and config["inference"]:
        problems.append("inference applies to checkpoints, not to existing predictions")
    if problems:
        raise ConfigError("; ".join(problems))


def check_void_values(config: Config, names: Sequence[str]) -> None:
    """Raises ConfigError if a void value cannot occur in predictions, or is the ID of a class."""
    values, of_ids = config["void_values"], config["format"] in ("auto", "ids")
    if wrong := [value for value in values if not 0 <= value < 1 << 16]:
        raise ConfigError(f"void_values={wrong}: labels are 0 to 65535")
    if classes := [f"{v} is '{names[v]}'" for v in values if of_ids and v < len(names)]:
        raise ConfigError(
            f"void_values: {', '.join(classes)}, a class of the data set; only other values can "
            "mean that there is none"
        )


def check_place(config: Config, run: RunDirectory, source: Source) -> Result | None:
    """The evaluation that is in this run directory, if any.

    Raises:
        ConfigError: the result cannot be written there.
    """
    from segbench.metrics.cityscapes_protocol import is_cityscapes

    try:
        previous = run.read_result()
    except ResultError as error:
        raise ConfigError(f"{error}; remove it, or set a different run_dir") from None
    if previous is not None and previous.kind != "evaluate":
        raise ConfigError(
            f"{run.path} contains a training run; set a different study, name or run_dir"
        )
    if config["save"] == "cityscapes" and not is_cityscapes(source.classes.names):
        raise ConfigError("save=cityscapes is for the 19 classes of Cityscapes; use save=ids")
    return previous


def differences(previous: Result, subject: Subject, split: str) -> list[str]:
    """What an earlier evaluation was not made of alike; its files do not fit to this one."""

    def weights(each: Result | Subject) -> object:
        return each.training.weights if each.training else each.protocol and each.protocol.source

    data, protocol = previous.data_info, previous.protocol
    is_other = {
        "weights": weights(previous) != weights(subject),
        "images": (data and data.fingerprint) != {split: subject.fingerprint},
        "inference": (protocol and protocol.inference) != subject.protocol.inference,
    }
    return [name for name, differs in is_other.items() if differs]


def check_kept(previous: Result, config: Config, run: RunDirectory) -> None:
    """Raises ConfigError if an evaluation would lose what was measured of the same before."""
    from segbench.metrics.catalog import OPTIONS

    before = previous.config
    lost = [f"{key}=true" for key in OPTIONS if before.get(key) and not config[key]]
    if before.get("corruptions") and not config["corruptions"]:
        lost.append("corruptions")
    if lost:
        raise ConfigError(
            f"{run.path}: has scores of the same predictions that would be lost: set "
            f"{' and '.join(lost)} again, or another study or run_dir"
        )


def remove_pictures(folder: Path, predictions: str | None) -> None:
    """Removes what an earlier evaluation drew and saved, except predictions that are scored now."""
    (folder / "worst.png").unlink(missing_ok=True)
    saved = folder / "predictions"
    given = None if predictions is None else Path(predictions).resolve()
    if given is None or saved.resolve() not in (given, *given.parents):
        shutil.rmtree(saved, ignore_errors=True)


def wanted(config: Config) -> Wanted:
    """What is counted beside the confusion matrices."""
    from segbench.evaluation.summary import Wanted
    from segbench.metrics.catalog import OPTIONS

    return Wanted(
        options=tuple(key for key in OPTIONS if config[key]),
        spacing=(config["spacing"][0], config["spacing"][1]),
        tolerance=config["tolerance"],
    )


def corruptions(config: Config) -> list[Corruption]:
    """The corruptions that are asked for; none if `corruptions` is null or empty.

    Raises:
        ConfigError: they are no names, or see `corruptions.chosen`.
    """
    from segbench.evaluation.corruptions import chosen

    given = config["corruptions"]
    if given is None or given == []:
        return []
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"corruptions={given}: expected all, or names such as [fog,snow]")
    if "all" in names and len(names) > 1:
        raise ConfigError(f"corruptions={','.join(names)}: all stands alone")
    return chosen(names, config["severities"])
