"""Measure the cost of models: parameters, FLOPs, latency, throughput, memory, training step.

python -m segbench.benchmark model=unet,segformer_b0 sizes=[[360,480]]
python -m segbench.benchmark study=custom_vs_unet       the models of its runs, for segbench.compare

Every model is measured in its own process, warmed up, with the device synchronized, in several
rounds whose spread is printed. Times are comparable within one table, not between machines.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from segbench.artifacts.run_directory import RunDirectory
from segbench.config import Config, make_folder, resolved
from segbench.config.app import run_verb
from segbench.config.named_models import as_list, training_configs
from segbench.config.outcome import Outcome
from segbench.config.values import forget_class_weight_rules
from segbench.errors import ConfigError, ResultError
from segbench.system.console import say
from segbench.system.storage import write_text

if TYPE_CHECKING:
    from segbench.cost.row import Job

LOGGER = {
    "csv": {"_target_": "pytorch_lightning.loggers.CSVLogger", "name": "csv", "version": None}
}


def benchmark(config: DictConfig) -> Outcome:
    """Measures every model, prints the table, writes benchmark.json."""
    plain = resolved(config)
    _check(plain)
    default = f"runs/{plain['study']}/benchmark.json" if plain["study"] else "benchmark.json"
    file = Path(plain["output"] or default)
    of_study = plain["study"]
    if of_study:
        candidates = _of_study(of_study, plain["allow_targets"])
    else:
        named = training_configs(plain["models"])
        candidates = {name: {**train, "data": plain["data"]} for name, train in named.items()}
    from segbench.artifacts.segmenter import resolve_device
    from segbench.cost.measurement import measure_in_process
    from segbench.cost.report import print_costs, report

    resolve_device(plain["device"])

    make_folder("output", file.parent)
    rows = []
    for number, job in enumerate(jobs := list(_jobs(plain, candidates)), 1):
        size = "x".join(map(str, job.size))
        say(f"[{number}/{len(jobs)}] {job.model}, {size}, {job.mode}", stderr=True)
        rows.append(measure_in_process(job))
    write_text(file, json.dumps(report(rows, plain), indent=2) + "\n")
    print_costs(rows, file)
    failed = [row for row in rows if row["error"]]
    return Outcome("failed" if len(failed) == len(rows) else "finished", run_dir=str(file))


def _check(config: Config) -> None:
    problems = []
    if (config["models"] is None) == (config["study"] is None):
        problems.append("set either model=NAME,NAME or study=NAME")
    for size in config["sizes"] or [None]:
        if not (isinstance(size, list) and len(size) == 2 and all(_positive(n) for n in size)):
            problems.append(f"sizes: must be a list of [H, W], got {size}")
    if not config["modes"]:
        problems.append("modes: is empty")
    if not config["batch_sizes"] or min(config["batch_sizes"]) < 1:
        problems.append(f"batch_sizes: must be positive, got {config['batch_sizes']}")
    if not problems:
        from segbench.cost.profiling import Mode

        for mode in config["modes"]:
            try:
                Mode.parse(mode)
            except ValueError as error:
                problems.append(str(error))
    if (output := config["output"]) is not None and Path(output).suffix.lower() != ".json":
        problems.append(f"output: must be a .json file, not {output}")
    elif output is not None and Path(output).is_dir():
        problems.append(f"output: {output} is a folder; name a file in it")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _positive(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _of_study(study: str, allow: list[str]) -> dict[str, Config]:
    """The training config of each model that has a finished run in a study, by its name there."""
    from segbench.comparison.study import short_names

    found: dict[str, Config] = {}
    for folder in sorted(Path("runs", study).glob("*/seed*")):
        run = RunDirectory(folder)
        try:
            result = run.read_result()
        except ResultError as error:
            say(f"left out: {error}")
            continue
        is_finished = result and result.kind == "train" and result.status == "finished"
        if result and is_finished and result.name not in found:
            found[result.name] = _admitted(result.config, str(run.result_file), allow)
    if not found:
        raise ConfigError(f"study: runs/{study} contains no finished run")
    short = short_names(found)
    return {short[name]: config for name, config in found.items()}


def _admitted(config: Config, file: str, allow: list[str]) -> Config:
    """The config of a run, to be built again: without weights, trackers or folders of the file."""
    from segbench.artifacts import trust
    from segbench.artifacts.plain import check_plain

    if not isinstance(config, dict):
        raise ConfigError(f"{file}: its config is not a mapping; the file was altered")
    config = deepcopy(config)
    forget_class_weight_rules(config.get("loss"))  # numbers of the data set, which cost the same
    found: Config = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found[key] = trust.admit(key, value, file, allow) if "_target_" in value else {}
        else:
            check_plain(value, f"{file}: config.{key}")
            found[key] = value
    of_machine = ("cache_dir", "cache_limit_gb", "preview")
    data = {key: value for key, value in config["data"].items() if key not in of_machine}
    return found | {"data": data, "weights": None, "logger": LOGGER}


def _jobs(config: Config, candidates: dict[str, Config]) -> Iterator[Job]:
    from segbench.artifacts.trust import construct
    from segbench.cost.row import Job
    from segbench.data.bands import bands_of

    for name, train in candidates.items():
        source = construct("data", train["data"], name)
        for size in config["sizes"]:
            # As many images as needed, of the same size as for timing inference.
            wanted = {"crop_size": size, "batch_size": config["train_batch"]}
            wanted |= {"train": 8 * config["train_batch"], "size": size}
            data = {key: wanted.get(key, value) for key, value in train["data"].items()}
            for mode in config["modes"]:
                yield Job(
                    model=name,
                    node=train["model"],
                    num_classes=source.classes.num_classes,
                    in_channels=bands_of(source).count,
                    size=size,
                    mode=mode,
                    device=config["device"],
                    seconds=config["seconds"],
                    rounds=config["rounds"],
                    batch_sizes=config["batch_sizes"],
                    train_batch=config["train_batch"],
                    train_steps=config["train_steps"],
                    train={**train, "data": data, "ema": None},
                )


if __name__ == "__main__":
    sys.argv[1:] = [as_list(argument) for argument in sys.argv[1:]]
    run_verb("benchmark", benchmark)
